"""Notes which functions a process starts, a line of a file each, written at once: workers may be killed."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from types import CodeType, FrameType
from typing import Any

__all__ = ["opened", "watch"]

_MODULE = "<module>"
_write = os.write
"""Kept, for a test may put another one into its place."""


def opened(place: str) -> int:
    """Open a file of notes, which several processes may write at a time."""
    return os.open(place, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)


def watch(root: str, notes: Callable[[], int]) -> None:
    """Note the first start of every function, again after ``sys.monitoring.restart_events()``.

    What an import calls is no call of a test: other tests have it from an earlier import.

    Args:
        root: folder of the functions, ending in a separator.
        notes: returns the open file of the moment; a line is a path and a function's name, with a tab between.
    """

    def started(code: CodeType, _: int) -> Any:
        if code.co_filename.startswith(root):
            if code.co_name != _MODULE and _is_import(sys._getframe(1)):  # noqa: SLF001 - the way to callers
                return None  # it may be called later, too
            line = f"{code.co_filename[len(root) :]}\t{code.co_qualname}\n"
            _write(notes(), line.encode())
        return sys.monitoring.DISABLE

    tool, event = sys.monitoring.COVERAGE_ID, sys.monitoring.events.PY_START
    sys.monitoring.use_tool_id(tool, "mutants")
    sys.monitoring.register_callback(tool, event, started)
    sys.monitoring.set_events(tool, event)


def _is_import(frame: FrameType | None) -> bool:
    while frame is not None:
        if frame.f_code.co_name == _MODULE and frame.f_globals.get("__name__") != "__main__":
            return True
        frame = frame.f_back
    return False
