"""What several verbs share."""

from __future__ import annotations

import errno
import json
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, TextIO

import tyro

from vla_eval.errors import UsageError
from vla_eval.files.plain import one_line, printable

__all__ = [
    "FULL",
    "Changes",
    "OptionalWorkers",
    "ProtocolName",
    "parse_arms",
    "print_json",
    "print_table",
    "refused",
    "say",
]


ProtocolName = Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="PROTOCOL")]
OptionalWorkers = Annotated[int | None, tyro.conf.arg(metavar="N")]
Changes = Annotated[
    tyro.conf.UseAppendAction[tuple[str, ...]],
    tyro.conf.arg(name="set", metavar="KEY.PATH=VALUE"),
]


def parse_arms(arms: Sequence[str], policy: str | None) -> dict[str, str]:
    """Return policy specs by arm names, from ``NAME=SPEC`` strings or one ``--policy``.

    Raises:
        UsageError: both forms, neither, no name, or a name used twice.
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
"""What the machine lacks, as against what the user named."""


def refused(error: OSError) -> str:
    """Return what a file system refused as a sentence: the place and the reason."""
    place = f"{error.filename}: " if error.filename is not None else ""
    return f"{place}{error.strerror or error}"


def say(text: str = "", *, file: TextIO | None = None, end: str = "\n") -> None:
    """Print for people: what strangers wrote is shown, and does nothing to the terminal."""
    print(printable(text), file=file, end=end)


def print_json(value: Mapping[str, Any] | Sequence[Any]) -> None:
    """Print for machines."""
    print(json.dumps(value, indent=2, allow_nan=False))


def print_table(rows: Sequence[Sequence[str]], *, width: int = 80) -> None:
    """Print for people: left-aligned columns, the last one wrapped to the width."""
    import textwrap

    rows = [[one_line(cell) for cell in row] for row in rows]
    widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
    indent = sum(widths[:-1]) + 2 * (len(widths) - 1)
    for row in rows:
        head = "  ".join(cell.ljust(size) for cell, size in zip(row[:-1], widths[:-1], strict=True))
        lines = textwrap.wrap(row[-1], max(20, width - indent)) or [""]
        print(f"{head}  {lines[0]}".rstrip())
        for line in lines[1:]:
            print(" " * indent + line)
