"""Success and restricted time to success over the delay: the curves of a grid with ``ticks``.

Success has Wilson's 95 % interval at each delay. The restricted time is the mean of min(time, T), where a
failure counts T. Its 95 % interval is a bet on the means of initial states, because repeats of one state
are not independent. All intervals are pointwise, and hold at the delays of the grid alone: success need not
fall with the delay.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from vla_eval.catalog import control_hz
from vla_eval.drawing import svg
from vla_eval.drawing.svg import LOOKS, WIDE, Sheet, shorten, standalone
from vla_eval.errors import UsageError
from vla_eval.files.atomic import write_atomically
from vla_eval.judging.break_even import Bracket
from vla_eval.judging.measures import steps_to_success, time_limits
from vla_eval.policy import PolicyMetadata
from vla_eval.protocol import Protocol
from vla_eval.realtime.latency import ticks_of, virtual_time
from vla_eval.realtime.settings import Realtime
from vla_eval.record import EpisodeRecord
from vla_eval.runs.folder import RunFolder
from vla_eval.runs.header import Arm
from vla_eval.stats.bounded import bet_interval
from vla_eval.summary.model import RunSummary
from vla_eval.sweep.grid import TICKS, Cell

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = [
    "Curve",
    "Point",
    "delay_groups",
    "draw_curves",
    "rate_hz",
    "restricted_time",
    "write_curves",
]

type Interval = tuple[float, float]


@dataclass(frozen=True)
class Point:
    """One arm at one delay."""

    ticks: int
    rate: float
    wilson95: Interval
    restricted_s: float
    """Mean of min(time, T), in s; failures count T."""
    restricted95_s: Interval


@dataclass(frozen=True)
class Curve:
    """One arm over the delay."""

    arm: str
    own_ticks: int | None
    """Delay on the protocol's machine; None if it names none that applies."""
    points: tuple[Point, ...]


def write_curves(
    results: Sequence[tuple[Cell, RunSummary]],
    out: Path,
    brackets: Mapping[str, Bracket | None],
) -> list[Path]:
    """Draw the curves into ``out``, one file for every combination of the other axes.

    Args:
        results: the cells with their results.
        out: the sweep's folder.
        brackets: break-even by the name of a combination, where one is declared and judged.

    Returns:
        The files; none if the grid has no axis of delays.
    """
    files = []
    for name, group in delay_groups(results).items():
        file = out / f"{name}.svg"
        sheet = draw_curves(_curves(group, out), group[0][0], brackets.get(name))
        write_atomically(file, standalone(sheet))
        files.append(file)
    return files


def delay_groups(
    results: Sequence[tuple[Cell, RunSummary]],
) -> dict[str, list[tuple[Cell, RunSummary]]]:
    """Return the cells that differ in the delay alone, by a name of what they have in common."""
    groups: dict[str, list[tuple[Cell, RunSummary]]] = defaultdict(list)
    for cell, summary in results:
        if cell.machines is not None:
            others = [f"{axis}={value}" for axis, value in cell.values.items() if axis != TICKS]
            groups[",".join([TICKS, *others])].append((cell, summary))
    return groups


def _curves(group: Sequence[tuple[Cell, RunSummary]], out: Path) -> list[Curve]:
    points: dict[str, list[Point]] = defaultdict(list)
    own: dict[str, int | None] = {}
    for cell, summary in group:
        folder = RunFolder.open(out / cell.name)
        finals = list(folder.records().final.values())
        for arm in folder.header.arms:
            result = summary.arms[arm.name]
            ended = [each for each in finals if each.arm == arm.name and each.outcome != "error"]
            if not ended:
                continue
            own[arm.name] = _own_ticks(cell.machines, arm, rate_hz(cell.protocol))
            seconds, interval = restricted_time(ended, cell.protocol)
            point = Point(
                int(cell.values[TICKS]),
                result.successes / result.n,
                result.wilson95,
                seconds,
                interval,
            )
            points[arm.name].append(point)
    return [
        Curve(arm, own[arm], tuple(sorted(each, key=lambda point: point.ticks)))
        for arm, each in points.items()
    ]


def rate_hz(protocol: Protocol) -> float:
    """Return the control rate of a grid over delays, in Hz."""
    return float(control_hz(protocol.blocks[0].suite) or 1.0)


def _own_ticks(machines: Realtime | None, arm: Arm, rate_hz: float) -> int | None:
    """Return an arm's delay by the protocol's machine, from its identity; None if there is none."""
    identity: Mapping[str, Any] = arm.identity or {}
    known = {name: identity.get(name) for name in ("nfe", "privileged", "options")}
    metadata = PolicyMetadata("", "", 1, 1, **known)  # type: ignore[arg-type]  # as asdict made them
    try:
        virtual = virtual_time(machines, arm.name, metadata)
    except UsageError:
        return None
    return None if virtual is None else ticks_of(virtual.latency.expected_us, rate_hz)


def restricted_time(records: Iterable[EpisodeRecord], protocol: Protocol) -> tuple[float, Interval]:
    """Return the restricted mean time to success with its 95 % interval, in s.

    Args:
        records: the results of one arm, at least one.
        protocol: the protocol, in virtual time.
    """
    limits = time_limits(protocol)
    longest = max(limits.values())
    states: dict[tuple[str, str, int], list[float]] = defaultdict(list)
    for record in records:
        steps = steps_to_success(record, limits[record.suite, record.task])
        states[record.suite, record.task, record.init_state].append(steps / longest)
    shares = np.array([np.mean(each) for each in states.values()])
    low, high = bet_interval(shares, alpha=0.05)
    seconds = longest / rate_hz(protocol)
    return seconds * float(shares.mean()), (seconds * max(0.0, low), seconds * min(1.0, high))


