"""Writes down what the scripted experts score under the papers' SO-101 and LeKiwi protocols.

Run: for p in meanflow-so101 drift-lekiwi lekiwi-certify; do
         vlaeval run $p --policy expert --out runs/$p; done
     python benchmarks/expert_so101_lekiwi.py runs/meanflow-so101 runs/drift-lekiwi runs/lekiwi-certify

Writes results/expert_so101_lekiwi.json and .md, from `vlaeval report --json`. A run that is not
complete, or whose protocol was modified, is refused.
"""

# ruff: noqa: INP001  a script

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent / "results"


def main() -> None:
    """Read the runs named on the command line and write both files."""
    runs = [summary(folder) for folder in sys.argv[1:]]
    (RESULTS / "expert_so101_lekiwi.json").write_text(json.dumps(runs, indent=1) + "\n")
    (RESULTS / "expert_so101_lekiwi.md").write_text(markdown(runs))


def summary(folder: str) -> dict[str, Any]:
    """Return what matters of a run of one policy."""
    command = [sys.executable, "-m", "vlaeval_launcher", "report", folder, "--json"]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    report = json.loads(done.stdout)
    if not report["complete"] or report["protocol"]["modified"]:
        raise SystemExit(f"{folder} is not a complete run of a released protocol")
    (arm,) = report["arms"].values()
    kept = ("n", "successes", "errors", "mean_score", "wilson95", "tasks", "reasons")
    return {"protocol": report["protocol"]} | {key: arm[key] for key in kept}


def markdown(runs: list[dict[str, Any]]) -> str:
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
    for run in runs:
        name = f"{run['protocol']['name']}@{run['protocol']['version']}"
        for task, each in [*run["tasks"].items(), ("all", run)]:
            low, high = each["wilson95"]
            mean = f", mean score {run['mean_score']:.3f}" if task == "all" else ""
            text.append(
                f"| `{name}` | {task} | {each['successes']}/{each['n']}{mean} "
                f"| [{low:.1%}, {high:.1%}] |"
            )
    return "\n".join([*text, ""])


if __name__ == "__main__":
    main()
