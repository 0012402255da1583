"""What Ctrl-C, SIGTERM and SIGHUP do to the command, from its first line to its last.

Before there is anything to put in order they end the process at once. Then the first one raises
KeyboardInterrupt, except in the middle of an import, and a second one ends the process at once. When the exit code is settled they
change nothing any more.
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
    """Handles the signals of one command; what the process was told to ignore stays ignored."""

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
        """From now on the process ends with this code, whatever comes."""
        self._code, self._orderly = code, False
        for number in self._numbers:  # an event loop, for one, gives them back their fatal meaning
            _signal.signal(number, self._handle)
        # `python -m` ends by SIGINT where the last `exec` of a text was interrupted, caught or not, and
        # the imports of others are full of them. This one was not.
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
                pass  # nobody is there to read it
        os._exit(self._code)

    def _ignore(self) -> None:
        """Python is about to give the signals back their fatal meaning."""
        for number in self._numbers:
            _signal.signal(number, _signal.SIG_IGN)


def _imports(frame: FrameType | None) -> bool:
    """Return whether a module is being imported, where a KeyboardInterrupt may become an ImportError."""
    while frame is not None and frame.f_code.co_filename != "<frozen importlib._bootstrap>":
        frame = frame.f_back
    return frame is not None
