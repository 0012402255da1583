"""Success over the execution horizon: how many actions of a chunk are executed before the next observation.

    vlaeval sweep examples/sweeps/horizon.toml --out runs/horizon
    vlaeval sweep examples/sweeps/horizon-short.toml --out runs/horizon-short
    vlaeval sweep examples/sweeps/horizon-one.toml --out runs/horizon-one
    python benchmarks/horizon.py runs/horizon runs/horizon-short runs/horizon-one

writes results/horizon.json, every outcome, and results/horizon.md, a table of docs/one-step.md. Horizon
10 is that of results/nfe.json, the same arms under the same protocol. Intervals are by initial state
(common/grid.py). Without sweeps, the table is written from the committed outcomes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from common.grid import by_state, cells_of, collect, difference, rate
from common.results import load, points, save, write_table
from common.script import parser, run

from vla_eval.errors import UsageError

ARMS: Mapping[str, str] = {
    "fm-10": "fm, nfe=10",
    "fm-1": "fm, nfe=1",
    "snapflow": "snapflow",
    "meanflow": "meanflow, nfe=1",
    "drift": "drift",
    "mse": "mse",
}
"""The arms, and their names in ``nfe.json``."""
REFERENCE = "fm-10"


def main() -> None:
    """Collect the outcomes, if sweeps are given, and write the table."""
    arguments = parser(__doc__)
    arguments.add_argument("sweeps", nargs="*", type=Path, help="folders that vlaeval sweep made")
    chosen = arguments.parse_args()
    if chosen.sweeps:
        save("horizon", outcomes(chosen.sweeps))
    write_table("horizon", table)


def outcomes(sweeps: Iterable[Path]) -> dict[str, Any]:
    """Return the outcomes by execution horizon, in ascending order.

    Raises:
        UsageError: a cell is of another sweep, incomplete, or without one of the arms.
    """
    horizons: dict[int, Any] = {}
    for cell in (cell for path in sweeps for cell in cells_of(path)):
        name, _, value = cell.name.partition("=")
        if name != "horizon" or not value.isdecimal():
            raise UsageError(f"{cell}: is no cell of a sweep over the horizon (horizon=NUMBER)")
        results = collect([cell])
        end = f", {cell.name}"
        results["arms"] = {arm.removesuffix(end): result for arm, result in results["arms"].items()}
        missing = [arm for arm in ARMS if arm not in results["arms"]]
        if missing:
            raise UsageError(
                f"{cell}: has no arm '{missing[0]}'; the table needs all of {list(ARMS)}"
            )
        horizons[int(value)] = results
    horizons[10] = at_ten(load("nfe"))
    return {str(horizon): horizons[horizon] for horizon in sorted(horizons)}


def at_ten(results: Mapping[str, Any]) -> dict[str, Any]:
    """Return the outcomes of the grid over NFE, whose horizon is 10."""
    arms = {name: results["arms"][in_grid] for name, in_grid in ARMS.items()}
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
    rates = [rate(by_state(cell["arms"][arm], task)) for cell in results.values()]
    return [f"{won}/{n} [{low:.0%}, {high:.0%}]" for won, n, low, high in rates]


def _differences(results: Mapping[str, Any], task: str, arm: str) -> list[str]:
    pairs = [(cell["arms"][arm], cell["arms"][REFERENCE]) for cell in results.values()]
    return [
        points(*difference(by_state(ours, task), by_state(theirs, task))) for ours, theirs in pairs
    ]


if __name__ == "__main__":
    run(main)
