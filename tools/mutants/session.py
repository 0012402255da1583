"""A pytest session that has collected its tests, and runs some of them in a fork for each fault.

A fault inside of a function needs no new import: its code takes the place of the function's code in every
function object that has it. The file on disk holds the fault too, for processes that tests start.
"""

from __future__ import annotations

import gc
import json
import os
import sys
import tempfile
import types
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import IO, Any

import pytest
from recording import Recorder, forked

__all__ = ["Session", "serve_session"]

_OWN = ("vla_eval", "vlaeval_launcher", "tests", "fakes", "conftest", "test_", "_pytest", "__m")


class Session:
    """A pytest plugin: instead of the usual loop over tests, it answers requests until there are no more.

    Args:
        requests: lines of JSON: ``{"learn": [files], "long": true, "timeout_s": 600}``, or
            ``{"path", "function", "code", "wanted", "processor_s"}``.
        answers: takes one line for each, as ``serve.py`` says; ``{"code": "import"}`` where the fault
            cannot be put in without a new import.
    """

    def __init__(self, requests: IO[str], answers: IO[str]) -> None:
        self._requests, self._answers = requests, answers
        self._functions: dict[tuple[str, str], list[types.FunctionType]] = {}

    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        """Answer requests; a fork for each."""
        items = {item.nodeid: item for item in session.items}
        gc.freeze()  # so that collections in forks leave the shared pages alone
        self._say({"collected": len(items)})
        for line in self._requests:
            request = json.loads(line)
            if "learn" in request:
                chosen = [item for item in session.items if _file(item) in request["learn"]]
                chosen = [item for item in chosen if request["long"] or not _is_long(item)]
                self._say(forked(partial(_learn, session, chosen), timeout_s=request["timeout_s"]))
                continue
            wanted = [items[name] for name in request["wanted"] if name in items]
            change = self._change(request)
            if change is None or len(wanted) < len(request["wanted"]):
                self._say({"code": "import"})
                continue
            work = partial(_run, session, wanted, change)
            self._say(forked(work, processor_s=request["processor_s"]))
        return True

    def _say(self, answer: dict[str, Any]) -> None:
        self._answers.write(json.dumps(answer) + "\n")
        self._answers.flush()

    def _change(self, request: dict[str, Any]) -> Callable[[], None] | None:
        """Return what puts the fault in; None if it takes a new import."""
        function = request["function"]
        if function is None:
            return None
        live = self._live(os.path.abspath(request["path"]), function)  # noqa: PTH100
        found = [
            code
            for code in _codes(request["code"], request["path"])
            if code.co_qualname == function
        ]
        if not live or len(found) != 1 or any(one.__code__ == found[0] for one in live):
            return None  # a default value, a decorator; or several functions of one name
        if any(one.__code__.co_freevars != found[0].co_freevars for one in live):
            return None

        def change() -> None:
            for one in live:
                one.__code__ = found[0]

        return change

    def _live(self, path: str, function: str) -> list[types.FunctionType]:
        """Return the function objects of a function, wherever decorators have put them."""
        if not self._functions:
            for each in _functions():
                if type(each) is types.FunctionType:
                    code = each.__code__
                    self._functions.setdefault((code.co_filename, code.co_qualname), []).append(
                        each
                    )
        return self._functions.get((path, function), [])


def _functions() -> Iterator[object]:
    gc.unfreeze()
    yield from gc.get_objects()
    gc.freeze()


def _codes(text: str, path: str) -> Iterator[types.CodeType]:
    """Yield the code of every function of a module's text."""
    waiting = [compile(text, path, "exec", dont_inherit=True)]
    while waiting:
        code = waiting.pop()
        yield code
        waiting += [each for each in code.co_consts if isinstance(each, types.CodeType)]


def _run(
    session: pytest.Session, items: Sequence[pytest.Item], change: Callable[[], None]
) -> dict[str, Any]:
    """Run tests until one fails."""
    recorder = Recorder(None)
    session.config.pluginmanager.register(recorder)
    change()
    for item, following in pairwise([*items, None]):
        item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
        if recorder.failed:
            break
    return {"code": int(bool(recorder.failed)), "failed": recorder.failed}


def _file(item: pytest.Item) -> str:
    return item.nodeid.partition("::")[0]


def _is_long(item: pytest.Item) -> bool:
    return item.get_closest_marker("long") is not None


def _learn(session: pytest.Session, items: Sequence[pytest.Item]) -> dict[str, Any]:
    """Run tests as they are, and return what they call, their times, and what they import."""
    with tempfile.TemporaryDirectory() as notes:
        recorder = Recorder(None, os.getcwd() + os.sep, Path(notes))  # noqa: PTH109
        session.config.pluginmanager.register(recorder)
        for item, following in pairwise([*items, None]):
            item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
        return {
            "failed": recorder.failed,
            "seconds": recorder.seconds,
            "calls": recorder.calls(),
            "modules": [name for name in sys.modules if not name.startswith(_OWN)],
        }


def serve_session(
    files: Sequence[str], options: Sequence[str], requests: IO[str], answers: IO[str]
) -> None:
    """Collect files of tests, then answer requests."""
    pytest.main([*options, *files], plugins=[Session(requests, answers)])
