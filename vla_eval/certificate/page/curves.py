"""Drawing of the curves F(t): the share of each arm's episodes that had succeeded by time t."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from vla_eval.drawing import svg
from vla_eval.drawing.svg import NARROW, STYLES, Sheet

if TYPE_CHECKING:
    from vla_eval.certificate.model import RestrictedTime

__all__ = ["draw_curves"]


def draw_curves(time: RestrictedTime, roles: Mapping[str, str], width: int) -> str:
    """Draw the share of solved episodes over time, one curve an arm.

    Args:
        time: the curves.
        roles: role of each arm, by name.
        width: width of the sheet in pixels.
    """
    unit, longest = _axis(time)
    label = "Share of episodes solved by time: " + "; ".join(
        f"{name} {shares[len(shares) // 2]:.0%} at half of the limit, {shares[-1]:.0%} at the limit"
        for name, shares in time.solved.items()
    )
    narrow = width <= NARROW
    with Sheet.open(f"curves{width}", width, 280, label) as sheet:
        axes = sheet.axes(46 if narrow else 54, 26, 16, 46)
        at = [longest * share for share in time.grid]
        for name, shares in time.solved.items():
            color, line = STYLES[roles[name]]
            axes.step(at, shares, where="post", color=color, linestyle=line, linewidth=2)
        axes.set_xlim(0, longest)
        axes.set_ylim(-0.03, 1.03)
        axes.yaxis.set_major_formatter(lambda value, _: f"{value:.0%}")
        axes.grid(visible=True, axis="y", color=svg.RULE, linewidth=0.7)
        axes.set_axisbelow(True)
        axes.tick_params(axis="y", length=0)
        axes.set_title("solved by then", loc="left", fontsize=12, color=svg.MUTED, pad=8)
        axes.set_xlabel(f"time in the episode ({unit})")
    return sheet.markup


def _axis(time: RestrictedTime) -> tuple[str, float]:
    """Return unit and end of the axis of time."""
    if time.limit_steps is None:
        return "% of the time limit", 100.0
    if time.control_hz is None:
        return "control steps", float(time.limit_steps)
    return "s", time.limit_steps / time.control_hz
