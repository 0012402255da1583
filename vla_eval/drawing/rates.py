"""Drawing of success rates: one row for each policy, with its interval."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from vla_eval.drawing import svg
from vla_eval.drawing.svg import NARROW, Sheet, put_text, shorten
from vla_eval.drawing.words import percent

__all__ = ["Rate", "draw_rates"]


@dataclass(frozen=True)
class Rate:
    """The success rate of one policy."""

    name: str
    successes: int
    n: int
    limits: tuple[float, float]
    """95 % interval, as fractions."""
    missing: int = 0

    @property
    def share(self) -> float:
        """Successes over episodes; 0 without episodes."""
        return self.successes / max(1, self.n)

    @property
    def words(self) -> str:
        """Counts and rate: ``194/200 = 97.0 %``."""
        rate = percent(self.share).replace("\u202f", " ")
        missing = f", {self.missing} missing" if self.missing else ""
        return f"{self.successes}/{self.n} = {rate}{missing}"


def draw_rates(rates: Sequence[Rate], name: str, width: int) -> str:
    """Return the drawing as inline SVG; equal rates give equal bytes.

    Args:
        rates: the rows, from top to bottom.
        name: name of the drawing, unique on its page.
        width: width in pixels.
    """
    narrow = width <= NARROW
    row_height, left, right = (46, 10, 14) if narrow else (34, 190, 210)
    label = "Success rates: " + ", ".join(f"{rate.name} {rate.words}" for rate in rates)
    with Sheet.open(f"{name}{width}", width, 66 + row_height * len(rates), label) as sheet:
        axes = sheet.axes(left, 14, right, 48)
        axes.set_xlim(0, 100)
        axes.set_ylim(len(rates), 0)
        axes.set_yticks([])
        axes.set_xlabel("success rate, per cent, with its 95 % interval")
        axes.grid(axis="x", color=svg.RULE, linewidth=0.8)
        axes.set_axisbelow(True)
        for row, rate in enumerate(rates):
            y, limits = row + (0.74 if narrow else 0.5), [100 * limit for limit in rate.limits]
            axes.plot(limits, [y, y], color=svg.CANDIDATE, linewidth=6, solid_capstyle="butt")
            dot, edge = svg.PAPER, svg.CANDIDATE
            axes.plot([100 * rate.share], [y], "o", color=dot, mec=edge, ms=8, clip_on=False)
            if narrow:
                put_text(axes, (0, row + 0.3), (0, 0), shorten(rate.name, 22), weight="bold")
                put_text(axes, (100, row + 0.3), (0, 0), rate.words, ha="right")
            else:
                put_text(axes, (0, y), (-12, 0), shorten(rate.name, 24), ha="right", weight="bold")
                put_text(axes, (100, y), (12, 0), rate.words)
    return sheet.markup
