"""How often the scripted experts succeed under the papers' SO-101 and LeKiwi protocols.

    for p in meanflow-so101 drift-lekiwi lekiwi-certify; do
        vlaeval run $p --policy expert --out runs/$p; done
    python benchmarks/expert_so101_lekiwi.py runs/meanflow-so101 runs/drift-lekiwi runs/lekiwi-certify

writes results/expert_so101_lekiwi.json and .md, a table of docs/so101-lekiwi-protocols.md, from what
`vlaeval report` says. A run that is incomplete, or whose protocol was modified, is refused. Without runs,
the table is written from the committed numbers.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from common.results import save, write_table
from common.script import parser, run

from vla_eval.errors import UsageError
from vla_eval.summary.model import summarise

NAME = "expert_so101_lekiwi"


def main() -> None:
    """Read the runs, if any are given, and write the table."""
    arguments = parser(__doc__)
    arguments.add_argument("runs", nargs="*", type=Path, help="run folders of one policy")
    chosen = arguments.parse_args()
    if chosen.runs:
        save(NAME, [summary(folder) for folder in chosen.runs])
    write_table(NAME, markdown)


def summary(folder: Path) -> dict[str, Any]:
    """Return the rates of a complete run of one policy under a released protocol; else UsageError."""
    report = summarise([folder]).to_json()
    if not report["complete"] or report["protocol"]["modified"]:
        raise UsageError(f"{folder}: is not a complete run of a released protocol")
    if len(report["arms"]) != 1:
        raise UsageError(
            f"{folder}: has {len(report['arms'])} arms; the table shows runs of one policy"
        )
    (arm,) = report["arms"].values()
    kept = ("n", "successes", "errors", "mean_score", "wilson95", "tasks", "reasons")
    return {"protocol": report["protocol"]} | {key: arm[key] for key in kept}


def markdown(runs: Sequence[dict[str, Any]]) -> str:
    """Return a table with a line for each task of each protocol."""
    text = [
        "# The scripted experts under the papers' protocols",
        "",
        "By `benchmarks/expert_so101_lekiwi.py`, from complete runs. Intervals are Wilson's, 95 %. Under",
        "`drift-lekiwi` the expert, which is deterministic, repeats one scene an item ten times: three",
        "scenes, and its intervals mean nothing.",
        "",
        "| protocol | task | success | interval |",
        "|---|---|---|---|",
    ]
    for report in runs:
        name = f"{report['protocol']['name']}@{report['protocol']['version']}"
        for task, counts in [*report["tasks"].items(), ("all", report)]:
            low, high = counts["wilson95"]
            mean = f", mean score {report['mean_score']:.3f}" if task == "all" else ""
            text.append(
                f"| `{name}` | {task} | {counts['successes']}/{counts['n']}{mean} "
                f"| [{low:.1%}, {high:.1%}] |"
            )
    return "\n".join([*text, ""])


if __name__ == "__main__":
    run(main)
