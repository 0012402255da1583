"""A sheet to draw on: matplotlib with the page's own colours and fonts, as inline SVG.

Colours are written as placeholders and replaced by the page's CSS variables, so that one drawing works
in light, dark and print. Text stays text. Equal input gives equal bytes: no date, no random names.
"""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from xml.sax.saxutils import quoteattr

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = [
    "CANDIDATE",
    "CONTROL",
    "INK",
    "LOOKS",
    "MUTED",
    "NARROW",
    "PAPER",
    "REFERENCE",
    "RULE",
    "STYLES",
    "WIDE",
    "ZONE",
    "Sheet",
    "plain_log",
    "put_text",
    "shorten",
    "standalone",
]

INK, MUTED, RULE, PAPER = "#010101", "#020202", "#030303", "#040404"
CANDIDATE, REFERENCE, CONTROL, ZONE = "#050505", "#060606", "#070707", "#080808"

_VARIABLES = {
    INK: "ink",
    MUTED: "muted",
    RULE: "rule",
    PAPER: "paper",
    CANDIDATE: "candidate",
    REFERENCE: "reference",
    CONTROL: "control",
    ZONE: "zone",
}

STYLES: Mapping[str, tuple[str, str]] = {
    "candidate": (CANDIDATE, "-"),
    "reference": (REFERENCE, "--"),
    "negative control": (CONTROL, ":"),
    "reference as fast": (REFERENCE, "-."),
}
"""Colour and line of each role; the lines differ, so colour is not needed."""

LOOKS = (
    (CANDIDATE, "-", "o"),
    (REFERENCE, "--", "s"),
    (CONTROL, ":", "D"),
    (INK, "-.", "^"),
    (MUTED, "-", "v"),
    (CANDIDATE, ":", "P"),
    (REFERENCE, "-.", "X"),
)
"""Colour, line and mark of arms without a role, in turn."""

_LIGHT: Mapping[str, str] = {
    "ink": "#1a1e24",
    "muted": "#59636e",
    "rule": "#d5dae0",
    "paper": "#ffffff",
    "candidate": "#0072b2",
    "reference": "#c24f00",
    "control": "#7b4a94",
    "zone": "#f8e6df",
}
"""Colours of a separate file."""

WIDE, NARROW = 860, 344
"""Widths of the page and of a phone, in pixels."""
_TICKS = 9
"""Most numbers on a logarithmic axis."""

_SETTINGS: Mapping[str, Any] = {
    "axes.edgecolor": RULE,
    "axes.labelcolor": MUTED,
    "axes.labelsize": 12,
    "axes.linewidth": 1,
    "axes.spines.left": False,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "font.family": "DejaVu Sans",
    "font.size": 12.5,
    "svg.fonttype": "none",
    "text.color": INK,
    "text.parse_math": False,
    "xtick.color": RULE,
    "xtick.labelcolor": MUTED,
    "xtick.labelsize": 12,
    "ytick.color": RULE,
    "ytick.labelcolor": MUTED,
    "ytick.labelsize": 12,
}


@dataclass
class Sheet:
    """One drawing; sizes and margins are in pixels, and one pixel is one point."""

    name: str
    """Unique on the page."""
    width: int
    height: int
    label: str
    """Description of the drawing, for screen readers."""
    figure: Figure
    markup: str = ""
    """The SVG, once the sheet is done."""

    @classmethod
    @contextmanager
    def open(cls, name: str, width: int, height: int, label: str) -> Iterator[Sheet]:
        """Draw inside the block; afterwards ``markup`` holds the SVG."""
        import matplotlib as mpl
        from matplotlib.backends.backend_svg import FigureCanvasSVG
        from matplotlib.figure import Figure

        settings: Any = {**_SETTINGS, "svg.hashsalt": name}
        with mpl.rc_context(settings):
            figure = Figure(figsize=(width / 72, height / 72), facecolor="none")
            FigureCanvasSVG(figure)
            sheet = cls(name, width, height, label, figure)
            yield sheet
            text = io.StringIO()
            with warnings.catch_warnings():
                # The browser draws the glyphs that the layout font lacks.
                warnings.simplefilter("ignore", UserWarning)
                figure.savefig(text, format="svg", metadata={"Date": None}, facecolor="none")
            sheet.markup = sheet.finish(text.getvalue())

    def axes(self, left: float, top: float, right: float, bottom: float) -> Axes:
        """Add axes that keep these distances from the sheet's edges."""
        width, height = self.width, self.height
        axes = self.figure.add_axes(
            (
                left / width,
                bottom / height,
                (width - left - right) / width,
                (height - top - bottom) / height,
            ),
            facecolor="none",
        )
        axes.tick_params(length=3, pad=4)
        return axes

    def finish(self, text: str) -> str:
        """Turn matplotlib's file into an element of the page."""
        body = text[text.index("<defs>") : text.rindex("</svg>")]
        body = re.sub(r"font-family: [^;\"]*(; )?", "", body)
        body = re.sub(r"((?:fill|stroke): )(#0[1-8]0[1-8]0[1-8])", _variable, body)
        body = re.sub(r" transform=\"rotate\(-0 [^\"]*\"", "", body)
        body = re.sub(r"<style.*?</style>", "", body, flags=re.DOTALL)
        body = re.sub(r"(\.\d\d)\d+", r"\1", body)
        body = _own_names(body, self.name)
        size = "wide" if self.width > (WIDE + NARROW) / 2 else "narrow"
        return (
            f'<svg class="{size}" viewBox="0 0 {self.width} {self.height}" role="img" '
            f'aria-label={quoteattr(self.label)} width="{self.width}" height="{self.height}" '
            'xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink">'
            f"{body}</svg>"
        )


