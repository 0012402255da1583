"""Text from strangers, made harmless: for a terminal, for Markdown, for XML, as a number.

A name, a path or an error message may hold anything: escape sequences that clear a screen, line ends
that begin a heading, digits that only look like digits. What prints it asks this module first.
"""

from __future__ import annotations

import html
import json
import re
import unicodedata

__all__ = [
    "code",
    "markdown",
    "one_line",
    "printable",
    "printable_json",
    "shown",
    "whole_number",
    "xml_text",
]

_SHOWN = 60
_MOST_DIGITS = 18


def printable(text: str) -> str:
    """Return a text that a terminal only shows: control characters are written as escapes.

    Line ends stay, and so does every letter of every language. Marks that turn the direction of
    writing do not: with them a line says something else than its bytes.
    """
    if text.isprintable():
        return text
    return "".join(_visible(letter) for letter in text)


def one_line(text: str) -> str:
    """Return a text as `printable` does, without a line end: for a cell of a table, or a sentence."""
    return text if text.isprintable() else printable(text).replace("\n", "\\n")


def printable_json(text: str) -> str:
    """Return a JSON text that a terminal only shows; it holds the same values."""
    if text.isprintable():
        return text
    return "".join(_escaped(letter) for letter in text)


def _escaped(letter: str) -> str:
    return letter if letter == _visible(letter) else json.dumps(letter)[1:-1]


def _visible(letter: str) -> str:
    if letter == "\n" or letter.isprintable() or unicodedata.category(letter) == "Zs":
        return letter
    return letter.encode("unicode_escape").decode("ascii")


def shown(value: object) -> str:
    """Return a value of somebody else's file for a sentence: quoted, and short enough for a line."""
    try:
        text = repr(value)
    except ValueError:  # an integer of more digits than Python prints
        return "a number of very many digits"
    return printable(text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…")


def whole_number(text: str) -> int | None:
    """Read a number that somebody typed: ASCII digits, at most 18 of them; None is anything else."""
    digits = text.isascii() and text.isdecimal() and len(text) <= _MOST_DIGITS
    return int(text) if digits else None


def markdown(text: str) -> str:
    """Return a text for GitHub's Markdown that shows as it is, in a table too.

    No markup, no link, no picture, no mention and no second line comes out of it.
    """
    flat = html.escape(" ".join(printable(text).split()), quote=False)
    escaped = re.sub(r"([\\`*_\[\]|~@#$])|(?<=www)\.|:(?=//)", _entity, flat)
    return escaped.replace(
        "&#64;", "&#64;&#8203;"
    )  # mentions are looked for after entities are read


def _entity(match: re.Match[str]) -> str:
    return f"&#{ord(match[0])};"


def code(text: str) -> str:
    """Return a text for GitHub's Markdown, set as code; it shows as it is."""
    return f"<code>{markdown(text)}</code>"


def xml_text(text: str) -> str:
    """Return a text of which every character may stand in an XML document."""
    return "".join(letter if _is_xml(ord(letter)) else _visible(letter) for letter in text)


def _is_xml(number: int) -> bool:
    return (
        number in (9, 10, 13)
        or 0x20 <= number <= 0xD7FF
        or 0xE000 <= number <= 0xFFFD
        or (0x10000 <= number <= 0x10FFFF)
    )
