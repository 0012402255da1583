"""Text for a terminal of 80 columns: folded sentences and aligned tables, without control characters."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Sequence

from vla_eval.files.plain import one_line

__all__ = ["WIDTH", "fold", "folded", "table"]

WIDTH = 80
_NARROWEST = 20
"""Fewest columns of the last cell of a row."""


def fold(line: str) -> list[str]:
    """Break a sentence at 80 columns; further lines are indented by two more."""
    line = one_line(line)
    if len(line) <= WIDTH:
        return [line]
    indent = " " * (len(line) - len(line.lstrip()) + 2)
    return textwrap.wrap(line, WIDTH, subsequent_indent=indent, replace_whitespace=False)


def folded(lines: Iterable[str]) -> str:
    """Return lines as one text, every line folded."""
    return "\n".join(part for line in lines for part in fold(line))


def table(rows: Sequence[Sequence[str]], *, numbers: bool = False) -> list[str]:
    """Return the lines of a table: columns aligned, two blanks between them.

    Args:
        rows: rows with the same number of cells; the first row is the head.
        numbers: align all columns but the first to the right; otherwise all are aligned to the left,
            and the last one is wrapped at 80 columns.
    """
    rows = [[one_line(cell) for cell in row] for row in rows]
    widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
    if numbers:
        return [_numbers(row, widths) for row in rows]
    return [line for row in rows for line in _words(row, widths)]


def _numbers(row: Sequence[str], widths: Sequence[int]) -> str:
    others = zip(row[1:], widths[1:], strict=True)
    cells = [row[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in others)]
    return "  ".join(cells).rstrip()


def _words(row: Sequence[str], widths: Sequence[int]) -> list[str]:
    indent = sum(widths[:-1]) + 2 * (len(widths) - 1)
    head = "  ".join(cell.ljust(width) for cell, width in zip(row[:-1], widths[:-1], strict=True))
    lines = textwrap.wrap(row[-1], max(_NARROWEST, WIDTH - indent)) or [""]
    return [f"{head}  {lines[0]}".rstrip(), *(" " * indent + line for line in lines[1:])]
