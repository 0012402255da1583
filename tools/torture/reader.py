"""What is fuzzed: a reader, how often, and what it must never do."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Attempt", "Reader", "TakenError", "WrongExitError"]

Attempt = Callable[[random.Random], object]
"""Damages an input, reads it, and raises what the reader raises."""


class TakenError(Exception):
    """Damaged evidence was taken for good."""


class WrongExitError(Exception):
    """A command ended with a code that it should not have."""


@dataclass(frozen=True)
class Reader:
    """One thing that reads what strangers wrote."""

    what: str
    """In a few words."""
    count: int
    """Cases of the whole form."""
    prepare: Callable[[Path], Attempt]
    """Gets an empty folder, returns what tries one case in it."""
    short: int = 20
    """Cases of the short form; 0 leaves it out."""
    hang_s: float = 10.0
    """A case that takes longer is a hang."""
