"""Drawing of the curves F(t): the share of each arm's episodes that had succeeded by time t."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from vla_eval.drawing import svg
from vla_eval.drawing.svg import NARROW, Sheet, shorten

__all__ = ["SolvedByTime", "draw_solved"]

_LINE = 20
"""Pixels of a line of the legend below a narrow drawing."""


class SolvedByTime(Protocol):
    """The curves of several arms."""

    @property
    def limit_steps(self) -> int | None:
        """Time limit T in control steps; None: tasks have different limits."""

    @property
    def control_hz(self) -> float | None:
        """Control steps a second; None: unknown."""

    @property
    def grid(self) -> tuple[float, ...]:
        """Times as a fraction of T, ascending from 0 to 1."""

    @property
    def solved(self) -> Mapping[str, tuple[float, ...]]:
        """F at each time of the grid, by arm."""


def draw_solved(curves: SolvedByTime, looks: Mapping[str, tuple[str, str]], width: int) -> str:
    """Draw the share of solved episodes over time, one curve an arm.

    Args:
        curves: the curves.
        looks: colour and line of each arm, by name.
        width: width of the sheet in pixels.
    """
    unit, longest = _axis(curves)
    label = "Share of episodes solved by time: " + "; ".join(
        f"{name} {shares[len(shares) // 2]:.0%} at half of the limit, {shares[-1]:.0%} at the limit"
        for name, shares in curves.solved.items()
    )
    narrow = width <= NARROW
    below = _LINE * len(curves.solved) if narrow else 0
    with Sheet.open(f"curves{width}", width, 280 + below, label) as sheet:
        axes = sheet.axes(46 if narrow else 54, 26, 16 if narrow else 190, 46 + below)
        at = [longest * share for share in curves.grid]
        for name, shares in curves.solved.items():
            color, line = looks[name]
            named = shorten(name, 36 if narrow else 20)
            axes.step(
                at, shares, where="post", color=color, linestyle=line, linewidth=2, label=named
            )
        axes.set_xlim(0, longest)
        axes.set_ylim(-0.03, 1.03)
        axes.yaxis.set_major_formatter(lambda value, _: f"{value:.0%}")
        axes.grid(visible=True, axis="y", color=svg.RULE, linewidth=0.7)
        axes.set_axisbelow(True)
        axes.tick_params(axis="y", length=0)
        axes.set_title("solved by then", loc="left", fontsize=12, color=svg.MUTED, pad=8)
        axes.set_xlabel(f"time in the episode ({unit})")
        place = (0.0, -46 / axes.bbox.height) if narrow else (1.02, 1.0)
        axes.legend(loc="upper left", bbox_to_anchor=place, frameon=False, handlelength=3)
    return sheet.markup


def _axis(curves: SolvedByTime) -> tuple[str, float]:
    """Return unit and end of the axis of time."""
    if curves.limit_steps is None:
        return "% of the time limit", 100.0
    if curves.control_hz is None:
        return "control steps", float(curves.limit_steps)
    return "s", curves.limit_steps / curves.control_hz
