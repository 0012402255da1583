"""Effects of Ctrl-C, SIGTERM and SIGHUP on the command, from its first line to its last.

Before there is anything to clean up, a signal ends the process at once. Then the first signal raises
KeyboardInterrupt, except during an import, and a second one ends the process at once. When the exit
code is settled, signals change nothing.
"""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]  # `signal` needs 4 ms more, open to a Ctrl-C
import atexit
import os
import sys
from types import FrameType

__all__ = ["EXIT_INTERRUPTED", "Stopping"]

EXIT_INTERRUPTED = 2
_NAMES = ("SIGINT", "SIGTERM", "SIGHUP")


class Stopping:
    """Handles the signals of one command; signals that the process ignores stay ignored."""

    def __init__(self) -> None:
        self._code = EXIT_INTERRUPTED
        self._orderly = False
        self._numbers: list[int] = []

    def install(self) -> None:
        """From now on a signal ends the process at once, with exit code 2."""
        for name in _NAMES:
            number = getattr(_signal, name, None)
            if number is not None and _signal.getsignal(number) != _signal.SIG_IGN:
                _signal.signal(number, self._handle)
                self._numbers.append(number)
        atexit.register(self._ignore)  # the first that is registered is the last that is called

    def be_orderly(self) -> None:
        """From now on the first signal raises KeyboardInterrupt."""
        self._orderly = True

    def settle(self, code: int) -> None:
        """From now on the process ends with this code, in spite of signals."""
        self._code, self._orderly = code, False
        for number in self._numbers:  # an event loop, for example, restores their default effect
            _signal.signal(number, self._handle)
        # `python -m` ends by SIGINT if the last `exec` of a string was interrupted, even if that was
        # caught; many imports call `exec`. This call is not interrupted.
        exec("")  # noqa: S102
        for stream in (sys.stdout, sys.stderr):
            if stream is not None:
                stream.flush()

    def _handle(self, _number: int, frame: FrameType | None) -> None:
        if self._orderly and not _imports(frame):
            self._orderly = False
            raise KeyboardInterrupt
        if self._code == EXIT_INTERRUPTED:
            try:  # noqa: SIM105 - contextlib is not imported yet
                os.write(2, b"interrupted\n")
            except OSError:
                pass  # the terminal is gone
        os._exit(self._code)

    def _ignore(self) -> None:
        """Ignore the signals before Python restores their default effect."""
        for number in self._numbers:
            _signal.signal(number, _signal.SIG_IGN)


def _imports(frame: FrameType | None) -> bool:
    """Return whether an import is running: there a KeyboardInterrupt may become an ImportError."""
    while frame is not None and frame.f_code.co_filename != "<frozen importlib._bootstrap>":
        frame = frame.f_back
    return frame is not None
