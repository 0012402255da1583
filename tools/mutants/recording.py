"""What is noted of tests, and how they are run in a process of their own."""

from __future__ import annotations

import contextlib
import json
import math
import os
import resource
import select
import signal
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Generator, Mapping, Sequence
from pathlib import Path
from typing import Any

import noting
import pytest

__all__ = ["Recorder", "forked"]

_MEMORY_BYTES = 24 * 2**30
"""A fault in a size must not take the machine's memory. It is address space, of which torch reserves much."""


class Recorder:
    """A pytest plugin: runs the wanted tests only; notes their durations, failures and calls.

    Args:
        wanted: names of the tests, in their order; None: all.
        root: folder whose functions are noted when a test calls them, in its own process or in one that
            it starts.
        notes: an empty folder for that; None: no call is noted.
    """

    def __init__(
        self, wanted: Sequence[str] | None, root: str = "", notes: Path | None = None
    ) -> None:
        self._wanted = None if wanted is None else {name: at for at, name in enumerate(wanted)}
        self._notes = notes
        self._named: list[tuple[Path, str]] = []
        """Each file of notes, and the test or file that it is about."""
        self.seconds: dict[str, float] = {}
        self.failed: list[str] = []
        if notes is not None:
            os.environ["MUTANTS_ROOT"] = root
            self._out = noting.opened(os.devnull)
            noting.watch(root, lambda: self._out)

    def calls(self) -> Mapping[str, Sequence[Sequence[str]]]:
        """Return the path and name of every function that each test, or a file's fixtures, called."""
        found: dict[str, set[tuple[str, ...]]] = defaultdict(set)
        for notes, name in self._named:
            lines = notes.read_text(encoding="utf-8").splitlines()
            found[name] |= {tuple(line.split("\t")) for line in lines}
        return {name: sorted(calls) for name, calls in found.items()}

    def _watched(self, name: str) -> Generator[None, Any, Any]:
        """Note which functions start in a part of a test, under the test's name or its file's."""
        if self._notes is None:
            return (yield)
        place = self._notes / str(len(self._named))
        self._named.append((place, name))
        os.environ["MUTANTS_NOTES"] = str(place)  # for processes that are started meanwhile
        out = noting.opened(str(place))
        os.dup2(out, self._out, inheritable=False)
        os.close(out)
        sys.monitoring.restart_events()
        return (yield)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_setup(self, item: Any) -> Generator[None, Any, Any]:
        """What fixtures call counts for the whole file: other tests may share the fixture."""
        return (yield from self._watched(item.nodeid.partition("::")[0]))

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_call(self, item: Any) -> Generator[None, Any, Any]:
        """What the test itself calls."""
        return (yield from self._watched(item.nodeid))

    def pytest_collection_modifyitems(self, items: list[Any]) -> None:
        """Leave the wanted tests, in their order."""
        if self._wanted is not None:
            order = self._wanted
            kept = [item for item in items if item.nodeid in order]
            items[:] = sorted(kept, key=lambda item: order[item.nodeid])

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: Any) -> Generator[None, Any, Any]:
        """Note the processor time of a test, which does not depend on what else the machine does."""
        began_s = _processor_s()
        try:
            return (yield)
        finally:
            self.seconds[item.nodeid] = _processor_s() - began_s

    def pytest_runtest_logreport(self, report: Any) -> None:
        """Note a failure of any phase."""
        if report.failed:
            self.failed.append(report.nodeid)

    def pytest_collectreport(self, report: Any) -> None:
        """A file that cannot be imported is a failure, too."""
        if report.failed:
            self.failed.append(report.nodeid)


def _processor_s() -> float:
    """Return the processor time of this process and of those that it started and that have ended."""
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + children.ru_utime + children.ru_stime


def forked(
    work: Callable[[], dict[str, Any]],
    *,
    processor_s: float | None = None,
    timeout_s: float | None = None,
) -> dict[str, Any]:
    """Do work in a fork with a process group of its own, which is killed afterwards.

    Args:
        work: what is done.
        processor_s: longest processor time, which a busy machine does not stretch; None: any.
        timeout_s: longest time by the clock; None: a minute and ten times the processor time.

    Returns:
        What the work returns; ``code`` is null if either time was over, and 3 if it ended without a word.
    """
    if timeout_s is None and processor_s is not None:
        timeout_s = 60 + 10 * processor_s
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reader)
        os.setpgid(0, 0)
        resource.setrlimit(resource.RLIMIT_AS, (_MEMORY_BYTES, _MEMORY_BYTES))
        if processor_s is not None:
            limit_s = math.ceil(processor_s)
            resource.setrlimit(resource.RLIMIT_CPU, (limit_s, limit_s + 1))
        said = work()
        with os.fdopen(writer, "wb") as pipe:
            pipe.write(json.dumps(said).encode() + b"\n")
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader, "rb") as pipe:
        ready, _, _ = select.select([pipe], [], [], timeout_s)
        said = pipe.readline() if ready else b""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    if said:
        return dict(json.loads(said))
    if not ready or (os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGXCPU):
        return {"code": None, "failed": []}
    # It ended without a word: os._exit, a crash of the interpreter.
    return {"code": 3, "failed": ["the process"]}
