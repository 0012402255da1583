"""Success of many arms on the same episodes, with several repeats of an initial state.

    vlaeval sweep examples/sweeps/nfe.toml --out runs/nfe
    vlaeval sweep examples/sweeps/nfe-fixed.toml --out runs/nfe-fixed
    python benchmarks/policy_grid.py nfe runs/nfe runs/nfe-fixed --reference 'fm, nfe=10'

writes results/nfe.json, every outcome, and results/nfe.md, a table of docs/one-step.md. All runs must
have one protocol. Intervals are by initial state (common/grid.py). Without runs, the table is written
from the committed outcomes:

    python benchmarks/policy_grid.py nfe
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from common.grid import collect, table
from common.results import save, write_table
from common.script import parser, run

from vla_eval.errors import UsageError, did_you_mean


def main() -> None:
    """Collect the outcomes, if runs are given, and write the table."""
    arguments = parser(__doc__)
    arguments.add_argument("name", help="of the results, such as nfe, nfe_more, keystone, stacking")
    arguments.add_argument("runs", nargs="*", type=Path, help="folders of runs and sweeps")
    arguments.add_argument(
        "--reference", help="arm that every arm is paired with; needed with runs"
    )
    chosen = arguments.parse_args()
    if chosen.runs:
        save(chosen.name, outcomes(chosen.runs, chosen.reference))
    write_table(chosen.name, table)


def outcomes(runs: Sequence[Path], reference: str | None) -> dict[str, Any]:
    """Return the outcomes of runs, arms sorted by method and NFE."""
    if reference is None:
        raise UsageError(
            "which arm is every arm paired with? for example: --reference 'fm, nfe=10'"
        )
    results = collect(runs)
    if reference not in results["arms"]:
        raise UsageError(
            f"--reference '{reference}': no arm has that name{did_you_mean(reference, results['arms'])}"
        )
    arms = dict(sorted(results["arms"].items(), key=_order))
    return {**results, "reference": reference, "arms": arms}


def _order(item: tuple[str, Mapping[str, Any]]) -> tuple[str, float]:
    name, arm = item
    return name.partition(",")[0].rpartition("-")[0] or name.partition(",")[0], arm["nfe"]


if __name__ == "__main__":
    run(main)
