"""Success and time to success over the delay of an inference, and over what else a sweep in virtual time changes.

    vlaeval sweep examples/sweeps/ticks-all.toml --out runs/ticks-all
    python benchmarks/delays.py delays runs/ticks-all
    vlaeval sweep examples/sweeps/ticks-merge.toml --out runs/ticks-merge
    python benchmarks/delays.py delays_merge runs/ticks-merge
    vlaeval sweep examples/sweeps/ticks-horizon.toml --out runs/ticks-horizon
    python benchmarks/delays.py delays_horizon runs/ticks-horizon

writes results/NAME.json, every outcome, and results/NAME.md, tables of docs/real-time.md and docs/moving-tasks.md:
successes of all tasks together with Wilson's 95 % interval, the restricted mean time to success, in which a failure
counts the limit, and the paired difference to the first arm at the same delay in points, with Tango's 95 % interval.
Without a sweep, the tables are written from the committed outcomes.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from common.grid import Successes, by_state, cells_of, collect, difference, rate
from common.results import points, save, write_table
from common.script import parser, run

from vla_eval.errors import UsageError
from vla_eval.runs.folder import RunFolder
from vla_eval.sweep.curves import restricted_time

DELAY = "ticks"


def main() -> None:
    """Collect the outcomes, if a sweep is given, and write the tables."""
    arguments = parser(__doc__)
    arguments.add_argument("name", help="of the results: delays, delays_merge, delays_horizon")
    arguments.add_argument("sweep", nargs="?", type=Path, help="the folder that vlaeval sweep made")
    chosen = arguments.parse_args()
    if chosen.sweep:
        save(chosen.name, {"cells": [_cell(path) for path in cells_of(chosen.sweep)]})
    write_table(chosen.name, tables)


def _cell(path: Path) -> dict[str, Any]:
    """Return the outcomes of one combination of the axes.

    Raises:
        UsageError: it has no delay, or is incomplete.
    """
    axes = dict(part.split("=", 1) for part in path.name.split(",") if "=" in part)
    if DELAY not in axes:
        raise UsageError(f"{path}: is no cell of a sweep over the delay ({DELAY}=NUMBER)")
    results = collect([path])
    end = f", {path.name}"
    arms = {name.removesuffix(end): arm for name, arm in results["arms"].items()}
    folder = RunFolder.open(path)
    records = folder.records().final.values()
    for name, arm in arms.items():
        ended = [record for record in records if record.arm == name]
        seconds, interval = restricted_time(ended, folder.header.protocol)
        arm["restricted_s"] = [round(value, 2) for value in (seconds, *interval)]
        del arm["prefix_ms_p50"], arm["denoise_ms_p50"]  # of this machine; they decide nothing here
    return {**results, "axes": axes, "arms": arms}


def tables(results: Mapping[str, Any]) -> str:
    """Return the Markdown: successes, restricted times and differences; a row for each arm and each other axis."""
    cells = sorted(results["cells"], key=lambda cell: int(cell["axes"][DELAY]))
    delays = list(dict.fromkeys(int(cell["axes"][DELAY]) for cell in cells))
    groups: dict[tuple[str, ...], list[Any]] = defaultdict(list)
    for cell in cells:
        groups[_others(cell)].append(cell)
    axes = [axis for axis in cells[0]["axes"] if axis != DELAY]
    head = [*axes, "arm", *(f"d = {delay}" for delay in delays)]
    align = "|---" * (len(axes) + 1) + "|--:" * len(delays) + "|"
    texts = []
    for shown in (_success, _time, _minus_first):
        lines = [f"| {' | '.join(head)} |", align]
        for values, group in sorted(groups.items()):
            first = next(iter(group[0]["arms"]))
            for name in group[0]["arms"]:
                found = ((cell["arms"].get(name), cell["arms"][first]) for cell in group)
                fields = ["–" if arm is None else shown(arm, other) for arm, other in found]
                lines.append(f"| {' | '.join([*values, name, *fields])} |")
        texts.append("\n".join(lines) + "\n")
    return "\n".join(texts)


def _others(cell: Mapping[str, Any]) -> tuple[str, ...]:
    return tuple(value for axis, value in cell["axes"].items() if axis != DELAY)


def _success(arm: Mapping[str, Any], _: object) -> str:
    won, n, low, high = rate(_together(arm))
    return f"{won}/{n} [{100 * low:.0f}, {100 * high:.0f}]"


def _time(arm: Mapping[str, Any], _: object) -> str:
    middle, low, high = arm["restricted_s"]
    return f"{middle:.1f} [{low:.1f}, {high:.1f}]"


def _minus_first(arm: Mapping[str, Any], first: Mapping[str, Any]) -> str:
    return "–" if arm is first else points(*difference(_together(arm), _together(first)))


def _together(arm: Mapping[str, Any]) -> Successes:
    """Return the successes of all tasks side by side: (repeats, states)."""
    return np.concatenate([by_state(arm, task) for task in arm["tasks"]], axis=1)


if __name__ == "__main__":
    run(main)
