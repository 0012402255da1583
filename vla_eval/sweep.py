"""Grids of policies and settings from one file; every cell is an ordinary run.

::

    protocol = "so101-pick-place"            # a shipped protocol, or a file beside this one
    set = ["run.n_action_steps={horizon}"]   # optional changes of it

    [grid]                                   # every combination is a cell: a run folder of its own
    horizon = [1, 5, 10]

    [arms]                                   # all arms of a cell see the same episodes
    ten = "flow:so101/fm?nfe=10"
    one = "flow:so101/fm?nfe=1"

``{name}`` stands for the cell's value of an axis, in ``set`` and in specs.
"""

from __future__ import annotations

import csv
import io
import itertools
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from vla_eval.engine.runner import run
from vla_eval.errors import UsageError
from vla_eval.files.atomic import write_atomically
from vla_eval.files.complaints import first_complaint
from vla_eval.files.plain import markdown
from vla_eval.files.tomlfile import read_toml
from vla_eval.protocol import Protocol
from vla_eval.released import load_protocol
from vla_eval.summary.model import RunSummary, TaskRate
from vla_eval.summary.text import interval_text

__all__ = ["Cell", "Grid", "load_grid", "run_grid", "table_rows", "write_tables"]

Value = int | float | str
Progress = Callable[[str], None]


class Grid(BaseModel):
    """The content of a grid file."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    protocol: str = Field(min_length=1)
    set: tuple[str, ...] = ()
    """``key.path=value`` changes of the protocol."""
    grid: Mapping[str, tuple[Value, ...]] = Field(default_factory=dict)
    """Values by axis; a grid without axes has one cell."""
    arms: Mapping[str, str] = Field(min_length=1)
    """Policy specs by name."""


@dataclass(frozen=True)
class Cell:
    """One combination of the axes' values."""

    values: Mapping[str, Value]
    protocol: Protocol
    arms: Mapping[str, str]

    @property
    def name(self) -> str:
        """Name of the cell's run folder, such as ``horizon=5``."""
        return ",".join(f"{axis}={value}" for axis, value in self.values.items()) or "all"


def load_grid(path: Path) -> list[Cell]:
    """Read a grid file and check every cell of it, before anything runs.

    Raises:
        UsageError: a key is wrong, an axis empty or named twice, or a ``{name}`` is no axis.
        ProtocolError: unknown protocol, or a change that it does not accept.
    """
    try:
        grid = Grid.model_validate(read_toml(path))
    except ValidationError as error:
        raise UsageError(f"grid {path}: {first_complaint(error, Grid)}") from None
    for axis, values in grid.grid.items():
        if not values or len(set(values)) != len(values):
            raise UsageError(f"grid {path}, 'grid.{axis}': needs values, each of them once")
        if not all(re.fullmatch(r"[\w.+-]+", str(value)) for value in (axis, *values)):
            raise UsageError(
                f"grid {path}, 'grid.{axis}': names and values become names of folders; use letters, "
                "digits, '.', '+', '-' and '_' only"
            )
    beside = path.parent / grid.protocol
    protocol = (
        str(beside) if grid.protocol.endswith(".toml") and beside.is_file() else grid.protocol
    )
    cells = []
    for values in itertools.product(*grid.grid.values()):
        chosen = dict(zip(grid.grid, values, strict=True))
        changes = [_filled(change, chosen, path) for change in grid.set]
        arms = {name: _filled(spec, chosen, path) for name, spec in grid.arms.items()}
        cells.append(Cell(chosen, load_protocol(protocol, overrides=changes), arms))
    return cells


def _filled(text: str, values: Mapping[str, Value], path: Path) -> str:
    try:
        return text.format_map(values)
    except (KeyError, ValueError, IndexError):
        axes = ", ".join(f"{{{axis}}}" for axis in values) or "none"
        raise UsageError(
            f"grid {path}: '{text}' names an axis that [grid] does not have (it has {axes})"
        ) from None


def run_grid(
    cells: list[Cell], out: Path, *, workers: int | None = None, notify: Progress = print
) -> Iterator[tuple[Cell, RunSummary]]:
    """Run the cells one after the other, or continue them; yield the summary of each cell.

    Args:
        cells: the cells to run.
        out: folder for the run folders of the cells.
        workers: environments at a time; default one per usable core.
        notify: called with the name of the next cell.

    Raises:
        UsageError, InfrastructureError, InterruptedRunError: as :func:`vla_eval.run`; the same call
            continues.
    """
    for number, cell in enumerate(cells, 1):
        notify(f"cell {number} of {len(cells)}: {cell.name}")
        yield cell, run(cell.protocol, cell.arms, out / cell.name, workers=workers)


def table_rows(results: list[tuple[Cell, RunSummary]]) -> list[dict[str, Any]]:
    """Return one row for each cell, arm and task: counts, Wilson 95 %, latency."""
    rows = []
    for cell, summary in results:
        for name, arm in summary.arms.items():
            for task, rate in arm.tasks.items():
                low, high = rate.wilson95
                rows.append(
                    {
                        **cell.values,
                        "arm": name,
                        "task": task,
                        "successes": rate.successes,
                        "n": rate.n,
                        "wilson95_low": round(low, 4),
                        "wilson95_high": round(high, 4),
                        "infer_ms_p50": arm.infer_ms_p50,
                        "nfe": arm.nfe_per_chunk,
                    }
                )
    return rows


def write_tables(results: list[tuple[Cell, RunSummary]], out: Path) -> str:
    """Write ``sweep.csv`` and ``sweep.md`` into ``out``; return the Markdown.

    Rows are arms and tasks, columns are cells. A field has the number of successes, the number of
    episodes and Wilson's 95 % interval; the interval uses effective counts if initial states repeat.
    """
    rows = table_rows(results)
    if rows:
        file = io.StringIO()
        writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
        write_atomically(out / "sweep.csv", file.getvalue())
    names = [cell.name for cell, _ in results]
    heads = " | ".join(markdown(name) for name in names)
    lines = [f"| arm | task | {heads} |", "|---|---|" + "---|" * len(names)]
    keys = dict.fromkeys((row["arm"], row["task"]) for row in rows)
    for arm, task in keys:
        fields = [_field(summary.arms[arm].tasks.get(task)) for _, summary in results]
        lines.append(f"| {markdown(arm)} | {markdown(task)} | {' | '.join(fields)} |")
    text = "\n".join(lines) + "\n"
    write_atomically(out / "sweep.md", text)
    return text


def _field(rate: TaskRate | None) -> str:
    return "–" if rate is None else interval_text(rate.successes, rate.n, rate.wilson95)
