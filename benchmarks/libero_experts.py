"""How often the scripted experts succeed in LIBERO's 40 standard tasks.

    python benchmarks/libero_experts.py
    python benchmarks/libero_experts.py libero_goal --states 5
    python benchmarks/libero_experts.py --collect

runs every suite under its own protocol (50 frozen initial states a task, its time limit), in a run folder
that the same command continues. --states N takes the first N states of every task only, in folders of
their own; --collect runs nothing. Writes results/libero_experts.json and .md, which docs/libero-experts.md
shows, from all that the folders hold.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from common.results import save, write_table
from common.script import count, parser, run, vlaeval

from vla_eval.catalog import find_suite
from vla_eval.errors import UsageError
from vla_eval.judging.ledger import won
from vla_eval.record import EpisodeRecord
from vla_eval.runs.folder import RunFolder
from vla_eval.stats.proportions import wilson_interval

NAME = "libero_experts"
SUITES = ("libero_spatial", "libero_object", "libero_goal", "libero_10")
STATES = 50


def main() -> None:
    """Run the suites, and write the tables."""
    chosen = _options()
    if not chosen.table:
        for suite in [] if chosen.collect else chosen.suites or SUITES:
            _play(suite, _folder(suite, chosen.runs, chosen.states), chosen)
        suites = [row for suite in SUITES if (row := _suite(suite, chosen.runs))]
        if not suites:
            raise UsageError(f"{chosen.runs}: holds no run; leave out --collect")
        save(NAME, {"suites": suites})
    write_table(NAME, markdown)


def _options() -> argparse.Namespace:
    arguments = parser(__doc__, measures=True)
    arguments.add_argument("suites", nargs="*", choices=[[], *SUITES], metavar="SUITE")
    arguments.add_argument("--runs", type=Path, default=Path("runs/libero-experts"))
    arguments.add_argument(
        "--states", type=count, default=STATES, help="initial states a task (50)"
    )
    arguments.add_argument("--workers", type=count, default=2)
    arguments.add_argument("--collect", action="store_true", help="run nothing, only tabulate")
    return arguments.parse_args()


def _folder(suite: str, runs: Path, states: int) -> Path:
    return runs / (suite if states == STATES else f"{suite}-{states}")


def _play(suite: str, folder: Path, chosen: argparse.Namespace) -> None:
    """Run a suite, or continue its run."""
    print(f"{suite} in {folder}", file=sys.stderr, flush=True)
    command = ["run", suite.replace("_", "-"), "--policy", "expert"]
    command += ["--workers", str(chosen.workers), "--out", str(folder)]
    if chosen.states != STATES:
        command += ["--set", f"blocks.0.init_states.count={chosen.states}"]
    vlaeval(*command)


def _suite(suite: str, runs: Path) -> dict[str, Any] | None:
    """Return the numbers of the fullest run of a suite that ended, and of a longer unfinished one."""
    folders = [runs / suite, *runs.glob(f"{suite}-[0-9]*")]
    opened = [RunFolder.open(folder) for folder in folders if (folder / "run.json").is_file()]
    if not opened:
        return None
    held = [(folder, list(folder.records().final.values())) for folder in opened]
    folder, records = max(held, key=lambda pair: (pair[0].header.status != "started", len(pair[1])))
    longest = max((records for _, records in held), key=len)
    ended = _ended(records)
    rows = [
        row | {"instruction": task.instruction}
        for row, task in zip(_tasks(suite, records), find_suite(suite).tasks, strict=True)
    ]
    at_work = {"policy_sha256": _policies(longest), "tasks": _tasks(suite, longest)}
    return _row(suite, records) | {
        "protocol_sha256": folder.header.protocol_sha256,
        "policy_sha256": _policies(records),
        "physics": sorted({str(record.provenance.get("physics")) for record in ended}),
        "assets": sorted({str(record.provenance.get("assets")) for record in ended}),
        "tasks": rows,
        "at_work": None if longest is records else at_work,
    }


def _ended(records: Sequence[EpisodeRecord]) -> list[EpisodeRecord]:
    """Return the results; errors of the machine are none."""
    return [record for record in records if record.outcome != "error"]


def _policies(records: Sequence[EpisodeRecord]) -> list[str]:
    return sorted({record.policy_sha256 for record in _ended(records)})


def _tasks(suite: str, records: Sequence[EpisodeRecord]) -> list[dict[str, Any]]:
    return [
        _row(f"{suite}/{number}", [record for record in records if record.task == str(number)])
        for number in range(len(find_suite(suite).tasks))
    ]


def _row(name: str, records: Sequence[EpisodeRecord]) -> dict[str, Any]:
    """Return the counts of a suite or a task."""
    ended = _ended(records)
    steps = [record.steps for record in ended if won(record)]
    interval = wilson_interval(len(steps), len(ended))
    reasons = Counter(str(record.reason) for record in ended if not won(record))
    return {
        "name": name,
        "episodes": len(ended),
        "successes": len(steps),
        "wilson95": [round(float(limit), 4) for limit in interval],
        "mean_steps": round(sum(steps) / len(steps), 1) if steps else None,
        "failures": dict(sorted(reasons.items())),
        "missed": _missed(ended),
        "missing": len(records) - len(ended),
    }


def _missed(ended: Sequence[EpisodeRecord]) -> dict[str, int]:
    """Return how often a part of the goal did not hold at the end of a failed episode."""
    parts = [
        part
        for record in ended
        if not won(record)
        for part, holds in record.subgoals.items()
        if not holds
    ]
    return dict(sorted(Counter(parts).items()))


def markdown(result: Mapping[str, Any]) -> str:
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
        "",
        "Suites whose policies differ below were run with different versions of the expert.",
    ]
    for suite in result["suites"]:
        lines += _section(suite)
    return "\n".join(lines) + "\n"


def _section(suite: Mapping[str, Any]) -> list[str]:
    """Return the tables of a suite's tasks."""
    lines = [
        "",
        f"## {suite['name']}",
        "",
        f"Protocol {suite['protocol_sha256'][:12]}, policy {_shortened(suite['policy_sha256'])}.",
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
    return lines


def _shortened(digests: Sequence[str]) -> str:
    return ", ".join(digest[:12] for digest in digests)


def _line(row: Mapping[str, Any]) -> str:
    successes, episodes = row["successes"], row["episodes"]
    if not episodes:
        return f"| {row['name']} | – | – | – | – | – |"
    low, high = (f"{100 * limit:.1f}" for limit in row["wilson95"])
    failures = [f"{number} {reason}" for reason, number in row["failures"].items()]
    # Errors of the machine are no failures: these episodes have no result.
    failures += [f"{row['missing']} without a result"] if row["missing"] else []
    failed = ", ".join(failures) or "none"
    steps = "–" if row["mean_steps"] is None else f"{row['mean_steps']:.0f}"
    rate = f"{100 * successes / episodes:.1f} %"
    return f"| {row['name']} | {successes}/{episodes} | {rate} | {low} to {high} % | {steps} | {failed} |"


if __name__ == "__main__":
    run(main)
