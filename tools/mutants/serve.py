"""Runs tests again and again, each time in a fork of a process that has imported the packages they need.

    python tools/mutants/serve.py LOG

Reads one request a line from standard input and answers with one line of JSON each:

    {"warm": [names of modules]}
    {"files": [...], "wanted": [names of tests] or null, "trace": true, "timeout_s": 20}

The packages of this repository are never imported here: each fork reads them from disk anew.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import resource
import select
import signal
import sys
import warnings
from collections import defaultdict
from collections.abc import Generator, Sequence
from pathlib import Path
from typing import Any

import pytest

_OWN = ("vla_eval", "vlaeval_launcher", "tests", "fakes", "conftest", "test_", "_pytest", "__m")
_MEMORY_BYTES = 24 * 2**30
"""A fault in a size must not take the machine's memory. It is address space, of which torch reserves much."""


class _Recorder:
    """A pytest plugin: runs the wanted tests only; notes their durations, failures and calls."""

    def __init__(self, wanted: Sequence[str] | None, root: str | None) -> None:
        self._wanted = None if wanted is None else {name: at for at, name in enumerate(wanted)}
        self._root = root
        self._calls: set[tuple[str, str]] = set()
        self.seconds: dict[str, float] = defaultdict(float)
        self.failed: list[str] = []
        self.calls: dict[str, set[tuple[str, str]]] = defaultdict(set)
        if root is not None:
            sys.monitoring.use_tool_id(sys.monitoring.COVERAGE_ID, "mutants")
            events = sys.monitoring.events.PY_START
            sys.monitoring.set_events(sys.monitoring.COVERAGE_ID, events)
            sys.monitoring.register_callback(sys.monitoring.COVERAGE_ID, events, self._started)

    def _started(self, code: Any, _: int) -> Any:
        if code.co_filename.startswith(self._root):
            self._calls.add((code.co_filename[len(self._root or "") :], code.co_qualname))
        return sys.monitoring.DISABLE

    def _watched(self, name: str) -> Generator[None, Any, Any]:
        """Note which functions start in a part of a test, under the test's name or its file's."""
        self._calls.clear()
        if self._root is not None:
            sys.monitoring.restart_events()
        try:
            return (yield)
        finally:
            self.calls[name] |= self._calls

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

    def pytest_runtest_logreport(self, report: Any) -> None:
        """Add a phase of a test."""
        self.seconds[report.nodeid] += report.duration
        if report.failed:
            self.failed.append(report.nodeid)

    def pytest_collectreport(self, report: Any) -> None:
        """A file that cannot be imported is a failure, too."""
        if report.failed:
            self.failed.append(report.nodeid)


def _trial(request: dict[str, Any], log: Path) -> dict[str, Any]:
    """Run tests in a fork and return how it went.

    Returns:
        ``code``: pytest's exit status, or null if the time was over; ``failed``: names of tests;
        ``seconds``: test to time; ``calls``: test or file to its calls, as (path, function);
        ``modules``: what was imported that is not of this repository.
    """
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reader)
        _child(request, log, writer)
    os.close(writer)
    with os.fdopen(reader, "rb") as pipe:
        ready, _, _ = select.select([pipe], [], [], request["timeout_s"])
        said = pipe.readline() if ready else b""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(child, signal.SIGKILL)
    os.waitpid(child, 0)
    if said:
        return dict(json.loads(said))
    nothing: dict[str, Any] = {"seconds": {}, "calls": {}, "modules": []}
    # It ended without a word: os._exit, a crash of the interpreter.
    return {"code": 3 if ready else None, "failed": ["the process"] if ready else [], **nothing}


def _child(request: dict[str, Any], log: Path, writer: int) -> None:
    os.setpgid(0, 0)
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY_BYTES, _MEMORY_BYTES))
    with log.open("wb") as out, Path(os.devnull).open("rb") as nothing:
        for mine, theirs in ((nothing.fileno(), 0), (out.fileno(), 1), (out.fileno(), 2)):
            os.dup2(mine, theirs)
    traced = request.get("trace", False)
    recorder = _Recorder(request["wanted"], os.getcwd() + os.sep if traced else None)  # noqa: PTH109
    options = ["-q", "--tb=short", "-p", "no:cacheprovider", "-m", "not slow"]
    options += ["-W", "ignore::pytest.PytestAssertRewriteWarning"]  # of what is warm
    options += [f"--basetemp={log.with_suffix('.tmp')}", *([] if traced else ["-x"])]
    code = int(pytest.main([*options, *request["files"]], plugins=[recorder]))
    said = {
        "code": code,
        "failed": recorder.failed,
        "seconds": recorder.seconds,
        "calls": {name: sorted(calls) for name, calls in recorder.calls.items()},
        "modules": [name for name in sys.modules if not name.startswith(_OWN)],
    }
    with os.fdopen(writer, "wb") as pipe:
        pipe.write(json.dumps(said).encode() + b"\n")
    os._exit(0)


def _warm(names: Sequence[str]) -> None:
    for name in names:
        if name not in sys.modules:
            # Some cannot be imported alone; forks then import them themselves.
            with contextlib.suppress(Exception), warnings.catch_warnings():
                warnings.simplefilter("ignore")
                importlib.import_module(name)


def main(log: Path) -> None:
    """Serve requests until standard input ends."""
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    for line in sys.stdin:
        request = json.loads(line)
        if "warm" in request:
            _warm(request["warm"])
        answer = {} if "warm" in request else _trial(request, log)
        answers.write(json.dumps(answer) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
