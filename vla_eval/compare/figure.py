"""The picture of a comparison: success against latency, with the Pareto front."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from vla_eval.compare.results import RankedArm
from vla_eval.drawing import svg
from vla_eval.drawing.svg import NARROW, Sheet, plain_log, shorten

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["draw_pareto"]

_LINE = 15.0
"""Pixels between two labels."""


def draw_pareto(arms: Sequence[RankedArm], width: int) -> str:
    """Draw success with its 95 % interval over the median inference time, logarithmic.

    Args:
        arms: the policies; only policies with times are drawn.
        width: width of the sheet in pixels.

    Returns:
        The SVG; empty if fewer than two policies have times.
    """
    timed = [arm for arm in arms if arm.infer_ms is not None]
    if len(timed) < 2:
        return ""
    narrow = width <= NARROW
    best = ", ".join(arm.name for arm in timed if arm.pareto)
    label = f"Success rate against the time of one inference; Pareto-optimal: {best}."
    with Sheet.open(f"pareto{width}", width, 340, label) as sheet:
        axes = sheet.axes(46 if narrow else 54, 22, 16 if narrow else 24, 50)
        _axes(axes, timed, room=0.9 if narrow else 0.4)
        _front(axes, timed)
        for arm in timed:
            ms, color = arm.infer_ms or 0.0, svg.CANDIDATE if arm.pareto else svg.MUTED
            axes.plot([ms, ms], [100 * limit for limit in arm.wilson95], color=color, linewidth=2)
            mark = "o" if arm.pareto else "s"
            axes.plot([ms], [100 * arm.rate], mark, color=color, markersize=8)
        _labels(axes, timed, 14 if narrow else 34)
    return sheet.markup


def _axes(axes: Axes, arms: Sequence[RankedArm], *, room: float) -> None:
    times = [arm.infer_ms or 0.0 for arm in arms]
    axes.set_xscale("log")
    # Room on the right for the names of the slowest.
    axes.set_xlim(min(times) / 1.6, max(times) * max(1.8, (max(times) / min(times)) ** room))
    low = min(arm.wilson95[0] for arm in arms)
    high = max(arm.wilson95[1] for arm in arms)
    axes.set_ylim(max(-2.0, 100 * low - 6), min(103.0, 100 * high + 6))
    plain_log(axes, "x")
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:.0f} %")
    axes.grid(visible=True, axis="y", color=svg.RULE, linewidth=0.7)
    axes.set_axisbelow(True)
    which = "median" if arms[0].virtual is None else "as declared"
    axes.set_xlabel(f"one inference, {which} (ms, logarithmic)")


def _front(axes: Axes, arms: Sequence[RankedArm]) -> None:
    """Draw the Pareto front as steps: from each Pareto-optimal policy to the right, then up."""
    front = sorted((arm for arm in arms if arm.pareto), key=lambda arm: arm.infer_ms or 0.0)
    if not front:
        return
    xs = [arm.infer_ms or 0.0 for arm in front]
    ys = [100 * arm.rate for arm in front]
    axes.step([*xs, axes.get_xlim()[1]], [*ys, ys[-1]], where="post", color=svg.RULE, linewidth=2)


def _labels(axes: Axes, arms: Sequence[RankedArm], length: int) -> None:
    """Write the names beside the points, moved apart if they would overlap."""
    height = float(axes.bbox.height)
    low, high = axes.get_ylim()
    taken: list[float] = []
    for arm in sorted(arms, key=lambda arm: -arm.rate):
        at = height * (100 * arm.rate - low) / (high - low)
        place = at if not taken else min(at, taken[-1] - _LINE)
        taken.append(place)
        axes.annotate(
            shorten(arm.name, length),
            (arm.infer_ms or 0.0, 100 * arm.rate),
            (10, place - at),
            textcoords="offset points",
            va="center",
            weight="bold" if arm.pareto else "normal",
        )
