"""Signals that ask a process to stop."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from types import FrameType

__all__ = ["handling", "stop_requested", "stop_signals"]


def stop_signals() -> list[signal.Signals]:
    """Return the signals that ask this process to stop, where this thread may handle them.

    Ctrl-C, SIGTERM (Slurm, Kubernetes, CI) and SIGHUP (the terminal is gone), without those that it
    was told to ignore (``nohup``).
    """
    if threading.current_thread() is not threading.main_thread():
        return []
    names = ("SIGINT", "SIGTERM", "SIGHUP")
    numbers = [getattr(signal, name) for name in names if hasattr(signal, name)]
    return [each for each in numbers if signal.getsignal(each) != signal.SIG_IGN]


@contextmanager
def handling(
    numbers: Iterable[signal.Signals], handler: Callable[[int, FrameType | None], None]
) -> Iterator[None]:
    """Handle these signals so inside the block, and as before after it."""
    before = {each: signal.signal(each, handler) for each in numbers}
    try:
        yield
    finally:
        for number, earlier in before.items():
            signal.signal(number, earlier)


@contextmanager
def stop_requested() -> Iterator[Callable[[], bool]]:
    """Let Ctrl-C, SIGTERM and SIGHUP wait for a moment at which everything is whole.

    Yields:
        whether one of them came.
    """
    received = threading.Event()
    with handling(stop_signals(), lambda _number, _frame: received.set()):
        yield received.is_set
