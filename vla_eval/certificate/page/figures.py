"""Drawings of differences: the interval against the margin, and one row for each task."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from vla_eval.certificate.wording import Words
from vla_eval.drawing import svg
from vla_eval.drawing.svg import NARROW, Sheet, shorten

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from vla_eval.certificate import Certificate
    from vla_eval.certificate.model import Comparison, TaskResult
    from vla_eval.certificate.recipe.model import RecipeCertificate, RecipeComparison

__all__ = ["draw_forest", "draw_interval"]

_EDGE = 10


@dataclass(frozen=True)
class _Scale:
    """The horizontal axis, in the unit of the judged measure."""

    low: float
    high: float
    margin: float
    words: Words

    @classmethod
    def around(
        cls, low: float, high: float, certificate: Certificate | RecipeCertificate
    ) -> _Scale:
        """Return a scale that holds both limits and the margins, with some space beside them."""
        margin, words = certificate.margin, Words.of(certificate)
        low, high = min(low, -1.35 * margin), max(high, 1.35 * margin)
        air = 0.04 * (high - low)
        left, right = words.shown(low - air), words.shown(high + air)
        return cls(left, right, words.shown(margin), words)

    def prepare(self, axes: Axes, rows: float, strips: Sequence[tuple[float, float]]) -> None:
        """Set the axis up; draw zero, the margins and the zone beyond the margin in each strip.

        Args:
            axes: axes with rows that count downwards.
            rows: number of rows.
            strips: upper and lower end of each strip; the space between strips is for text.
        """
        axes.set_xlim(self.low, self.high)
        axes.set_ylim(rows, 0)
        axes.set_yticks([])
        tops, bottoms = zip(*strips, strict=True)
        # One collection of shapes takes a small part of the time of as many shapes.
        edges = [edge for top, bottom in strips for edge in (top, bottom, bottom)]
        inside = [True, True, False] * len(strips)
        zone: Any = {"where": inside, "color": svg.ZONE, "linewidth": 0, "zorder": 0}
        axes.fill_betweenx(edges, self.low, -self.margin, **zone)
        look: Any = {"colors": svg.INK, "linewidth": 1, "zorder": 1}
        axes.vlines([0.0] * len(strips), tops, bottoms, **look)
        for margin in (-self.margin, self.margin):
            axes.vlines([margin] * len(strips), tops, bottoms, linestyles=(0, (4, 3)), **look)
        axes.xaxis.set_major_formatter(lambda value, _: _tick(value))
        axes.set_xlabel(f"{self.words.measure.axis} ({self.words.unit})")

    def bars(
        self, axes: Axes, bars: Sequence[tuple[float, tuple[float, float]]], color: str, wide: float
    ) -> None:
        """Draw intervals, each with its y, cut off at the axis' ends."""
        lows, highs = (
            [min(self.high, max(self.low, self.words.shown(limits[end]))) for _, limits in bars]
            for end in (0, 1)
        )
        axes.hlines([y for y, _ in bars], lows, highs, colors=color, linewidth=wide)


def _tick(value: float) -> str:
    """Return the number of a tick: ``+10``, ``−0.5``, ``0``."""
    return f"{value:+.4g}".replace("-", "−") if abs(value) > 1e-9 else "0"


def _numbers(words: Words, difference: float, limits: tuple[float, float]) -> str:
    return f"{words.typeset(difference)} {words.typeset_span(limits)}"


def draw_interval(certificate: Certificate | RecipeCertificate, width: int) -> str:
    """Draw the judged interval against the margin, and the negative control's under it."""
    comparison, control = certificate.comparison, certificate.control
    shown: list[tuple[str, Comparison | RecipeComparison]] = [("candidate", comparison)]
    shown += [("negative control", control)] if control else []
    words = Words.of(certificate)
    numbers = _numbers(words, comparison.difference, comparison.ci_judged)
    label = (
        f"{words.measure.difference} {numbers} {words.unit}; the margin is "
        f"{words.margin(certificate.margin)}."
    )
    scale = _Scale.around(*comparison.ci95, certificate)
    narrow = width <= NARROW
    rows, height = len(shown), 70 if narrow else 56
    left, right = (_EDGE, _EDGE) if narrow else (150, 160)
    with Sheet.open(f"interval{width}", width, 76 + height * rows, label) as sheet:
        axes = sheet.axes(left, 28, right, 48)
        strips = [(row + 0.42, row + 0.98) for row in range(rows)] if narrow else [(0.0, rows)]
        scale.prepare(axes, rows, strips)
        _name_margins(axes, scale, narrow=narrow)
        for row, (role, result) in enumerate(shown):
            color = svg.STYLES[role][0]
            numbers = _numbers(words, result.difference, result.ci_judged)
            _words(axes, scale, row, (_name(result), role, numbers), narrow=narrow)
            _bars(axes, scale, row + (0.7 if narrow else 0.5), result, color)
    return sheet.markup


def _name(comparison: Comparison | RecipeComparison) -> str:
    arms = comparison.candidate
    return arms if isinstance(arms, str) else ", ".join(arms)


