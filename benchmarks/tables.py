"""What scripts with a table of docs/one-step.md share."""

# ruff: noqa: INP001  a script's neighbour

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

__all__ = ["points", "write_table"]


def points(middle: float, low: float, high: float) -> str:
    """Return a difference of rates in points with its interval."""
    return f"{100 * middle:+.1f} [{100 * low:+.1f}, {100 * high:+.1f}]"


def write_table(file: Path, table: Callable[[Any], str]) -> None:
    """Write the Markdown of a results file, ``.json``, beside it, and print it."""
    text = table(json.loads(file.read_text(encoding="utf-8")))
    file.with_suffix(".md").write_text(text, encoding="utf-8")
    sys.stdout.write(text)
