"""Standard streams that never end a run: not for a closed pipe or file, nor for unusual characters."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from typing import Any

__all__ = ["forgiving_streams"]


class _Forgiving:
    """A text stream whose writes cannot fail because of its reader."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")

    def write(self, text: str) -> int:
        """Write the text, or drop it if the stream is closed."""
        if self._stream is not None:
            try:
                self._stream.write(text)
            except (BrokenPipeError, ValueError):
                self._give_up()
        return len(text)

    def flush(self) -> None:
        """Flush, or give up if the stream is closed."""
        if self._stream is not None:
            try:
                self._stream.flush()
            except (BrokenPipeError, ValueError):
                self._give_up()

    def isatty(self) -> bool:
        """Return whether the stream is a terminal."""
        return self._stream is not None and bool(self._stream.isatty())

    def _give_up(self) -> None:
        """Send the buffered text to the null device, so that the interpreter can end quietly."""
        with contextlib.suppress(OSError, ValueError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), self._stream.fileno())
        self._stream = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


@contextlib.contextmanager
def forgiving_streams() -> Iterator[None]:
    """Make stdout and stderr forgiving inside the block: ``vlaeval run … | head`` runs to its end."""
    before = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = _Forgiving(sys.stdout), _Forgiving(sys.stderr)
    try:
        yield
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        sys.stdout, sys.stderr = before