def draw_curves(curves: Sequence[Curve], cell: Cell, judged: Bracket | None = None) -> str:
    """Draw success above restricted time, with a line for each arm.

    Args:
        curves: the arms.
        cell: any cell of the curves, for the labels.
        judged: the break-even, drawn as two bars under the curves of success.

    Returns:
        The SVG of a page (:func:`vla_eval.drawing.svg.standalone` makes a file of it).
    """
    rate = rate_hz(cell.protocol)
    ranges = (
        f"{curve.arm} {curve.points[0].rate:.0%} at {curve.points[0].ticks} ticks, "
        f"{curve.points[-1].rate:.0%} at {curve.points[-1].ticks}"
        for curve in curves
        if curve.points
    )
    label = f"Success and restricted time over the delay: {'; '.join(ranges)}."
    with Sheet.open(TICKS, WIDE, 620, label) as sheet:
        above, below = sheet.axes(60, 34, 190, 354), sheet.axes(60, 324, 190, 56)
        for panel in (above, below):
            panel.grid(visible=True, axis="y", color=svg.RULE, linewidth=0.7)
            panel.set_axisbelow(True)
            panel.set_xticks(sorted({point.ticks for curve in curves for point in curve.points}))
        for index, curve in enumerate(curves):
            shift = 0.09 * (index - (len(curves) - 1) / 2)
            success = [
                (point.ticks, 100 * point.rate, _percent(point.wilson95)) for point in curve.points
            ]
            time = [
                (point.ticks, point.restricted_s, point.restricted95_s) for point in curve.points
            ]
            for panel, points in ((above, success), (below, time)):
                _line(panel, curve, points, LOOKS[index % len(LOOKS)], shift)
        above.set_ylim(-3, 103)
        if judged is not None:
            _bars(above, judged)
        below.set_ylim(0, None)
        above.yaxis.set_major_formatter(lambda value, _: f"{value:.0f} %")
        above.set_title("success", loc="left", fontsize=12, color=svg.MUTED)
        below.set_title("restricted time to success, s", loc="left", fontsize=12, color=svg.MUTED)
        below.set_xlabel(f"delay of an inference in control steps of {1e3 / rate:.3g} ms")
        above.legend(loc="upper left", bbox_to_anchor=(1.01, 1.0), frameon=False)
        machine = None if cell.machines is None else cell.machines.machine
        if machine is not None:
            where = (below.get_xlim()[1], below.get_ylim()[1])
            svg.put_text(below, where, (12, -12), "ring: the arm's own", ha="left", color=svg.MUTED)
            svg.put_text(below, where, (12, -28), "delay on", ha="left", color=svg.MUTED)
            name = shorten(machine.name, 22)
            svg.put_text(below, where, (12, -44), name, ha="left", color=svg.MUTED)
    return sheet.markup


def _bars(panel: Axes, judged: Bracket) -> None:
    """Draw at which delays the reference keeps up, and at which the candidate is better."""
    delays, names = [each.ticks for each in judged.delays], judged.declared
    kept_up, better = judged.not_worse_to, judged.superior_from
    candidate = f"{shorten(names.candidate, 12)} at {names.candidate_ticks} is better"
    reference = f"{shorten(names.reference, 12)} keeps up"
    bars = (
        (-9, None if kept_up is None else (delays[0], kept_up), reference),
        (-22, None if better is None else (better, delays[-1]), candidate),
    )
    across = panel.get_xlim()
    for y, ends, words in bars:
        if ends is not None:
            reach = [ends[0] - 0.3, ends[1] + 0.3]
            panel.plot(reach, [y, y], color=svg.INK, linewidth=5, solid_capstyle="butt")
        text = words if ends is not None else f"{words}: not shown"
        svg.put_text(panel, (across[1], y), (12, 0), text, ha="left", color=svg.MUTED)
    panel.set_xlim(across)
    panel.set_ylim(-30, 103)
    panel.set_yticks(range(0, 101, 20))


def _percent(interval: Interval) -> Interval:
    return 100 * interval[0], 100 * interval[1]


def _line(
    panel: Axes,
    curve: Curve,
    points: Sequence[tuple[int, float, Interval]],
    look: tuple[str, str, str],
    shift: float,
) -> None:
    """Draw one arm, moved a little aside so that no bar hides another; a ring where its own delay is."""
    color, line, mark = look
    xs = [ticks + shift for ticks, _, _ in points]
    ys = [y for _, y, _ in points]
    panel.plot(
        xs, ys, marker=mark, color=color, linestyle=line, markersize=5, label=shorten(curve.arm, 22)
    )
    for x, (_, _, (low, high)) in zip(xs, points, strict=True):
        panel.plot([x, x], [low, high], color=color, linewidth=1)
    for x, (ticks, y, _) in zip(xs, points, strict=True):
        if ticks == curve.own_ticks:
            ring = {"markerfacecolor": "none", "markeredgecolor": color, "markeredgewidth": 1.6}
            panel.plot([x], [y], "o", markersize=15, clip_on=False, **ring)  # type: ignore[arg-type]
