"""JSON from unknown authors: only a regular file is read, and each key must be there once.

Two things are always checked. A named pipe, a socket or a device in a file's place is not opened,
since opening it may wait for ever or have an effect. A key that is there twice is refused: one reader
would take its first value, another reader its last.
"""

from __future__ import annotations

import json
import math
import os
import re
import stat
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from io import BufferedReader
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ValidationError
from pydantic_core import PydanticCustomError

from vla_eval.errors import UsageError
from vla_eval.files.complaints import first_complaint
from vla_eval.files.plain import shown

__all__ = [
    "MOST_BYTES",
    "AmbiguousJsonError",
    "ArmName",
    "AwareTime",
    "check_arm_name",
    "files_in",
    "is_there",
    "open_regular",
    "read_json",
    "read_model",
    "read_regular",
    "read_text",
    "refuse_ambiguous",
]

_KINDS = {
    stat.S_IFIFO: "a named pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
    stat.S_IFDIR: "a folder",
}
MOST_BYTES = 16_000_000
"""Largest JSON file that is read: ours are smaller, and a larger one could take all memory."""
_ARM_NAME = re.compile(r"[A-Za-z0-9._-]{1,100}")


class AmbiguousJsonError(ValueError):
    """A JSON text has two readings or none; the message says where."""


def _aware(value: str) -> str:
    try:
        moment = datetime.fromisoformat(value)
        if moment.tzinfo is not None:
            if not 1 < moment.year < 9999:  # the time in UTC may overflow
                moment.astimezone(UTC)
            return value
    except (ValueError, OverflowError):
        pass
    raise PydanticCustomError(
        "aware_time",
        "{value} is no time with a zone; ISO 8601 is expected, such as 2026-01-31T12:00:00+00:00",
        {"value": shown(value)},
    )


def check_arm_name(name: str) -> str:
    """Return the name of an arm if it is distinguishable from others in a table and in a file.

    ASCII only: a Cyrillic letter can look like a Latin one.

    Raises:
        ValueError: the name is not allowed; the message states the allowed characters.
    """
    if not _ARM_NAME.fullmatch(name):
        raise PydanticCustomError(
            "arm_name",
            "arm {name}: use ASCII letters, digits, '-', '_' and '.' only, at most 100 of them",
            {"name": ascii(name[:60])},
        )
    return name


ArmName = Annotated[str, AfterValidator(check_arm_name)]
"""Type of an arm's name in every model."""
AwareTime = Annotated[str, AfterValidator(_aware)]
"""Type of a time: its original text, in ISO 8601 with a zone, so that times can be compared."""


@contextmanager
def open_regular(path: Path) -> Iterator[BufferedReader]:
    """Open a file for reading.

    Raises:
        OSError: the file is missing or cannot be read, or it is no regular file (then it is not opened).
    """
    kind = stat.S_IFMT(path.stat().st_mode)
    if kind != stat.S_IFREG:
        raise OSError(f"it is {_KINDS.get(kind, 'something else')}, and a file is expected")
    with path.open("rb") as file:
        yield file


def read_regular(path: Path, *, most_bytes: int | None = None) -> bytes:
    """Return a file's content; raise OSError as `open_regular` does, and if the file is too large."""
    with open_regular(path) as file:
        content = file.read() if most_bytes is None else file.read(most_bytes + 1)
    if most_bytes is not None and len(content) > most_bytes:
        raise OSError(f"it has more than {most_bytes // 1_000_000} MB, and such files are small")
    return content


def is_there(path: Path) -> bool:
    """Return whether the path exists; False for a path that no file can have."""
    try:
        return path.exists()
    except (OSError, ValueError):
        return False


def files_in(folder: Path, ending: str) -> list[Path]:
    """Return the sorted paths in a folder whose names have an ending; none for a missing folder.

    Raises:
        OSError: the folder cannot be read, so its content is unknown.
    """
    try:
        with os.scandir(folder) as entries:
            return sorted(folder / entry.name for entry in entries if entry.name.endswith(ending))
    except FileNotFoundError:
        return []


