"""Runs tests again and again, each time in a fork of a process that has imported the packages they need.

    python tools/mutants/serve.py LOG

Reads one request a line from standard input and answers with one line of JSON each:

    {"warm": [names of modules]}          import packages from elsewhere
    {"session": [files]}                  collect tests once, for the next requests
    {"learn": [files], "long": true, "timeout_s": 600}
                                          run them as they are, and tell what each test calls
    {"path", "function", "code", "wanted", "processor_s"}
                                          run tests against a fault, which lies on disk already

The packages of this repository are never imported in this process: each fork reads them from disk anew, and
a session's forks have them from the session.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import signal
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any

import pytest
from recording import Recorder, forked
from session import serve_session

_IMPORTS_S = 30.0
"""Processor time for the imports of a process that has no session."""


class _Server:
    def __init__(self, log: Path) -> None:
        self._log = log
        self._session: tuple[int, IO[str], IO[str]] | None = None

    def answer(self, request: dict[str, Any]) -> dict[str, Any]:
        if "warm" in request:
            _warm(request["warm"])
            return {}
        if "session" in request:
            return self._open(request["session"])
        if self._session is not None:
            _, requests, answers = self._session
            requests.write(json.dumps(request) + "\n")
            requests.flush()
            said = json.loads(answers.readline())
            if said.get("code") != "import":
                return dict(said)
        processor_s = _IMPORTS_S + request["processor_s"]
        return forked(lambda: self._anew(request), processor_s=processor_s)

    def _anew(self, request: dict[str, Any]) -> dict[str, Any]:
        recorder = Recorder(request["wanted"])
        files = list(dict.fromkeys(name.partition("::")[0] for name in request["wanted"]))
        code = self._pytest(files, recorder, "-x", "-m", "not slow")
        return {"code": code, "failed": recorder.failed}

    def _pytest(self, files: Sequence[str], recorder: Recorder, *options: str) -> int:
        self._quiet()
        return int(pytest.main([*self._options(), *options, *files], plugins=[recorder]))

    def _open(self, files: Sequence[str]) -> dict[str, Any]:
        """Fork a session, which lives until another one is opened."""
        self.close()
        theirs, requests = os.pipe()
        answers, mine = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(requests)
            os.close(answers)
            os.setpgid(0, 0)
            self._quiet()
            options = [*self._options(), "-m", "not slow"]
            serve_session(files, options, os.fdopen(theirs), os.fdopen(mine, "w"))
            os._exit(0)
        os.close(theirs)
        os.close(mine)
        self._session = child, os.fdopen(requests, "w"), os.fdopen(answers)
        return dict(json.loads(self._session[2].readline() or '{"collected": 0}'))

    def close(self) -> None:
        """End the session."""
        if self._session is None:
            return
        child, requests, answers = self._session
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(child, signal.SIGKILL)
        os.waitpid(child, 0)
        requests.close()
        answers.close()
        self._session = None

    def _options(self) -> list[str]:
        temporary = f"--basetemp={self._log.with_suffix('.tmp')}"
        # What is warm was imported before pytest could rewrite it.
        ignored = ["-W", "ignore::pytest.PytestAssertRewriteWarning"]
        return ["-q", "--tb=short", "-p", "no:cacheprovider", *ignored, temporary]

    def _quiet(self) -> None:
        """Let this process read nothing, and write to the log."""
        with self._log.open("wb") as out, Path(os.devnull).open("rb") as nothing:
            for mine, theirs in ((nothing.fileno(), 0), (out.fileno(), 1), (out.fileno(), 2)):
                os.dup2(mine, theirs)


def _warm(names: Sequence[str]) -> None:
    for name in names:
        if name not in sys.modules:
            # Some cannot be imported alone; forks then import them themselves.
            with contextlib.suppress(Exception), warnings.catch_warnings():
                warnings.simplefilter("ignore")
                importlib.import_module(name)


def main(log: Path) -> None:
    """Serve requests until standard input ends."""
    server, answers = _Server(log), os.fdopen(os.dup(1), "w", buffering=1)
    for line in sys.stdin:
        answers.write(json.dumps(server.answer(json.loads(line))) + "\n")
    server.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
