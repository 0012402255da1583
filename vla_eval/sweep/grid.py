"""Grids of policies and settings from one file; every cell is an ordinary run.

::

    protocol = "so101-pick-place"            # a shipped protocol, or a file beside this one
    set = ["run.n_action_steps={horizon}"]   # optional changes of it

    [grid]                                   # every combination is a cell: a run folder of its own
    horizon = [1, 5, 10]

    [arms]                                   # all arms of a cell see the same episodes
    ten = "flow:so101/fm?nfe=10"
    one = "flow:so101/fm?nfe=1"

``{name}`` stands for the cell's value of an axis, in ``set`` and in specs. A protocol in virtual time can
have an axis of delays, which all arms get alike, in place of the machine's latencies::

    protocol = "so101-real-time"
    ticks = [0, 1, 2, 3, 4, 6, 8, 9]         # control steps

    [break_even]                             # optional: one arm at its delay against another at all delays
    candidate = "one"
    candidate_ticks = 3
    reference = "ten"

What is compared goes into the protocol of every cell, so its hash covers it.
"""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from vla_eval.analysis import BreakEven
from vla_eval.catalog import control_hz
from vla_eval.engine.runner import run
from vla_eval.errors import UsageError, did_you_mean
from vla_eval.files.complaints import first_complaint
from vla_eval.files.jsonfile import ArmName
from vla_eval.files.tomlfile import read_toml
from vla_eval.protocol import Protocol
from vla_eval.realtime.latency import microseconds_of
from vla_eval.realtime.settings import Realtime
from vla_eval.released import load_protocol
from vla_eval.summary.model import RunSummary

__all__ = ["TICKS", "Cell", "Grid", "load_grid", "run_grid"]

TICKS = "ticks"
"""Name of the axis of delays."""

Value = int | float | str
Progress = Callable[[str], None]


class BreakEvenTable(BaseModel):
    """The arms of a break-even, whose delays are the grid's."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    candidate: ArmName
    candidate_ticks: int
    """Delay of the candidate, in control steps."""
    reference: ArmName


class Grid(BaseModel):
    """The content of a grid file."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    protocol: str = Field(min_length=1)
    set: tuple[str, ...] = ()
    """``key.path=value`` changes of the protocol."""
    grid: Mapping[str, tuple[Value, ...]] = Field(default_factory=dict)
    """Values by axis; a grid without axes has one cell."""
    ticks: tuple[Annotated[int, Field(ge=0, le=10_000)], ...] = ()
    """Delays in control steps, an axis of its own; needs a protocol in virtual time."""
    break_even: BreakEvenTable | None = None
    """What is judged over the delays (:mod:`vla_eval.judging.break_even`)."""
    arms: Mapping[str, str] = Field(min_length=1)
    """Policy specs by name."""


@dataclass(frozen=True)
class Cell:
    """One combination of the axes' values."""

    values: Mapping[str, Value]
    protocol: Protocol
    arms: Mapping[str, str]
    machines: Realtime | None = None
    """Virtual time without the axis of delays: the arms on the protocol's machine."""

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
    axes: dict[str, tuple[Value, ...]] = dict(grid.grid)
    if grid.ticks:
        if TICKS in axes:
            raise UsageError(f"grid {path}: 'ticks' is there twice, at the top and in [grid]")
        axes[TICKS] = grid.ticks
    _check_axes(axes, path)
    beside = path.parent / grid.protocol
    protocol = (
        str(beside) if grid.protocol.endswith(".toml") and beside.is_file() else grid.protocol
    )
    return [
        _cell(grid, protocol, dict(zip(axes, values, strict=True)), path)
        for values in itertools.product(*axes.values())
    ]


def _check_axes(axes: Mapping[str, tuple[Value, ...]], path: Path) -> None:
    for axis, values in axes.items():
        if not values or len(set(values)) != len(values):
            raise UsageError(f"grid {path}, 'grid.{axis}': needs values, each of them once")
        if not all(re.fullmatch(r"[\w.+-]+", str(value)) for value in (axis, *values)):
            raise UsageError(
                f"grid {path}, 'grid.{axis}': names and values become names of folders; use letters, "
                "digits, '.', '+', '-' and '_' only"
            )


def _check_break_even(declared: BreakEven | None, grid: Grid, path: Path) -> None:
    """Refuse a break-even of arms or delays that the grid does not have."""
    if declared is None:
        return
    for name in (declared.candidate, declared.reference):
        if name not in grid.arms:
            raise UsageError(
                f"grid {path}: break_even names the arm '{name}', which the grid does not have"
                f"{did_you_mean(name, grid.arms)}"
            )
    for delay in (declared.candidate_ticks, *declared.reference_ticks):
        if delay not in grid.ticks:
            raise UsageError(
                f"grid {path}: break_even needs a delay of {delay} control steps, which 'ticks' does not "
                "have; add it there"
            )


def _compared(grid: Grid) -> list[str]:
    """Return the change of the protocol that declares the break-even."""
    if grid.break_even is None:
        return []
    fields = {**grid.break_even.model_dump(), "reference_ticks": sorted(grid.ticks)}
    # A JSON value is a TOML value, but for an object.
    table = ", ".join(f"{name} = {json.dumps(value)}" for name, value in fields.items())
    return [f"analysis.break_even={{ {table} }}"]


def _cell(grid: Grid, protocol: str, values: Mapping[str, Value], path: Path) -> Cell:
    changes = [_filled(change, values, path) for change in grid.set]
    arms = {name: _filled(spec, values, path) for name, spec in grid.arms.items()}
    changes += _compared(grid)
    loaded = load_protocol(protocol, overrides=changes)
    _check_break_even(loaded.analysis.break_even, grid, path)
    if not grid.ticks:
        return Cell(values, loaded, arms)
    if loaded.run.realtime is None:
        raise UsageError(
            f"grid {path}: 'ticks' needs a protocol in virtual time, and {loaded.label} is paused"
        )
    delay = _delay(int(values[TICKS]), _rate_hz(loaded, path), arms)
    delayed = load_protocol(protocol, overrides=[*changes, delay])
    return Cell(values, delayed, arms, machines=loaded.run.realtime)


def _rate_hz(protocol: Protocol, path: Path) -> float:
    """Return the control rate of all tasks, in Hz."""
    rates = {block.suite: control_hz(block.suite) for block in protocol.blocks}
    (rate, *others) = dict.fromkeys(rates.values())
    if rate is None or others:
        raise UsageError(
            f"grid {path}: 'ticks' needs suites with one control rate, known to the catalogue, and "
            f"{protocol.label} has {', '.join(rates)}"
        )
    return rate


def _delay(ticks: int, rate_hz: float, arms: Iterable[str]) -> str:
    """Return the change of the protocol that gives all arms the same delay."""
    total_us = microseconds_of(ticks, rate_hz)
    latencies = ", ".join(f"{json.dumps(arm)} = {{ total_us = {total_us} }}" for arm in arms)
    return f"run.realtime.arms={{ {latencies} }}"


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
