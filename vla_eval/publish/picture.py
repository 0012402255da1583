"""The picture of a dataset card: the success rate of each arm with its interval."""

from __future__ import annotations

from vla_eval.drawing import svg
from vla_eval.drawing.svg import WIDE, Sheet, put_text, shorten, standalone
from vla_eval.drawing.words import percent
from vla_eval.summary.model import ArmSummary, RunSummary

__all__ = ["draw_rates"]

_ROW = 34
_LEFT, _RIGHT = 190, 210


def draw_rates(summary: RunSummary) -> str:
    """Return the drawing as an SVG file of its own; equal summaries give equal bytes."""
    arms = list(summary.arms.items())
    label = "Success rates: " + ", ".join(f"{name} {_words(arm)}" for name, arm in arms)
    with Sheet.open("rates", WIDE, 66 + _ROW * len(arms), label) as sheet:
        axes = sheet.axes(_LEFT, 14, _RIGHT, 48)
        axes.set_xlim(0, 100)
        axes.set_ylim(len(arms), 0)
        axes.set_yticks([])
        axes.set_xlabel("success rate, per cent, with its 95 % interval")
        axes.grid(axis="x", color=svg.RULE, linewidth=0.8)
        axes.set_axisbelow(True)
        for row, (name, arm) in enumerate(arms):
            y, limits = row + 0.5, [100 * limit for limit in arm.wilson95]
            axes.plot(limits, [y, y], color=svg.CANDIDATE, linewidth=6, solid_capstyle="butt")
            rate = 100 * arm.successes / max(1, arm.n)
            axes.plot(
                [rate],
                [y],
                "o",
                color=svg.PAPER,
                markeredgecolor=svg.CANDIDATE,
                markersize=8,
                clip_on=False,
            )
            put_text(axes, (0, y), (-12, 0), shorten(name, 24), ha="right", weight="bold")
            put_text(axes, (100, y), (12, 0), _words(arm))
    return standalone(sheet.markup)


def _words(arm: ArmSummary) -> str:
    rate = percent(arm.successes / max(1, arm.n)).replace("\u202f", " ")
    missing = f", {arm.errors} missing" if arm.errors else ""
    return f"{arm.successes}/{arm.n} = {rate}{missing}"
