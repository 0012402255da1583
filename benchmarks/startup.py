"""How long a command takes that only says something: its processor time, and by the clock.

    python benchmarks/startup.py
    python benchmarks/startup.py --repeats 30
    python benchmarks/startup.py --table

starts each command anew, in turns, and writes ``results/startup.json`` and its table. Bytecode is compiled before,
as it is after the first use of an installation. Run it in a clone that `make quickstart` has set up.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
from pathlib import Path
from time import perf_counter
from typing import Any

from common.machine import in_words, machine
from common.processor import children_s
from common.results import save, write_table
from common.script import count, parser, run
from tqdm import trange

COMMANDS = {
    "--help": 0.3,
    "list tasks": 0.5,
    "plan so101-quickstart": 0.7,
    "plan libero-spatial": 0.7,
}
"""Commands, and the bar for the processor time of each, s."""
EMPTY = "(python alone)"
SETUP = "(set-up of `make quickstart`, second call)"
BARS_S = {SETUP: 1.0, **COMMANDS}
ROOT = Path(__file__).parents[1]


def main() -> None:
    """Measure the commands, unless only the table is wanted."""
    arguments = parser(__doc__, measures=True)
    arguments.add_argument("--repeats", type=count, default=20, help="of every command (20)")
    chosen = arguments.parse_args()
    if not chosen.table:
        save("startup", measure(chosen.repeats))
    write_table("startup", table)


def measure(repeats: int) -> dict[str, Any]:
    """Return processor times and times by the clock of every command, s."""
    start = [sys.executable, "-m", "vlaeval_launcher"]
    programs = {
        EMPTY: [sys.executable, "-c", "pass"],
        SETUP: [str(ROOT / "tools" / "setup.sh"), "quickstart"],
        **{words: [*start, *words.split()] for words in COMMANDS},
    }
    for program in programs.values():
        started(program)
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in programs}
    for _ in trange(repeats, unit=" rounds"):
        for name, program in programs.items():
            times[name].append(started(program))
    return {
        "machine": machine(),
        "repeats": repeats,
        "commands": {
            name: {
                "cpu_s": [round(cpu, 3) for cpu, _ in pairs],
                "wall_s": [round(wall, 3) for _, wall in pairs],
                "bar_s": BARS_S.get(name),
            }
            for name, pairs in times.items()
        },
    }


def started(program: list[str]) -> tuple[float, float]:
    """Run a program to its end; return its processor time and its time by the clock, s."""
    environment = {
        name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"
    }
    began, before_s = perf_counter(), children_s()
    subprocess.run(program, check=True, stdout=subprocess.DEVNULL, env=environment)
    wall_s = perf_counter() - began
    return children_s() - before_s, wall_s


def table(results: dict[str, Any]) -> str:
    """Return the results as a Markdown page."""
    lines = [
        "# Start of a command",
        "",
        f"By `benchmarks/startup.py`: {in_words(results['machine'])}.",
        "",
        f"Seconds of {results['repeats']} starts each, least / median. The bar is for processor time, which",
        "other work on the machine changes little.",
        "",
        "| `vlaeval …` | processor | bar | by the clock |",
        "|---|---|---|---|",
    ]
    for name, each in results["commands"].items():
        bar = "" if each["bar_s"] is None else f"≤ {each['bar_s']:g}"
        lines.append(f"| {name} | {_both(each['cpu_s'])} | {bar} | {_both(each['wall_s'])} |")
    return "\n".join(lines) + "\n"


def _both(seconds: list[float]) -> str:
    return f"{min(seconds):.2f} / {statistics.median(seconds):.2f}"


if __name__ == "__main__":
    run(main)
