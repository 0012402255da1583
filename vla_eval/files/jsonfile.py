"""JSON that anybody may have written: it is read if it is a file, and says everything once.

Two things are never taken on trust. A named pipe, a socket or a device in a file's place is not
opened, since that may wait for ever or do something. A key that is there twice is refused: of two
readers one would believe the first and the other the last.
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
"""A larger JSON file is none of ours, and reading it could take all memory."""
_ARM_NAME = re.compile(r"[A-Za-z0-9._-]{1,100}")


class AmbiguousJsonError(ValueError):
    """Two readers could read a JSON text differently, or one not at all; the message says where."""


def _aware(value: str) -> str:
    try:
        moment = datetime.fromisoformat(value)
        if moment.tzinfo is not None:
            if not 1 < moment.year < 9999:  # those can lie outside of what can be compared
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
    """Return the name of an arm, if it can be told apart from others in a table and in a file.

    ASCII only: a Cyrillic letter can look like a Latin one.

    Raises:
        ValueError: it is none; says what is allowed.
    """
    if not _ARM_NAME.fullmatch(name):
        raise PydanticCustomError(
            "arm_name",
            "arm {name}: use ASCII letters, digits, '-', '_' and '.' only, at most 100 of them",
            {"name": ascii(name[:60])},
        )
    return name


ArmName = Annotated[str, AfterValidator(check_arm_name)]
"""What an arm may be called, wherever that is read."""
AwareTime = Annotated[str, AfterValidator(_aware)]
"""A time as it was written, in ISO 8601 with its zone, so that any two can be compared."""


@contextmanager
def open_regular(path: Path) -> Iterator[BufferedReader]:
    """Open a file for reading.

    Raises:
        OSError: there is none, it cannot be read, or it is no file; nothing else is ever opened.
    """
    kind = stat.S_IFMT(path.stat().st_mode)
    if kind != stat.S_IFREG:
        raise OSError(f"it is {_KINDS.get(kind, 'something else')}, and a file is expected")
    with path.open("rb") as file:
        yield file


def read_regular(path: Path, *, most_bytes: int | None = None) -> bytes:
    """Return a file's content; raises OSError as `open_regular` does, and where it is too large."""
    with open_regular(path) as file:
        found = file.read() if most_bytes is None else file.read(most_bytes + 1)
    if most_bytes is not None and len(found) > most_bytes:
        raise OSError(f"it has more than {most_bytes // 1_000_000} MB, and such files are small")
    return found


def is_there(path: Path) -> bool:
    """Whether something has that name; what no file can be named has nothing."""
    try:
        return path.exists()
    except (OSError, ValueError):
        return False


def files_in(folder: Path, ending: str) -> list[Path]:
    """Return what lies in a folder under names with an ending, sorted; nothing of a missing folder.

    Raises:
        OSError: the folder cannot be read, so nobody knows what is in it.
    """
    try:
        with os.scandir(folder) as found:
            return sorted(folder / each.name for each in found if each.name.endswith(ending))
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
        remedy: what to do where it cannot be read.
        missing: the whole sentence where there is no such file.
        error: what is raised.
        most_bytes: a larger file is refused.

    Raises:
        UsageError: one sentence with the path and what is wrong.
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
    """Read a JSON file that holds one object, whose content nobody has checked yet.

    Raises:
        UsageError: one sentence with the path and what is wrong; for the arguments see `read_model`
            and `read_text`.
    """
    text = read_text(path, remedy=remedy, error=error, most_bytes=most_bytes)
    after = f"; {remedy}" if remedy else ""
    try:
        found = _parsed(text)
    except AmbiguousJsonError as trouble:
        raise error(f"{path}: {wrong} ({trouble}){after}") from None
    if not isinstance(found, dict):
        raise error(f"{path}: {wrong} (an object {{…}} is expected){after}")
    return found


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
        model: what it has to hold.
        wrong: what is said of a file that does not, such as ``is no certificate``.
        remedy: what to do then.
        missing: the whole sentence where there is no such file.
        error: what is raised.

    Raises:
        UsageError: one sentence with the path, what is wrong, and where in the file.
    """
    after = f"; {remedy}" if remedy else ""
    try:
        text = read_text(path, remedy=remedy, missing=missing, error=error)
        found = model.model_validate_json(text)
        refuse_ambiguous(text)
    except ValidationError as trouble:
        raise error(f"{path}: {wrong} ({first_complaint(trouble)}){after}") from None
    except AmbiguousJsonError as trouble:
        raise error(f"{path}: {wrong} ({trouble}){after}") from None
    return found


def refuse_ambiguous(text: str | bytes) -> None:
    """Parse a text that is valid JSON and look at all of its objects.

    Raises:
        AmbiguousJsonError: one of them has a key twice, or the text cannot be parsed here after all.
    """
    if len(text) > MOST_BYTES:
        raise AmbiguousJsonError(f"it has more than {MOST_BYTES // 1_000_000} MB")
    _parsed(text)


def _parsed(text: str | bytes) -> Any:
    """Return what a text says; raises AmbiguousJsonError for whatever is wrong with it."""
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
    found = dict(pairs)
    if len(found) != len(pairs):
        double = next(key for key, times in Counter(key for key, _ in pairs).items() if times > 1)
        raise AmbiguousJsonError(f"the key {shown(double)} is there twice")
    return found
