"""TOML from unknown authors: every fault becomes one sentence that names the place."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from vla_eval.errors import ProtocolError, UsageError
from vla_eval.files.jsonfile import read_text
from vla_eval.files.plain import whole_number

__all__ = ["MOST_BYTES", "apply_change", "as_json", "parse_toml", "read_toml", "typed_value"]

MOST_BYTES = 1_000_000
"""Largest TOML file that is read: a larger one is not handwritten, and its parsing takes minutes."""


def read_toml(path: Path, *, error: type[UsageError] = ProtocolError) -> dict[str, Any]:
    """Read a TOML file.

    Raises:
        UsageError: an exception of class ``error``; the message names the file, the line and the fault.
    """
    return parse_toml(read_text(path, error=error, most_bytes=MOST_BYTES), str(path), error=error)


def parse_toml(text: str, where: str, *, error: type[UsageError] = ProtocolError) -> dict[str, Any]:
    """Parse the text of a TOML file; ``where`` names it in messages. Raises as `read_toml` does.

    Values that JSON cannot hold, such as a date or a number of 5000 digits, are refused.
    """
    try:
        content = tomllib.loads(text)
    except RecursionError:
        raise error(f"{where}: not valid TOML: lists or tables are nested too deeply") from None
    except tomllib.TOMLDecodeError as trouble:
        raise error(f"{where}: not valid TOML: {trouble}") from None
    except (ValueError, OverflowError) as trouble:  # a number of 5000 digits, a 30th of February
        raise error(f"{where}: not valid TOML: {str(trouble).partition(';')[0]}") from None
    as_json(content, where, error=error)
    return content


def apply_change(
    content: dict[str, Any], change: str, *, error: type[UsageError] = ProtocolError
) -> None:
    """Set one ``KEY.PATH=VALUE`` in the content of a TOML file, in place.

    Missing tables are created. In a list, a part of the path is a position, counted from 0. For the
    value see `typed_value`.

    Raises:
        UsageError: an exception of class ``error``: the change has another form, or its path goes through
            a value without keys.
    """
    path, equals, text = change.partition("=")
    *parents, last = path.strip().split(".")
    if not equals or not last:
        raise error(f"--set {change}: expected KEY.PATH=VALUE")
    value = typed_value(text, f"--set {change}", error=error)
    node: Any = content
    for part in parents:
        if isinstance(node, list):
            node = node[_position(node, part, change, error)]
        else:
            node = node.setdefault(part, {})
        if not isinstance(node, dict | list):
            raise error(f"--set {change}: '{part}' is a value and has nothing inside it")
    node[_position(node, last, change, error) if isinstance(node, list) else last] = value


def _position(found: list[Any], part: str, change: str, error: type[UsageError]) -> int:
    place = whole_number(part)
    if place is None or place >= len(found):
        raise error(
            f"--set {change}: '{part}' is no position in a list of {len(found)} (count from 0)"
        )
    return place


def typed_value(text: str, where: str, *, error: type[UsageError] = ProtocolError) -> Any:
    """Return the value of a typed ``KEY=VALUE``: read as TOML if possible, else taken as a string.

    Raises:
        UsageError: an exception of class ``error``: JSON cannot hold the value, such as ``inf`` or a
            date, or the value is nested too deeply or has too many digits.
    """
    try:
        value = tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text
    except (ValueError, RecursionError, OverflowError):
        raise error(
            f"{where}: the value has too many digits, is nested too deeply or is no date; quote it if "
            "it is a text"
        ) from None
    as_json({"value": value}, where, error=error)
    return value


def as_json(data: Mapping[str, Any], where: str, *, error: type[UsageError] = ProtocolError) -> str:
    """Return the content of a TOML file as JSON; raise UsageError if it has a date, inf or NaN."""
    try:
        return json.dumps(data, allow_nan=False)
    except (TypeError, ValueError, RecursionError) as trouble:
        fault = "nested too deeply" if isinstance(trouble, RecursionError) else trouble
        raise error(
            f"{where}: holds a value that cannot be used here: {fault}; use text, whole numbers and "
            "finite decimals"
        ) from None
