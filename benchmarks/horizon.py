"""Success over the execution horizon: how many actions of a chunk are executed before looking again.

    vlaeval sweep examples/sweeps/horizon.toml --out runs/horizon
    vlaeval sweep examples/sweeps/horizon-short.toml --out runs/horizon-short
    vlaeval sweep examples/sweeps/horizon-one.toml --out runs/horizon-one
    python benchmarks/horizon.py runs/horizon runs/horizon-short runs/horizon-one

writes ``results/horizon.json``, every outcome, and ``results/horizon.md``, a table of docs/one-step.md.
Horizon 10 is that of ``results/nfe.json``, the same arms under the same protocol. Without runs: the
table from the outcomes. Intervals are those of policy_grid.py.
"""

# ruff: noqa: INP001  a script

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from policy_grid import RESULTS, by_state, cells_of, collect, difference, rate
from tables import points, write_table

FILE = RESULTS / "horizon.json"
ARMS: Mapping[str, str] = {
    "fm-10": "fm, nfe=10",
    "fm-1": "fm, nfe=1",
    "snapflow": "snapflow",
    "meanflow": "meanflow, nfe=1",
    "drift": "drift",
    "mse": "mse",
}
"""The arms, and what ``nfe.json`` calls them."""
REFERENCE = "fm-10"


def main() -> None:
    """Collect, if sweeps are given, and write the table."""
    if len(sys.argv) > 1:
        cells = [cell for path in sys.argv[1:] for cell in cells_of(Path(path))]
        found = {int(cell.name.partition("=")[2]): collect([cell]) for cell in cells}
        for horizon, each in found.items():
            end = f", horizon={horizon}"
            each["arms"] = {name.removesuffix(end): arm for name, arm in each["arms"].items()}
        found[10] = at_ten(json.loads((RESULTS / "nfe.json").read_text(encoding="utf-8")))
        text = json.dumps({str(horizon): found[horizon] for horizon in sorted(found)}, indent=1)
        FILE.write_text(text + "\n", encoding="utf-8")
    write_table(FILE, table)


def at_ten(results: Mapping[str, Any]) -> dict[str, Any]:
    """Return the outcomes of the grid over NFE, whose horizon is 10."""
    arms = {name: results["arms"][theirs] for name, theirs in ARMS.items()}
    return {**{key: results[key] for key in ("protocol", "versions")}, "arms": arms}


def table(results: Mapping[str, Any]) -> str:
    """Return the Markdown: successes by horizon, and below them the differences."""
    tasks = list(next(iter(results.values()))["arms"][REFERENCE]["tasks"])
    head = ["task", "arm", *(f"horizon {horizon}" for horizon in results)]
    lines = [f"| {' | '.join(head)} |", "|---" * len(head) + "|"]
    rows = [(task, arm, _rates(results, task, arm)) for task in tasks for arm in ARMS]
    rows += [
        (task, f"{arm} minus {REFERENCE}", _differences(results, task, arm))
        for task in tasks
        for arm in ARMS
        if arm != REFERENCE
    ]
    lines += [f"| {task} | {arm} | {' | '.join(cells)} |" for task, arm, cells in rows]
    return "\n".join(lines) + "\n"


def _rates(results: Mapping[str, Any], task: str, arm: str) -> list[str]:
    found = [rate(by_state(each["arms"][arm], task)) for each in results.values()]
    return [f"{won}/{n} [{low:.0%}, {high:.0%}]" for won, n, low, high in found]


def _differences(results: Mapping[str, Any], task: str, arm: str) -> list[str]:
    pairs = [(each["arms"][arm], each["arms"][REFERENCE]) for each in results.values()]
    return [
        points(*difference(by_state(ours, task), by_state(theirs, task))) for ours, theirs in pairs
    ]


if __name__ == "__main__":
    main()
