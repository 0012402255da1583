"""Drawing of the looks of a sequential run: the score of the pairs so far against its bounds."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from vla_eval.drawing import svg
from vla_eval.drawing.svg import NARROW, Sheet

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from vla_eval.certificate.model import Sequential

__all__ = ["draw_looks"]


def draw_looks(sequential: Sequential, width: int) -> str:
    """Draw the score at each look, the bound for certifying and the bound for giving up."""
    label = "; ".join(
        f"look {look.number}, {look.pairs} pairs: score {look.z:.2f}, bound {look.bound:.2f}"
        for look in sequential.looks
    )
    narrow = width <= NARROW
    with Sheet.open(f"looks{width}", width, 300, label) as sheet:
        axes = sheet.axes(46 if narrow else 54, 26, 16, 46)
        _limits(axes, sequential)
        _bounds(axes, sequential, narrow=narrow)
        pairs = [look.pairs for look in sequential.looks]
        scores = [look.z for look in sequential.looks]
        axes.plot([0, *pairs], [0, *scores], color=svg.CANDIDATE, linewidth=1.5, zorder=3)
        axes.plot(pairs, scores, "o", color=svg.CANDIDATE, markersize=8, zorder=4)
        axes.set_xlabel("pairs" if narrow else "pairs of candidate and reference")
        title = "score at the margin" if narrow else "Tango's score at the margin"
        axes.set_title(title, loc="left", fontsize=12, color=svg.MUTED, pad=8)
    return sheet.markup


def _limits(axes: Axes, sequential: Sequential) -> None:
    scores = [look.z for look in sequential.looks]
    axes.set_xlim(0, 1.14 * sequential.sizes[-1])
    axes.set_ylim(min(-1.0, *scores) - 0.6, max(*sequential.bounds, *scores) + 0.6)
    axes.set_xticks(sequential.sizes)
    axes.grid(visible=True, axis="y", color=svg.RULE, linewidth=0.7)
    axes.set_axisbelow(True)
    axes.tick_params(axis="y", length=0)


def _bounds(axes: Axes, sequential: Sequential, *, narrow: bool) -> None:
    """Draw the bounds as dashes at each look, with labels."""
    reach = sequential.sizes[0] * 0.32
    for number, (size, bound) in enumerate(
        zip(sequential.sizes, sequential.bounds, strict=True), start=1
    ):
        axes.plot([size - reach, size + reach], [bound] * 2, color=svg.INK, linewidth=2)
        _say(axes, (size + reach, bound), (3, 0), f"{bound:.2f}", ha="left", va="center")
        if 2 <= number < len(sequential.sizes):
            axes.plot(
                [size - reach, size + reach],
                [0, 0],
                color=svg.INK,
                linewidth=1.5,
                linestyle=(0, (2, 2)),
            )
    if not narrow:
        _say(axes, (sequential.sizes[1], 0), (0, -14), "below: given up", ha="center")


def _say(
    axes: Axes, place: tuple[float, float], shift: tuple[float, float], text: str, **look: Any
) -> None:
    axes.annotate(
        text, place, shift, textcoords="offset points", color=svg.MUTED, fontsize=11, **look
    )
