"""What the readers of a run cost: a run of 2,000 x 3 episodes, and runs of 10 to 40,000 records.

    python benchmarks/large_runs.py
    python benchmarks/large_runs.py --repeats 5
    python benchmarks/large_runs.py --table

writes runs with random outcomes and times into a temporary folder, reads them with ``vlaeval report``,
``certify``, ``verify`` and ``run`` (which finds nothing to do), and writes ``results/large_runs.json`` and its
table. No policy and no simulator runs.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from time import perf_counter
from typing import Any

from common.machine import in_words, machine
from common.made_runs import make_run
from common.results import save, write_table
from common.script import count, parser, run
from tqdm import tqdm

from vla_eval.errors import InfrastructureError
from vla_eval.released import load_protocol

BAR_S, BAR_MB = 3.0, 300.0
CERTIFIED, EPISODES = "libero-certify", 2000
RATES = {"student": 0.95, "teacher": 0.95, "control": 0.6}
RECORDS = (10, 100, 1_000, 10_000, 40_000)
TASKS = 5

PROTOCOL = """\
schema_version = 1
protocol = "made"
version = 1
title = "Made records"
source = "benchmarks/large_runs.py"

[[blocks]]
suite = "made"
env_id = "made:made/{{task}}-v0"
tasks = {{ first = 0, count = {tasks} }}
init_states = {{ first = 0, count = {states} }}
max_steps = 280

[run]
order = "round-robin"

[analysis]
estimand = "difference in success rate"
margin = 0.1
margin_reason = "Any."
"""


def main() -> None:
    """Measure, unless only the table is wanted."""
    arguments = parser(__doc__, measures=True)
    arguments.add_argument("--repeats", type=count, default=3, help="of every command (3)")
    chosen = arguments.parse_args()
    if not chosen.table:
        save("large_runs", measure(chosen.repeats))
    write_table("large_runs", table)


def measure(repeats: int) -> dict[str, Any]:
    """Return the costs of all commands on all runs."""
    with tempfile.TemporaryDirectory() as name, tqdm(total=1 + len(RECORDS), unit=" runs") as bar:
        whole = _certified(Path(name), repeats)
        bar.update()
        sizes = {}
        for records in RECORDS:
            sizes[str(records)] = _sized(Path(name), records, repeats)
            bar.update()
    return {"machine": machine(), "repeats": repeats, "certified": whole, "sizes": sizes}


def _certified(folder: Path, repeats: int) -> dict[str, Any]:
    """Measure report, certify and verify of a run of LIBERO's certification."""
    path = folder / "certified"
    make_run(path, load_protocol(CERTIFIED), RATES)
    arms = ["--candidate", "student", "--reference", "teacher", "--control", "control"]
    commands = {
        "report": ["report", str(path)],
        "certify": ["certify", str(path), *arms, "--no-pictures"],
        "verify": ["verify", str(path / "certificate.json"), str(path)],
    }
    return {name: cost(words, repeats) for name, words in commands.items()}


def _sized(folder: Path, records: int, repeats: int) -> dict[str, Any]:
    """Measure report, certify and run of a run with so many records."""
    path, file = folder / str(records), folder / f"{records}.toml"
    rates = {name: RATES[name] for name in ("student", "teacher")}
    states = records // (TASKS * len(rates))
    file.write_text(PROTOCOL.format(tasks=TASKS, states=states))
    make_run(path, load_protocol(str(file)), rates)
    arms = [word for name in rates for word in ("--arm", f"{name}=hold")]
    commands = {
        "report": ["report", str(path)],
        "certify": ["certify", str(path), "--candidate", "student", "--reference", "teacher"],
        "run": ["run", str(file), *arms, "--out", str(path)],
    }
    return {name: cost(words, repeats) for name, words in commands.items()}


def cost(words: list[str], repeats: int) -> dict[str, float]:
    """Run ``vlaeval`` some times; return the median processor time and time by the clock, s, and the most memory."""
    times = [_once(words) for _ in range(repeats)]
    return {
        "cpu_s": round(statistics.median(cpu for cpu, _, _ in times), 3),
        "wall_s": round(statistics.median(wall for _, wall, _ in times), 3),
        "mb": round(max(memory for _, _, memory in times), 1),
    }


def _once(words: list[str]) -> tuple[float, float, float]:
    began = perf_counter()
    command = [sys.executable, "-m", "vlaeval_launcher", *words]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode not in (0, 1, 6):  # a random run may be refuted or inconclusive
        raise InfrastructureError(f"vlaeval {' '.join(words)} ended with {process.returncode}")
    return usage.ru_utime + usage.ru_stime, perf_counter() - began, usage.ru_maxrss * 1024 / 1e6


def table(results: Mapping[str, Any]) -> str:
    """Return the results as a Markdown page."""
    names = ("report", "certify", "run")
    lines = [
        "# Readers of large runs",
        "",
        f"By `benchmarks/large_runs.py`: {in_words(results['machine'])}.",
        f"Medians of {results['repeats']} calls; memory is the most of them. Certificates are without pictures.",
        "",
        f"`{CERTIFIED}`, {EPISODES:,} episodes of {len(RATES)} arms (bars: {BAR_S:g} s, {BAR_MB:g} MB):",
        "",
        "| `vlaeval …` | processor, s | by the clock, s | memory, MB |",
        "|---|---|---|---|",
    ]
    for name, each in results["certified"].items():
        lines.append(f"| {name} | {each['cpu_s']:.2f} | {each['wall_s']:.2f} | {each['mb']:.0f} |")
    lines += [
        "",
        f"Two arms on {TASKS} tasks: seconds of processor time, and in brackets µs for each record more than in the",
        "row above. `run` continues a complete run, so it reads, finds nothing to do and summarises.",
        "",
        f"| records | {' | '.join(names)} | memory of certify, MB |",
        f"|---|{'---|' * len(names)}---|",
    ]
    before: tuple[int, Mapping[str, Any]] | None = None
    for records, each in ((int(text), each) for text, each in results["sizes"].items()):
        cells = [_cell(name, records, each, before) for name in names]
        lines.append(f"| {records:,} | {' | '.join(cells)} | {each['certify']['mb']:.0f} |")
        before = records, each
    return "\n".join(lines) + "\n"


def _cell(
    name: str, records: int, each: Mapping[str, Any], before: tuple[int, Mapping[str, Any]] | None
) -> str:
    seconds: float = each[name]["cpu_s"]
    if before is None or records < 10 * RECORDS[1]:
        return f"{seconds:.2f}"
    more = (seconds - before[1][name]["cpu_s"]) / (records - before[0])
    return f"{seconds:.2f} ({1e6 * more:.0f})"


if __name__ == "__main__":
    run(main)
