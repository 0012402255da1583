"""Reads counts of every initial state from a JSON file: ``{"n": [...], "won": [...], "lost": [...]}``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from vla_eval.errors import UsageError, did_you_mean
from vla_eval.files.jsonfile import read_json
from vla_eval.stats import ClusteredPairs

__all__ = ["read_states"]

_KEYS = ("n", "won", "lost")
_MOST_BYTES = 1_000_000
_MOST_STATES = 2000
"""Largest number of states; the exact test of more takes minutes."""
_MOST_PAIRS = 1_000_000
"""Largest number of pairs of one state."""


def read_states(file: Path) -> ClusteredPairs:
    """Return for each state its pairs, and the pairs in which only one arm succeeded.

    Raises:
        UsageError: the file is missing, or its counts are wrong; the message names the state.
    """
    content = read_json(
        file,
        wrong="holds no counts",
        remedy='expected an object {"n": [...], "won": [...], "lost": [...]}',
        most_bytes=_MOST_BYTES,
    )
    for key in _KEYS:
        if key not in content:
            raise UsageError(f"{file}: the key '{key}' is missing; expected n, won and lost")
    for key in content:
        if key not in _KEYS:
            raise UsageError(f"{file}: unknown key '{key[:40]}'{did_you_mean(key, _KEYS)}")
    columns = [_counts(file, key, content[key]) for key in _KEYS]
    _check(file, columns)
    return ClusteredPairs(*(np.array(column, dtype=np.int64) for column in columns))


def _counts(file: Path, key: str, values: Any) -> list[int]:
    if not isinstance(values, list):
        raise UsageError(f"{file}: '{key}' is not a list with one entry a state")
    for state, value in enumerate(values, start=1):
        # isinstance(True, int) holds in Python, but true is no count.
        if type(value) is not int:
            raise UsageError(f"{file}: '{key}' of state {state} is not a whole number")
        if not 0 <= value <= _MOST_PAIRS:
            raise UsageError(f"{file}: '{key}' of state {state} is not in 0 to {_MOST_PAIRS}")
    return values


def _check(file: Path, columns: list[list[int]]) -> None:
    """Refuse counts that contradict each other."""
    sizes = [len(column) for column in columns]
    if len(set(sizes)) > 1:
        lengths = ", ".join(f"{key} {size}" for key, size in zip(_KEYS, sizes, strict=True))
        raise UsageError(f"{file}: one entry a state is expected in each list, not {lengths}")
    if not 1 <= sizes[0] <= _MOST_STATES:
        raise UsageError(f"{file}: {sizes[0]} states; expected 1 to {_MOST_STATES}")
    for state, (pairs, won, lost) in enumerate(zip(*columns, strict=True), start=1):
        if pairs == 0:
            raise UsageError(f"{file}: state {state} has no pairs (n = 0); leave it out")
        if won + lost > pairs:
            raise UsageError(
                f"{file}: state {state} has {won} pairs won and {lost} lost, of {pairs} pairs"
            )
