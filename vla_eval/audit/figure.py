"""The picture of an audit: every difference with its intervals, against the margins."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from vla_eval.audit.results import Audit, Audited, ClaimComparison, ClaimFinding
from vla_eval.drawing import svg, words
from vla_eval.drawing.svg import NARROW, WIDE, Sheet, shorten

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["LOOKS", "draw"]

LOOKS = {
    ClaimFinding.SUPPORTED: (svg.CANDIDATE, "o"),
    ClaimFinding.CONTRADICTED: (svg.REFERENCE, "X"),
    ClaimFinding.UNRESOLVED: (svg.CONTROL, "D"),
}
"""Colour and mark of a finding; the others are grey."""

_REACH = 30.0
"""Largest difference on the axis, in points; larger ones are cut off with an arrow."""


def draw(audit: Audit, width: int) -> str:
    """Return the picture as inline SVG; empty if no claim compares two rates.

    Args:
        audit: the judged claims.
        width: width of the sheet in pixels; a narrow sheet has its text above the bars.
    """
    rows = _rows(audit)
    if not rows:
        return ""
    narrow = width <= NARROW
    height = 34 if narrow else 21
    left, right = (14, 18) if narrow else (270, 150)
    count = sum(not isinstance(row, str) for row in rows)
    label = f"{count} differences in success rate with their intervals, against the margins."
    with Sheet.open(f"audit{width}", width, height * len(rows) + 92, label) as sheet:
        axes = sheet.axes(left, 40, right, 52)
        axes.set_xlim(-_REACH, _REACH)
        axes.set_ylim(len(rows), 0)
        axes.set_yticks([])
        axes.set_xlabel("success rate, candidate minus reference (points)")
        axes.xaxis.set_major_formatter(lambda value, _: f"{value:+g}".replace("-", "−"))
        claims = [index for index, row in enumerate(rows) if not isinstance(row, str)]
        strips = [(index + 0.5, index + 0.9) for index in claims] if narrow else [(0.0, len(rows))]
        _margins(axes, audit.file.margins, strips)
        for index, row in enumerate(rows):
            if isinstance(row, str):
                svg.put_text(
                    axes, (-_REACH, index + 0.6), (0 if narrow else -262, 0), row, weight="bold"
                )
            else:
                _row(axes, index, row, narrow=narrow)
    return sheet.markup


def _rows(audit: Audit) -> list[Audited | str]:
    """Return the claims that compare two rates, under the names of their sources."""
    rows: list[Audited | str] = []
    for name, claims in audit.by_source().items():
        compared = [audited for audited in claims if audited.comparison is not None]
        if compared:
            rows += [audit.file.sources[name].short, *compared]
    return rows


def _margins(axes: Axes, margins: Sequence[float], strips: Sequence[tuple[float, float]]) -> None:
    """Draw zero and margins inside the strips; the space between strips is for text."""
    dashes: tuple[Any, ...] = ((0, (4, 3)), (0, (1, 3)))
    for ends in strips:
        axes.fill_betweenx(ends, -_REACH, -100 * margins[0], color=svg.ZONE, linewidth=0, zorder=0)
        axes.plot([0, 0], ends, color=svg.INK, linewidth=1, zorder=1)
        for margin, line in zip(margins, dashes, strict=False):
            for side in (-100 * margin, 100 * margin):
                axes.plot([side] * 2, ends, color=svg.INK, linewidth=1, linestyle=line, zorder=1)
    for side in sorted({0.0, *margins, *(-margin for margin in margins)}):
        name = words.points(side).removesuffix(".0")
        svg.put_text(axes, (100 * side, 0), (0, 8), name, ha="center")


def _row(axes: Axes, index: int, audited: Audited, *, narrow: bool) -> None:
    comparison = audited.comparison
    if comparison is None:
        return
    color, mark = LOOKS.get(audited.finding, (svg.MUTED, "s"))
    numbers = f"{words.points(comparison.difference)} {words.interval(comparison.ci90)}"
    at, y = (index + 0.25, index + 0.7) if narrow else (index + 0.5, index + 0.5)
    name = f"{audited.claim.id}  {comparison.names[0]}"
    svg.put_text(
        axes, (-_REACH, at), (0 if narrow else -262, 0), shorten(name, 24 if narrow else 37)
    )
    svg.put_text(axes, (_REACH, at), (0 if narrow else 145, 0), numbers, ha="right")
    _bar(axes, y, comparison, color, mark)


def _bar(axes: Axes, y: float, comparison: ClaimComparison, color: str, mark: str) -> None:
    """Draw 95 % thin and 90 % thick; arrows if they extend beyond the axis."""
    for limits, wide in ((comparison.ci95, 1.6), (comparison.ci90, 5.0)):
        low, high = (min(_REACH, max(-_REACH, 100 * limit)) for limit in limits)
        axes.plot([low, high], [y, y], color=color, linewidth=wide, solid_capstyle="butt")
    for side, limit in ((-_REACH, comparison.ci95[0]), (_REACH, comparison.ci95[1])):
        if abs(100 * limit) > _REACH and limit * side > 0:
            axes.plot([side * 0.985], [y], ">" if side > 0 else "<", color=color, markersize=6)
    if abs(100 * comparison.difference) <= _REACH:
        look = {"markersize": 6.5, "markeredgecolor": svg.PAPER, "markeredgewidth": 1.2}
        axes.plot([100 * comparison.difference], [y], mark, color=color, **look)  # type: ignore[arg-type]


WIDTHS = (WIDE, NARROW)
"""Widths of the two pictures of a page, in pixels."""
