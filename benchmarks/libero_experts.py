"""Runs the scripted expert over LIBERO's 40 standard tasks, and tabulates how often it succeeds.

Run: python benchmarks/libero_experts.py [--runs FOLDER] [--states N] [--workers N] [--collect] [SUITE ...]

Each suite is a run of its own protocol (50 frozen initial states a task, its time limit): the same
command continues where the last one stopped. ``--states N`` takes every task's first
N states only, in folders of their own; ``--collect`` runs nothing. Writes results/libero_experts.json
and .md from all that the folders hold.
"""

# ruff: noqa: INP001, T201  a script that speaks to a terminal

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from vla_eval.catalog import find_suite
from vla_eval.record import EpisodeRecord
from vla_eval.runs.folder import RunFolder
from vla_eval.stats.proportions import wilson_interval

SUITES = ("libero_spatial", "libero_object", "libero_goal", "libero_10")
RESULTS = Path(__file__).parent / "results"
STATES = 50


def main() -> None:
    """Run the suites, and write both files."""
    options = _options()
    for suite in options.suites or SUITES:
        if not options.collect:
            _run(suite, _folder(suite, options.runs, options.states), options)
    suites = [row for suite in SUITES if (row := _suite(suite, options.runs))]
    if not suites:
        sys.exit(f"no runs in {options.runs}; leave out --collect")
    result = {"suites": suites}
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "libero_experts.json").write_text(json.dumps(result, indent=1) + "\n")
    (RESULTS / "libero_experts.md").write_text(markdown(result))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("suites", nargs="*", choices=[[], *SUITES], metavar="SUITE")
    parser.add_argument("--runs", type=Path, default=Path("runs/libero-experts"))
    parser.add_argument("--states", type=int, default=STATES)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--collect", action="store_true", help="only tabulate")
    return parser.parse_args()


def _folder(suite: str, runs: Path, states: int) -> Path:
    return runs / (suite if states == STATES else f"{suite}-{states}")


def _run(suite: str, folder: Path, options: argparse.Namespace) -> None:
    command = [str(Path(sys.executable).with_name("vlaeval")), "run", suite.replace("_", "-")]
    command += ["--policy", "expert", "--workers", str(options.workers), "--out", str(folder)]
    if options.states != STATES:
        command += ["--set", f"blocks.0.init_states.count={options.states}"]
    print(" ".join(command), file=sys.stderr)
    subprocess.run(command, check=True)


def _suite(suite: str, runs: Path) -> dict[str, Any] | None:
    """Return the numbers of the fullest run of a suite that went through, and of a longer one at work."""
    folders = [runs / suite, *runs.glob(f"{suite}-[0-9]*")]
    found = [RunFolder.open(folder) for folder in folders if (folder / "run.json").is_file()]
    if not found:
        return None
    held = [(run, list(run.records().final.values())) for run in found]
    run, records = max(held, key=lambda pair: (pair[0].header.status != "started", len(pair[1])))
    longest = max((records for _, records in held), key=len)
    ended = [record for record in records if record.outcome != "error"]
    tasks = find_suite(suite).tasks
    rows = [
        row | {"instruction": task.instruction}
        for row, task in zip(_tasks(suite, records), tasks, strict=True)
    ]
    at_work = {"policy_sha256": _policies(longest), "tasks": _tasks(suite, longest)}
    return _row(suite, records) | {
        "protocol_sha256": run.header.protocol_sha256,
        "policy_sha256": _policies(records),
        "physics": sorted({str(r.provenance.get("physics")) for r in ended}),
        "assets": sorted({str(r.provenance.get("assets")) for r in ended}),
        "tasks": rows,
        "at_work": None if longest is records else at_work,
    }


def _policies(records: Sequence[EpisodeRecord]) -> list[str]:
    return sorted({record.policy_sha256 for record in records if record.outcome != "error"})


def _tasks(suite: str, records: Sequence[EpisodeRecord]) -> list[dict[str, Any]]:
    return [
        _row(f"{suite}/{number}", [record for record in records if record.task == str(number)])
        for number in range(len(find_suite(suite).tasks))
    ]


def _row(name: str, records: Sequence[EpisodeRecord]) -> dict[str, Any]:
    ended = [record for record in records if record.outcome != "error"]
    wins = [record.steps for record in ended if record.outcome == "success"]
    interval = wilson_interval(len(wins), len(ended))
    reasons = Counter(str(record.reason) for record in ended if record.outcome == "failure")
    return {
        "name": name,
        "episodes": len(ended),
        "successes": len(wins),
        "wilson95": [round(float(end), 4) for end in interval],
        "mean_steps": round(sum(wins) / len(wins), 1) if wins else None,
        "failures": dict(sorted(reasons.items())),
        "missed": _missed(ended),
        "missing": len(records) - len(ended),
    }


def _missed(ended: Sequence[EpisodeRecord]) -> dict[str, int]:
    """Return how often each part of the goal did not hold when an episode had failed."""
    parts = [
        part
        for record in ended
        if record.outcome == "failure"
        for part, holds in record.subgoals.items()
        if not holds
    ]
    return dict(sorted(Counter(parts).items()))


def markdown(result: dict[str, Any]) -> str:
    """Return the tables."""
    lines = [
        "# The scripted experts on LIBERO",
        "",
        "By `benchmarks/libero_experts.py`: `vlaeval run libero-SUITE --policy expert`, default physics,",
        "the suites' own time limits. Intervals are Wilson's, 95 %; steps are of successes, 20 a second.",
        "",
        "| suite | successes | rate | interval | mean steps | failures |",
        "|---|---|---|---|---|---|",
        *(_line(suite) for suite in result["suites"]),
    ]
    lines += [
        "",
        "Suites whose policies differ below were run with different versions of the expert.",
    ]
    for suite in result["suites"]:
        policies = _shortened(suite["policy_sha256"])
        lines += [
            "",
            f"## {suite['name']}",
            "",
            f"Protocol {suite['protocol_sha256'][:12]}, policy {policies}.",
            f"Physics: {', '.join(suite['physics'])}; assets: {', '.join(suite['assets'])}.",
            "",
            "| task | successes | rate | interval | mean steps | failures | instruction |",
            "|---|---|---|---|---|---|---|",
            *(f"{_line(row)} {row['instruction']} |" for row in suite["tasks"]),
        ]
        if suite["at_work"]:
            policies = _shortened(suite["at_work"]["policy_sha256"])
            lines += ["", f"A longer run, of policy {policies}, has come this far:", ""]
            lines += ["| task | successes | rate | interval | mean steps | failures |"]
            lines += ["|---|---|---|---|---|---|", *map(_line, suite["at_work"]["tasks"])]
    return "\n".join(lines) + "\n"


def _shortened(digests: Sequence[str]) -> str:
    return ", ".join(digest[:12] for digest in digests)


def _line(row: dict[str, Any]) -> str:
    done, of = row["successes"], row["episodes"]
    if not of:
        return f"| {row['name']} | – | – | – | – | – |"
    low, high = (f"{100 * end:.1f}" for end in row["wilson95"])
    failures = [f"{count} {reason}" for reason, count in row["failures"].items()]
    # Errors of the infrastructure are no failures: these episodes have no result.
    failures += [f"{row['missing']} without a result"] if row["missing"] else []
    failed = ", ".join(failures) or "none"
    steps = "–" if row["mean_steps"] is None else f"{row['mean_steps']:.0f}"
    rate = f"{100 * done / of:.1f} %"
    return f"| {row['name']} | {done}/{of} | {rate} | {low} to {high} % | {steps} | {failed} |"


if __name__ == "__main__":
    main()
