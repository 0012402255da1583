"""Notes which functions a process starts, a line of a file each, written at once: workers may be killed."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from types import CodeType
from typing import Any

__all__ = ["opened", "watch"]


def opened(place: str) -> int:
    """Open a file of notes, which several processes may write at a time."""
    return os.open(place, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)


def watch(root: str, notes: Callable[[], int]) -> None:
    """Note the first start of every function, again after ``sys.monitoring.restart_events()``.

    Args:
        root: folder of the functions, ending in a separator.
        notes: returns the open file of the moment; a line is a path and a function's name, with a tab between.
    """

    def started(code: CodeType, _: int) -> Any:
        if code.co_filename.startswith(root):
            line = f"{code.co_filename[len(root) :]}\t{code.co_qualname}\n"
            os.write(notes(), line.encode())
        return sys.monitoring.DISABLE

    tool, event = sys.monitoring.COVERAGE_ID, sys.monitoring.events.PY_START
    sys.monitoring.use_tool_id(tool, "mutants")
    sys.monitoring.register_callback(tool, event, started)
    sys.monitoring.set_events(tool, event)
