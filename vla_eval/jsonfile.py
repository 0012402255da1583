"""JSON that anybody may have written: it is read if it is a file, and says everything once.

Two things are never taken on trust. A named pipe, a socket or a device in a file's place is not
opened, since that may wait for ever or do something. A key that is there twice is refused: of two
readers one would believe the first and the other the last.
"""

from __future__ import annotations

import json
import stat
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ValidationError
from pydantic_core import PydanticCustomError

from vla_eval.errors import UsageError

__all__ = [
    "AmbiguousJsonError",
    "AwareTime",
    "first_complaint",
    "read_model",
    "read_regular",
    "refuse_ambiguous",
]

_KINDS = {
    stat.S_IFIFO: "a named pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
    stat.S_IFDIR: "a folder",
}
_SHOWN = 60


class AmbiguousJsonError(ValueError):
    """Two readers could read a JSON text differently; the message says where."""


def _aware(value: str) -> str:
    try:
        moment = datetime.fromisoformat(value)
        if moment.tzinfo is not None:
            moment.astimezone(UTC)  # years 1 and 9999 can lie outside of what can be compared
            return value
    except (ValueError, OverflowError):
        pass
    raise PydanticCustomError(
        "aware_time",
        "{value} is no time with a zone; ISO 8601 is expected, such as 2026-01-31T12:00:00+00:00",
        {"value": _shown(value)},
    )


AwareTime = Annotated[str, AfterValidator(_aware)]
"""A time as it was written, in ISO 8601 with its zone, so that any two can be compared."""


def read_regular(path: Path) -> bytes:
    """Return a file's content.

    Raises:
        OSError: there is none, it cannot be read, or it is no file; nothing else is ever opened.
    """
    kind = stat.S_IFMT(path.stat().st_mode)
    if kind != stat.S_IFREG:
        raise OSError(f"it is {_KINDS.get(kind, 'something else')}, and a file is expected")
    return path.read_bytes()


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
        text = read_regular(path)
        found = model.model_validate_json(text)
        refuse_ambiguous(text)
    except (FileNotFoundError, NotADirectoryError):
        raise error(missing or f"{path}: there is no such file") from None
    except OSError as trouble:
        reason = trouble.strerror or trouble
        raise error(f"{path}: cannot be read as a text file ({reason}){after}") from None
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
    try:
        json.loads(text, object_pairs_hook=_distinct)
    except AmbiguousJsonError:
        raise
    except (ValueError, RecursionError) as error:  # a number of 5000 digits, for example
        raise AmbiguousJsonError(f"it is not plain JSON: {error}") from None


def _distinct(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        double = next(key for key, times in Counter(key for key, _ in pairs).items() if times > 1)
        raise AmbiguousJsonError(f"the key {_shown(double)} is there twice")
    return found


def first_complaint(error: ValidationError) -> str:
    """Return what a model's validation says first, as ``place: message`` in one line."""
    first = error.errors(include_url=False, include_input=False)[0]
    place = ".".join(_plain(str(part)) for part in first["loc"])
    return f"{place}: {first['msg']}" if place else first["msg"]


def _plain(text: str) -> str:
    """Return a key of somebody else's file so that it cannot break the line or the terminal."""
    return text if text.isprintable() and len(text) <= _SHOWN else _shown(text)


def _shown(text: str) -> str:
    return repr(text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…")
