"""A reader to fuzz, its number of cases, and the errors that it must never make."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Attempt", "Reader", "TakenError", "WrongExitError"]

Attempt = Callable[[random.Random], object]
"""Damages an input, reads it, and raises what the reader raises."""


class TakenError(Exception):
    """Damaged evidence was accepted."""


class WrongExitError(Exception):
    """A command ended with an undocumented exit code."""


@dataclass(frozen=True)
class Reader:
    """A reader of files from untrusted sources."""

    what: str
    """Description in a few words."""
    count: int
    """Cases of the whole form."""
    prepare: Callable[[Path], Attempt]
    """Gets an empty folder, returns a function that tries one case in it."""
    short: int = 20
    """Cases of the short form; 0 leaves it out."""
    hang_s: float = 10.0
    """A case that takes longer is a hang."""
