"""Signals that ask a process to stop."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from types import FrameType

__all__ = ["handling", "stop_requested", "stop_signals"]


def stop_signals() -> list[signal.Signals]:
    """Return the signals that ask this process to stop; none outside the main thread.

    They are Ctrl-C, SIGTERM (Slurm, Kubernetes, CI) and SIGHUP (the terminal is gone), without ignored
    ones (``nohup``).
    """
    if threading.current_thread() is not threading.main_thread():
        return []
    names = ("SIGINT", "SIGTERM", "SIGHUP")
    numbers = [getattr(signal, name) for name in names if hasattr(signal, name)]
    return [number for number in numbers if signal.getsignal(number) != signal.SIG_IGN]


@contextmanager
def handling(
    numbers: Iterable[signal.Signals], handler: Callable[[int, FrameType | None], None]
) -> Iterator[None]:
    """Use this handler for these signals inside the block; restore the old handlers after it."""
    before = {number: signal.signal(number, handler) for number in numbers}
    try:
        yield
    finally:
        for number, earlier in before.items():
            signal.signal(number, earlier)


@contextmanager
def stop_requested() -> Iterator[Callable[[], bool]]:
    """Delay Ctrl-C, SIGTERM and SIGHUP, so that the caller can stop between two steps.

    Yields:
        a function that returns whether one of them was received.
    """
    received = threading.Event()
    with handling(stop_signals(), lambda _number, _frame: received.set()):
        yield received.is_set