def _variable(match: re.Match[str]) -> str:
    name = _VARIABLES.get(match[2])
    return f"{match[1]}var(--{name})" if name else match[0]


def _own_names(body: str, name: str) -> str:
    """Keep the referenced names and make them unique on the page; drop all other names."""
    used = set(re.findall(r"(?:href=\"#|url\(#)([\w.-]+)", body))

    def rename(match: re.Match[str]) -> str:
        return f' id="{name}-{match[1]}"' if match[1] in used else ""

    # A tag's attributes only: the text of a label is escaped and holds no quotation mark after "=".
    body = re.sub(r" id=\"([\w.-]+)\"(?=[^<>]*>)", rename, body)
    return re.sub(r"(href=\"#|url\(#)", rf"\g<1>{name}-", body)


def standalone(markup: str) -> str:
    """Turn the page's SVG into a separate file with a white background and fixed colours."""
    text = re.sub(r"var\(--(\w+)\)", lambda match: _LIGHT[match[1]], markup)
    style = (
        f'<style>text {{ fill: {_LIGHT["ink"]}; font-family: "DejaVu Sans", Verdana, sans-serif; }}'
        "</style>"
    )
    paper = f'<rect width="100%" height="100%" fill="{_LIGHT["paper"]}"/>'
    head, _, body = text.partition(">")
    return f'<?xml version="1.0" encoding="utf-8"?>\n{head}>{style}{paper}{body}\n'


def put_text(
    axes: Axes, place: tuple[float, float], shift: tuple[float, float], text: str, **look: Any
) -> None:
    """Write a text beside a place of the plot, without clipping at the plot's edge.

    Args:
        axes: the plot.
        place: x and y in data coordinates.
        shift: offset in pixels, up is positive.
        text: what is written.
        look: matplotlib's options of a text.
    """
    axes.annotate(
        text,
        place,
        shift,
        textcoords="offset points",
        annotation_clip=False,
        **{"va": "center", **look},
    )


def shorten(text: str, length: int) -> str:
    """Replace the middle of a text by an ellipsis if the text is longer than ``length``."""
    if len(text) <= length:
        return text
    half = (length - 1) // 2
    return f"{text[:half]}…{text[-(length - 1 - half) :]}"


def plain_log(axes: Axes, which: str) -> None:
    """Label a logarithmic axis with plain numbers: 1, 2 and 5 of each decade, or only 1 if too many.

    Args:
        axes: the plot, with its scale and limits set.
        which: "x" or "y".
    """
    from matplotlib.ticker import FixedLocator, MaxNLocator, NullLocator

    axis, limits = (axes.xaxis, axes.get_xlim()) if which == "x" else (axes.yaxis, axes.get_ylim())
    ticks = [digit * 10.0**power for power in range(-6, 7) for digit in (1, 2, 5)]
    ticks = [tick for tick in ticks if limits[0] <= tick <= limits[1]]
    if len(ticks) > _TICKS:
        ticks = [tick for tick in ticks if f"{tick:e}".startswith("1.0")]
    few = len(ticks) < 2
    axis.set_major_locator(MaxNLocator(4) if few else FixedLocator(ticks))
    axis.set_minor_locator(NullLocator())
    axis.set_major_formatter(lambda value, _: f"{value:g}")
