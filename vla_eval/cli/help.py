"""Help pages: prose in 80 columns, unchanged examples, and no "(default: None)"."""

from __future__ import annotations

import contextlib
import functools
import inspect
import io
import re
import sys
import textwrap
from collections.abc import Callable, Iterator
from types import NoneType, UnionType
from typing import Annotated, Any, Optional, TextIO, get_args, get_origin, get_type_hints

import tyro

from vla_eval.drawing.terminal import WIDTH

__all__ = ["describe", "wrapped_help"]

_STYLE = re.compile(r"\x1b\[[0-9;]*m")
_BRACKETS = re.compile(r"\[[^\]]*\]")
_ARGUMENT = re.compile(r"^    (\w+): ", re.MULTILINE)


@functools.cache
def describe(verb: Callable[..., int]) -> None:
    """Annotate the arguments of a verb with their descriptions from its docstring.

    tyro alone would keep the docstring's line breaks, and would add ``(default: None)`` to optional
    arguments.
    """
    hints = get_type_hints(verb, include_extras=True)
    texts = _descriptions(inspect.getdoc(verb) or "")
    for name, text in texts.items():
        hint = hints[name]
        shown = tyro.conf.arg(help=text, help_behavior_hint=_default, metavar=_metavar(hint))
        hints[name] = Annotated[_quick(hint), shown]
    verb.__annotations__ = hints


def _quick(hint: Any) -> Any:
    """Return a hint ``X | None`` as ``Optional[X]``: for the other form tyro imports typeguard, 50 ms."""
    if get_origin(hint) is Annotated:
        inner, *notes = get_args(hint)
        return Annotated[_quick(inner), *notes]
    return Optional[get_args(hint)[0]] if isinstance(hint, UnionType) else hint  # noqa: UP045


def _descriptions(docstring: str) -> dict[str, str]:
    """Return the descriptions in the section Args by name, each in one line."""
    _, _, section = docstring.partition("\nArgs:\n")
    parts = _ARGUMENT.split(section)
    return {
        name: " ".join(text.split()) for name, text in zip(parts[1::2], parts[2::2], strict=True)
    }


def _default(value: str) -> str:
    return f"(default: {value})" if value not in ("None", "") else ""


def _metavar(hint: Any) -> str | None:
    """Return the metavar of an optional value; None: tyro's or the annotation's."""
    kinds = [kind for kind in get_args(hint) if kind is not NoneType]
    if get_origin(hint) is Annotated or NoneType not in get_args(hint):
        return None
    return str(kinds[0].__name__).upper()


class _Page(io.StringIO):
    """Collects text for a terminal, and reports that terminal's properties."""

    def __init__(self, stream: TextIO) -> None:
        super().__init__()
        self._stream = stream

    def isatty(self) -> bool:
        return self._stream.isatty()

    @property
    def encoding(self) -> str:  # type: ignore[override]
        return self._stream.encoding


@contextlib.contextmanager
def wrapped_help() -> Iterator[None]:
    """Wrap the text that is written to stdout inside the block."""
    page = _Page(sys.stdout)
    try:
        with contextlib.redirect_stdout(page):
            yield
    finally:
        for line in page.getvalue().splitlines():
            print(_wrapped(line.rstrip()))


def _wrapped(line: str) -> str:
    """Break a line of prose; tables and the second lines of examples begin with a blank or a frame."""
    plain = _STYLE.sub("", line)
    if len(plain) <= WIDTH or not plain[0].isalpha():
        return line
    if plain.startswith("usage:"):
        plain = _BRACKETS.sub(lambda match: match[0].replace(" ", "\xa0"), plain)
        plain = textwrap.fill(plain.replace(",", ", "), WIDTH, subsequent_indent=" " * 4)
        return plain.replace(", ", ",").replace("\xa0", " ")
    return textwrap.fill(plain, WIDTH, break_long_words=False, break_on_hyphens=False)
