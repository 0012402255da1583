"""What a drawing of `vla_eval.drawing.svg` shows: its lines, marks, areas and words, with their places."""

from __future__ import annotations

import re
from dataclasses import dataclass
from html import unescape

__all__ = ["Picture", "read_picture"]

Points = list[tuple[float, float]]
"""x and y in pixels, y downwards."""


@dataclass(frozen=True)
class Picture:
    """Places by colour, as ``candidate`` or ``rule``, in the order of drawing."""

    lines: list[tuple[str, float, Points]]
    """Colour, width and points of each line."""
    shapes: list[tuple[str, Points]]
    """Colour and corners of each mark, in its own place, and of each area."""
    words: list[tuple[str, tuple[float, float]]]
    """Each text, and where it stands."""

    def lines_of(self, color: str, width: float | None = None) -> list[Points]:
        """Return the lines of a colour, of one width or of any."""
        return [at for name, wide, at in self.lines if name == color and width in (None, wide)]

    def shapes_of(self, color: str) -> list[Points]:
        """Return the marks and areas that are filled with a colour."""
        return [at for name, at in self.shapes if name == color]

    def place(self, text: str) -> tuple[float, float]:
        """Return where the only text that is so begins."""
        (found,) = (at for words, at in self.words if words == text)
        return found


def read_picture(markup: str) -> Picture:
    """Read the SVG of a sheet."""
    shapes = dict(re.findall(r'<path id="([^"]+)" d="([^"]+)"', markup))
    lines = [
        (color.group(1), float(_found(r"stroke-width: ([\d.]+)", style) or 1), _points(path))
        for path, style in re.findall(r'<path d="([^"]+)"[^>]* style="(fill: none[^"]+)"', markup)
        if (color := re.search(r"stroke: var\(--(\w+)\)", style))
    ]
    used = re.findall(
        r'<use xlink:href="#([^"]+)" x="([^"]+)" y="([^"]+)" style="[^"]*?fill: var\(--(\w+)\)',
        markup,
    )
    placed = [
        (color, [(x + float(left), y + float(top)) for x, y in _points(shapes[name])])
        for name, left, top, color in used
    ]
    words = [
        (unescape(text), (float(x), float(y)))
        for x, y, text in re.findall(
            r'<text [^>]*?x="([^"]+)" y="([^"]+)"[^>]*>([^<]*)</text>', markup
        )
    ]
    return Picture(lines, placed, words)


def _points(path: str) -> Points:
    return [(float(x), float(y)) for x, y in re.findall(r"[ML] (\S+) (\S+)", path)]


def _found(pattern: str, text: str) -> str:
    match = re.search(pattern, text)
    return match[1] if match else ""
