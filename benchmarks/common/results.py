"""The committed results: ``results/NAME.json`` holds numbers, ``results/NAME.md`` their table."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from vla_eval.errors import UsageError, did_you_mean
from vla_eval.files.atomic import write_atomically

__all__ = ["FOLDER_VARIABLE", "RESULTS", "load", "points", "save", "write_table"]

FOLDER_VARIABLE = "VLA_EVAL_BENCHMARK_RESULTS"
"""Environment variable that names another folder of results."""
RESULTS = Path(os.environ.get(FOLDER_VARIABLE) or Path(__file__).resolve().parents[1] / "results")


def load(name: str, *, default: Any = None) -> Any:
    """Return the numbers of a results file.

    Args:
        name: of the file, without ``.json``.
        default: what a script begins with where there is no file yet; None if there has to be one.

    Raises:
        UsageError: there is no such file, or it is damaged.
    """
    file = RESULTS / f"{name}.json"
    if not file.is_file():
        if default is not None:
            return default
        known = [path.stem for path in RESULTS.glob("*.json")]
        raise UsageError(f"{file}: there are no such results{did_you_mean(name, known)}")
    try:
        return json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise UsageError(f"{file}: is no JSON ({error}); restore it") from None


def save(name: str, results: Any) -> None:
    """Write the numbers of a results file; raises StorageError where that fails."""
    write_atomically(RESULTS / f"{name}.json", json.dumps(results, indent=1) + "\n")


def write_table(name: str, table: Callable[[Any], str]) -> None:
    """Write the table of a results file beside it, and print it.

    Args:
        name: of the file, without ``.json``.
        table: makes the Markdown of its numbers.

    Raises:
        UsageError: there is no such file, or it has other numbers than the table shows.
        StorageError: the table cannot be written.
    """
    results = load(name)
    try:
        text = table(results)
    except (AttributeError, LookupError, TypeError, ValueError) as error:
        raise UsageError(
            f"{RESULTS / name}.json: the table shows numbers that are not in it "
            f"({type(error).__name__}: {error}); another script may have written it"
        ) from error
    write_atomically(RESULTS / f"{name}.md", text)
    sys.stdout.write(text)


def points(middle: float, low: float, high: float) -> str:
    """Return a difference of rates with its interval, in percentage points."""
    return f"{100 * middle:+.1f} [{100 * low:+.1f}, {100 * high:+.1f}]"