def _name_margins(axes: Axes, scale: _Scale, *, narrow: bool) -> None:
    before = "" if narrow else "margin "
    for at, text in (
        (-scale.margin, f"{before}−{scale.margin:g}"),
        (0.0, "equal"),
        (scale.margin, f"{before}+{scale.margin:g}"),
    ):
        svg.put_text(axes, (at, 0), (0, 6), text, ha="center", va="bottom", color=svg.MUTED)


def _words(
    axes: Axes, scale: _Scale, row: float, words: tuple[str, str, str], *, narrow: bool
) -> None:
    """Write name, role and numbers: beside the bars, or over them on a phone."""
    name, role, numbers = words
    if narrow:
        y = row + 0.2
        svg.put_text(axes, (scale.low, y), (0, 0), shorten(name, 18), weight="bold")
        svg.put_text(axes, (scale.high, y), (0, 0), numbers, ha="right")
        return
    y = row + 0.5
    svg.put_text(axes, (scale.low, y), (-140, 9 if role else 0), shorten(name, 17), weight="bold")
    svg.put_text(axes, (scale.low, y), (-140, -9), role, color=svg.MUTED)
    svg.put_text(
        axes,
        (scale.high, y),
        (155, 0),
        numbers,
        ha="right",
        weight="bold" if row == 0 else "normal",
    )


def _bars(
    axes: Axes,
    scale: _Scale,
    y: float,
    comparison: Comparison | RecipeComparison,
    color: str,
) -> None:
    """Draw 90 % thick, 95 % thin, the judged limits with caps; an arrow if they are off the axis."""
    low, high = map(scale.words.shown, comparison.ci95)
    left = high < scale.low
    if left or low > scale.high:
        at, shift = (scale.low, 34) if left else (scale.high, -34)
        arrow = {"arrowstyle": "-|>", "color": color, "linewidth": 2}
        axes.annotate("", (at, y), (shift, 0), textcoords="offset points", arrowprops=arrow)
        return
    scale.bars(axes, [(y, comparison.ci95)], color, 2)
    scale.bars(axes, [(y, comparison.ci90)], color, 10)
    for limit in map(scale.words.shown, comparison.ci_judged):
        if scale.low <= limit <= scale.high:
            axes.plot([limit] * 2, [y - 0.2, y + 0.2], color=color, linewidth=2)
    axes.plot([scale.words.shown(comparison.difference)], [y], "o", color=svg.PAPER, markersize=5.5)


def draw_forest(certificate: Certificate, width: int) -> str:
    """Draw each task's difference with its 90 % interval, and all tasks together at the top."""
    comparison = certificate.comparison
    tasks = comparison.tasks
    narrow = width <= NARROW
    height = 36 if narrow else 22
    limits = [limit for task in tasks for limit in task.ci90]
    scale = _Scale.around(min(limits), max(limits), certificate)
    label = f"Differences on {len(tasks)} tasks, each with its 90 % interval."
    sides = (_EDGE, _EDGE) if narrow else (250, 160)
    rows = len(tasks) + 1.4
    starts = [0.2, *(index + 1.4 for index in range(len(tasks)))]
    strips = [(row + 0.48, row + 0.9) for row in starts] if narrow else [(0.0, rows)]
    with Sheet.open(f"forest{width}", width, math.ceil(rows * height) + 76, label) as sheet:
        axes = sheet.axes(sides[0], 26, sides[1], 50)
        scale.prepare(axes, rows, strips)
        _name_margins(axes, scale, narrow=True)
        _forest_words(axes, scale, starts[0], ("all tasks", comparison), narrow=narrow)
        for row, task in zip(starts[1:], tasks, strict=True):
            _forest_words(axes, scale, row, (task.task, task), narrow=narrow)
        _forest_bars(axes, scale, [row + (0.69 if narrow else 0.5) for row in starts], comparison)
    return sheet.markup


def _forest_words(
    axes: Axes,
    scale: _Scale,
    row: float,
    named: tuple[str, Comparison | TaskResult],
    *,
    narrow: bool,
) -> None:
    name, result = named
    weight = "bold" if name == "all tasks" else "normal"
    y = row + (0.25 if narrow else 0.5)
    left, right = (0, 0) if narrow else (-8, 155)
    side = "left" if narrow else "right"
    short = shorten(name, 24 if narrow else 34)
    numbers = _numbers(scale.words, result.difference, result.ci90)
    svg.put_text(axes, (scale.low, y), (left, 0), short, ha=side, weight=weight)
    svg.put_text(axes, (scale.high, y), (right, 0), numbers, ha="right", weight=weight)


def _forest_bars(axes: Axes, scale: _Scale, ys: Sequence[float], comparison: Comparison) -> None:
    """Draw the interval of all tasks at the first y, and each task's under it."""
    tasks = comparison.tasks
    scale.bars(axes, [(ys[0], comparison.ci90)], svg.CANDIDATE, 5)
    scale.bars(
        axes,
        [(y, task.ci90) for y, task in zip(ys[1:], tasks, strict=True)],
        svg.CANDIDATE,
        2,
    )
    axes.plot([scale.words.shown(comparison.difference)], ys[:1], "D", color=svg.INK, markersize=8)
    differences = [scale.words.shown(task.difference) for task in tasks]
    axes.plot(differences, ys[1:], "s", color=svg.CANDIDATE, markersize=5.5)
