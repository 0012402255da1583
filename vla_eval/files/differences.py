"""Differences of two JSON values, in words."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

__all__ = ["Difference", "differences", "name_differences"]

_LONGEST = 200
"""Longest text of a value in a sentence, in characters; a value may list hundreds of scenes."""

Difference = tuple[str, Any, Any]
"""(path, left value, right value); None stands for a missing value."""


def differences(
    left: Any, right: Any, *, tolerance: float = 0.0, path: str = ""
) -> Iterator[Difference]:
    """Yield every place where two values differ; numbers may differ by the tolerance."""
    if isinstance(left, Mapping) and isinstance(right, Mapping):
        for key in sorted({*left, *right}):
            place = f"{path}.{key}" if path else str(key)
            yield from differences(left.get(key), right.get(key), tolerance=tolerance, path=place)
    elif isinstance(left, list) and isinstance(right, list) and len(left) == len(right):
        for index, (before, after) in enumerate(zip(left, right, strict=True)):
            yield from differences(before, after, tolerance=tolerance, path=f"{path}.{index}")
    elif isinstance(left, float) and isinstance(right, float):
        if abs(left - right) > tolerance:
            yield path, left, right
    elif left != right:
        yield path, left, right


def name_differences(left: Any, right: Any) -> str:
    """Name up to three places where two values differ, with both values."""
    parts = [
        f"{path}: {_shown(before)} before, {_shown(now)} now"
        for path, before, now in differences(left, right)
    ]
    return "; ".join(parts[:3]) + (f"; and {len(parts) - 3} more" if len(parts) > 3 else "")


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"
