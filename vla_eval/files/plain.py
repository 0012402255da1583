"""Makes text from unknown authors harmless: for a terminal, for Markdown, for XML, as a number.

A name, a path or an error message may hold anything: escape sequences that clear a screen, line ends
that begin a heading, characters that only look like digits. Every printer passes it through this module.
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
    """Return a text without effects on a terminal: control characters are written as escapes.

    Line ends and the letters of every language stay. Marks that change the direction of writing are
    escaped too: with them a line reads differently from its bytes.
    """
    if text.isprintable():
        return text
    return "".join(_visible(letter) for letter in text)


def one_line(text: str) -> str:
    """Return a text as `printable` does, with line ends escaped: for a table's cell, or a sentence."""
    return text if text.isprintable() else printable(text).replace("\n", "\\n")


def printable_json(text: str) -> str:
    """Return a JSON text with the same values and without effects on a terminal."""
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
    """Return a value of an unknown file for a sentence: quoted, and short enough for a line."""
    try:
        text = repr(value)
    except ValueError:  # an integer of more digits than Python prints
        return "a number of very many digits"
    return printable(text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…")


def whole_number(text: str) -> int | None:
    """Read a typed whole number: 1 to 18 ASCII digits; return None for any other text."""
    digits = text.isascii() and text.isdecimal() and len(text) <= _MOST_DIGITS
    return int(text) if digits else None


def markdown(text: str) -> str:
    """Return a text that GitHub's Markdown shows unchanged, in a table too.

    The result has no markup, link, picture, mention or second line.
    """
    flat = html.escape(" ".join(printable(text).split()), quote=False)
    escaped = re.sub(r"([\\`*_\[\]|~@#$])|(?<=www)\.|:(?=//)", _entity, flat)
    return escaped.replace(
        "&#64;", "&#64;&#8203;"
    )  # GitHub looks for mentions after it has replaced entities


def _entity(match: re.Match[str]) -> str:
    return f"&#{ord(match[0])};"


def code(text: str) -> str:
    """Return a text that GitHub's Markdown shows unchanged, set as code."""
    return f"<code>{markdown(text)}</code>"


def xml_text(text: str) -> str:
    """Return a text whose characters are all allowed in an XML document."""
    return "".join(letter if _is_xml(ord(letter)) else _visible(letter) for letter in text)


def _is_xml(number: int) -> bool:
    return (
        number in (9, 10, 13)
        or 0x20 <= number <= 0xD7FF
        or 0xE000 <= number <= 0xFFFD
        or (0x10000 <= number <= 0x10FFFF)
    )