def read_text(
    path: Path,
    *,
    remedy: str = "",
    missing: str = "",
    error: type[UsageError] = UsageError,
    most_bytes: int = MOST_BYTES,
) -> str:
    """Return the text of a UTF-8 file.

    Args:
        path: the file.
        remedy: advice in the message if the file cannot be read.
        missing: the whole message if there is no such file.
        error: class of the exception.
        most_bytes: largest size; a larger file is refused.

    Raises:
        UsageError: the message names the path and the fault in one sentence.
    """
    after = f"; {remedy}" if remedy else ""
    try:
        return read_regular(path, most_bytes=most_bytes).decode()
    except (FileNotFoundError, NotADirectoryError):
        raise error(missing or f"{path}: there is no such file") from None
    except (OSError, UnicodeDecodeError) as trouble:
        raise error(f"{path}: cannot be read as a text file ({_reason(trouble)}){after}") from None
    except ValueError:  # a path with a NUL in it
        raise error(f"{path}: is no name that a file can have") from None


def read_json(
    path: Path,
    *,
    wrong: str,
    remedy: str = "",
    error: type[UsageError] = UsageError,
    most_bytes: int = MOST_BYTES,
) -> dict[str, Any]:
    """Read a JSON file that holds one object; its content is not checked.

    Raises:
        UsageError: the message names the path and the fault in one sentence; for the arguments see
            `read_model` and `read_text`.
    """
    text = read_text(path, remedy=remedy, error=error, most_bytes=most_bytes)
    after = f"; {remedy}" if remedy else ""
    try:
        content = _parsed(text)
    except AmbiguousJsonError as trouble:
        raise error(f"{path}: {wrong} ({trouble}){after}") from None
    if not isinstance(content, dict):
        raise error(f"{path}: {wrong} (an object {{…}} is expected){after}")
    return content


def _reason(trouble: OSError | UnicodeDecodeError) -> object:
    if isinstance(trouble, UnicodeDecodeError):
        return "it is not UTF-8"
    return trouble.strerror or trouble


def read_model[Model: BaseModel](
    path: Path,
    model: type[Model],
    *,
    wrong: str,
    remedy: str = "",
    missing: str = "",
    error: type[UsageError] = UsageError,
) -> Model:
    """Read a JSON file as a model.

    Args:
        path: the file.
        model: class of the content.
        wrong: predicate of the message about a file with other content, such as ``is no certificate``.
        remedy: advice in that message.
        missing: the whole message if there is no such file.
        error: class of the exception.

    Raises:
        UsageError: the message names the path, the fault, and its place in the file in one sentence.
    """
    after = f"; {remedy}" if remedy else ""
    try:
        text = read_text(path, remedy=remedy, missing=missing, error=error)
        content = model.model_validate_json(text)
        refuse_ambiguous(text)
    except ValidationError as trouble:
        raise error(f"{path}: {wrong} ({first_complaint(trouble)}){after}") from None
    except AmbiguousJsonError as trouble:
        raise error(f"{path}: {wrong} ({trouble}){after}") from None
    return content


def refuse_ambiguous(text: str | bytes) -> None:
    """Parse a text that is valid JSON, and inspect all of its objects.

    Raises:
        AmbiguousJsonError: an object has a key twice, or the text cannot be parsed here after all.
    """
    if len(text) > MOST_BYTES:
        raise AmbiguousJsonError(f"it has more than {MOST_BYTES // 1_000_000} MB")
    _parsed(text)


def _parsed(text: str | bytes) -> Any:
    """Return the value of a JSON text; raise AmbiguousJsonError for any fault in it."""
    try:
        return json.loads(
            text, object_pairs_hook=_distinct, parse_constant=_no_number, parse_float=_finite
        )
    except AmbiguousJsonError:
        raise
    except (ValueError, RecursionError) as error:  # a number of 5000 digits, for example
        raise AmbiguousJsonError(f"it is not plain JSON: {error}") from None


def _no_number(name: str) -> None:
    raise AmbiguousJsonError(f"{name} is no number")


def _finite(digits: str) -> float:
    value = float(digits)
    if math.isinf(value):
        raise AmbiguousJsonError(f"{shown(digits)} is too large a number")
    return value


def _distinct(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    content = dict(pairs)
    if len(content) != len(pairs):
        double = next(key for key, times in Counter(key for key, _ in pairs).items() if times > 1)
        raise AmbiguousJsonError(f"the key {shown(double)} is there twice")
    return content
