"""Signals that ask a process to stop."""

from __future__ import annotations

import signal
import threading

__all__ = ["stop_signals"]


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
