"""Functions and types that several verbs share."""

from __future__ import annotations

import errno
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, Any, TextIO

import tyro

from vla_eval.drawing.terminal import folded, table
from vla_eval.errors import UsageError
from vla_eval.files.plain import printable

__all__ = [
    "FULL",
    "Changes",
    "OptionalWorkers",
    "Profiles",
    "ProtocolName",
    "parse_arms",
    "points",
    "print_json",
    "print_table",
    "refused",
    "say",
    "say_folded",
]


ProtocolName = Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="PROTOCOL")]
OptionalWorkers = Annotated[int | None, tyro.conf.arg(metavar="N")]
Profiles = Annotated[tyro.conf.UseAppendAction[tuple[str, ...]], tyro.conf.arg(metavar="ARM=FILE")]
Changes = Annotated[
    tyro.conf.UseAppendAction[tuple[str, ...]],
    tyro.conf.arg(name="set", metavar="KEY.PATH=VALUE"),
]


def parse_arms(arms: Sequence[str], policy: str | None) -> dict[str, str]:
    """Return policy specs by arm names, from ``NAME=SPEC`` strings or one ``--policy``.

    Raises:
        UsageError: both forms or neither, a missing name, or a name used twice.
    """
    if policy is not None and arms:
        raise UsageError(
            "--policy is short for one arm; with several, use --arm NAME=SPEC for each"
        )
    if policy is not None:
        return {"policy": policy}
    if not arms:
        raise UsageError(
            "no policy to run: give --policy SPEC, or --arm NAME=SPEC for each arm "
            "(see: vlaeval list policies)"
        )
    specs: dict[str, str] = {}
    for text in arms:
        name, equals, spec = text.partition("=")
        if not equals or not name or not spec:
            raise UsageError(f"--arm {text}: expected NAME=SPEC, for example --arm teacher=expert")
        if name in specs:
            raise UsageError(f"--arm {text}: the name '{name}' is taken by another arm")
        specs[name] = spec
    return specs


FULL = (errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.ENOMEM, errno.EMFILE, errno.ENFILE)
"""Error numbers for a lack of resources; all others mean that the user's path cannot be used."""


def refused(error: OSError) -> str:
    """Return an error of the file system as a sentence: the place and the reason."""
    place = f"{error.filename}: " if error.filename is not None else ""
    return f"{place}{error.strerror or error}"


def say(text: str = "", *, file: TextIO | None = None, end: str = "\n") -> None:
    """Print for people, with control characters escaped, so that a text cannot affect the terminal."""
    print(printable(text), file=file, end=end)


def print_json(value: Mapping[str, Any] | Sequence[Any]) -> None:
    """Print for machines."""
    print(json.dumps(value, indent=2, allow_nan=False))


def say_folded(lines: Iterable[str]) -> None:
    """Print sentences for people, folded at 80 columns."""
    say(folded(lines))


def print_table(rows: Sequence[Sequence[str]]) -> None:
    """Print for people: left-aligned columns, the last one wrapped at 80 columns."""
    print("\n".join(table(rows)))


def points(values: Sequence[float]) -> str:
    """Return fractions in percentage points: one as a number, more of them as an interval."""
    inner = ", ".join(f"{100 * value:+.2f}" for value in values)
    return inner if len(values) == 1 else f"[{inner}]"
