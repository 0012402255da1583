"""Set-up of every child process: it dies with its parent, and uses few threads."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from multiprocessing import get_context, resource_tracker
from multiprocessing.connection import Connection
from types import ModuleType
from typing import Any, get_args

from vla_eval.episode import Phase
from vla_eval.errors import EXIT_INTERRUPTED
from vla_eval.stopping import handling, stop_signals

__all__ = [
    "SPAWN",
    "Heartbeat",
    "become_child",
    "born_with",
    "shielded_from_interrupt",
    "tell",
    "thread_limits",
    "without_main",
]

SPAWN = get_context("spawn")
"""Never fork: a forked GL or CUDA context is undefined behaviour."""

PHASES: tuple[Phase, ...] = get_args(Phase)

_THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "LP_NUM_THREADS",  # Mesa's software rasteriser
)
_PR_SET_PDEATHSIG = 1


def thread_limits(threads: int) -> dict[str, str]:
    """Return the variables that limit BLAS and software-GL threads; counts that the user has set stay."""
    return {name: os.environ.get(name, str(threads)) for name in _THREAD_VARIABLES}


def tell(supervisor: Connection, message: object) -> None:
    """Send a message to the supervisor. A process whose supervisor is gone ends, without a word."""
    try:
        supervisor.send(message)
    except (BrokenPipeError, ConnectionResetError):
        raise SystemExit(EXIT_INTERRUPTED) from None


@contextmanager
def born_with(threads: int, changes: Mapping[str, str | None]) -> Iterator[None]:
    """Set the environment of the processes that are started inside the block.

    Libraries read these variables when they are loaded, so the child itself could set them only too
    late.

    Args:
        threads: number of BLAS and software-GL threads; counts that the user has set stay.
        changes: other variables; None removes one.
    """
    before = dict(os.environ)
    os.environ.update(thread_limits(threads))
    os.environ.update({name: value for name, value in changes.items() if value is not None})
    for name in [name for name, value in changes.items() if value is None]:
        os.environ.pop(name, None)
    try:
        yield
    finally:
        for name in os.environ.keys() - before.keys():
            del os.environ[name]
        os.environ.update(before)


@contextmanager
def without_main() -> Iterator[None]:
    """Start a process inside the block: it does not import the caller's script.

    A training script takes long to import, and without its guard it would train again. The process must
    need nothing from the script.
    """
    script = sys.modules["__main__"]
    sys.modules["__main__"] = ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = script


@contextmanager
def shielded_from_interrupt() -> Iterator[None]:
    """Start a process inside the block: it ignores Ctrl-C, and no signal stops its start half-way.

    The child inherits that SIGINT is blocked, until it ignores SIGINT (:func:`become_child`). Signals
    that arrive meanwhile are handled at the end.
    """
    received: list[int] = []
    handled = [number for number in stop_signals() if callable(signal.getsignal(number))]
    resource_tracker.ensure_running()  # its own start unblocks SIGINT
    try:
        with handling(handled, lambda number, _frame: received.append(number)):
            mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
            try:
                yield
            finally:
                signal.pthread_sigmask(signal.SIG_SETMASK, mask)
    finally:
        for number in received:
            signal.raise_signal(number)


def become_child(parent_pid: int) -> None:
    """Ignore Ctrl-C (the supervisor decides), die with the supervisor, keep stdout clean.

    The output of simulators and policies goes to stderr: the parent's stdout is for results.
    """
    os.dup2(2, 1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent_pid:  # the parent died before prctl was in force
        os._exit(1)


class Heartbeat:
    """Shared memory in which a child reports its phase and since when it lasts."""

    def __init__(self, slots: int = 0) -> None:
        self._state: Any = SPAWN.RawArray("d", 2)
        self._flags: Any = SPAWN.RawArray("b", max(1, slots))
        self._host_stopped: Any = SPAWN.RawValue("b", 0)

    def enter(self, phase: Phase, now_s: float) -> None:
        """Child: report that a phase begins at ``now_s`` (monotonic clock, the same in all processes)."""
        self._state[1] = now_s
        self._state[0] = PHASES.index(phase)

    def read(self, now_s: float) -> tuple[Phase, float]:
        """Supervisor: return the phase, and how long it has lasted in seconds."""
        return PHASES[int(self._state[0])], now_s - self._state[1]

    def set_members(self, members: list[int]) -> None:
        """Host: report the worker slots of the batch that is being inferred."""
        for slot in range(len(self._flags)):
            self._flags[slot] = int(slot in members)

    def members(self) -> set[int]:
        """Supervisor: return the worker slots of the current or last batch."""
        return {slot for slot in range(len(self._flags)) if self._flags[slot]}

    def mark_host_stopped(self) -> None:
        """Supervisor: tell a worker that the host it waits for is being stopped on purpose."""
        self._host_stopped.value = 1

    @property
    def host_was_stopped(self) -> bool:
        """Worker: whether the host was stopped on purpose, so that the record can say so."""
        return bool(self._host_stopped.value)
