"""A copy of the repository in which mutants are planted and tested, one after the other."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

__all__ = ["Bench", "Fault", "sha"]

_PATHS = ("", "envs", "policies", "protocols")
_LEARN_S = 900
"""Longest time for a room's tests, when they are run to see what they call."""


def sha(*parts: str) -> str:
    """Return a short hash of texts."""
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]


@dataclass(frozen=True)
class Fault:
    """A module's text with a fault."""

    path: str
    function: str | None
    """Outermost function around the fault, as ``Class.method``; None: it stands outside of functions."""
    code: str


class Bench:
    """A copy of the working tree, and a process that runs tests in it.

    Args:
        root: the repository.
        folder: where the copy and the log go; emptied first.
    """

    def __init__(self, root: Path, folder: Path) -> None:
        self._root, self._folder = root, folder
        self.tree = folder / "tree"
        """The copy, which is whole between two trials."""
        self._planted = 0
        self._collected: set[str] = set()
        self._server: subprocess.Popen[str] | None = None
        shutil.rmtree(folder, ignore_errors=True)
        listed = subprocess.run(
            ["git", "ls-files", "-z", "-c", "-o", "--exclude-standard"],
            cwd=root,
            check=True,
            capture_output=True,
            text=True,
        ).stdout
        for name in filter(None, listed.split("\0")):
            if (root / name).is_file():
                (self.tree / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(root / name, self.tree / name)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.cool()
        shutil.rmtree(self._folder, ignore_errors=True)

    def cool(self) -> None:
        """End the process that runs tests; the next request starts another."""
        if self._server:
            self._server.terminate()
            self._server.communicate()
        self._server, self._collected = None, set()

    def warm(self, modules: Sequence[str]) -> None:
        """Import packages from elsewhere once, for all trials to come."""
        if modules:
            self._ask({"warm": list(modules)})

    def collect(self, files: Sequence[str]) -> None:
        """Collect tests once for all trials to come, unless that was done."""
        if not self._collected.issuperset(files):
            self._ask({"session": list(files)})
            self._collected = set(files)

    def learn(self, files: Sequence[str], *, long: bool) -> dict[str, Any]:
        """Run collected files of tests as they are.

        Returns:
            ``failed``: names of tests; ``seconds``: test to processor time; ``calls``: test or file to
            its calls, as (path, function); ``modules``: what was imported from elsewhere.
        """
        return self._ask({"learn": list(files), "long": long, "timeout_s": _LEARN_S})

    def trial(self, fault: Fault, wanted: Sequence[str], processor_s: float) -> dict[str, Any]:
        """Run tests, the first failure ends them, with another text in a module's place.

        Args:
            fault: the other text.
            wanted: names of the tests.
            processor_s: processor time after which a fault counts as an endless one.
        """
        place = self.tree / fault.path
        original = place.read_bytes()
        try:
            self._write(place, fault.code.encode())
            about = {"path": fault.path, "function": fault.function, "code": fault.code}
            return self._ask({**about, "wanted": list(wanted), "processor_s": processor_s})
        finally:
            self._write(place, original)

    def _write(self, place: Path, content: bytes) -> None:
        """Write a module; Python takes its bytecode for fresh by size and second, so each gets its own."""
        self._planted += 1
        place.write_bytes(content)
        second = 1_000_000_000 + self._planted
        os.utime(place, (second, second))

    def _ask(self, request: Mapping[str, Any]) -> dict[str, Any]:
        if self._server is None:
            self._server = self._started()
        stdin, stdout = self._server.stdin, self._server.stdout
        if stdin is None or stdout is None:
            raise RuntimeError("the server's pipes are missing")
        stdin.write(json.dumps(request) + "\n")
        stdin.flush()
        answer = stdout.readline()
        if not answer:
            raise RuntimeError(f"the server of tests ended; see {self._folder / 'serve.log'}")
        return dict(json.loads(answer))

    def _started(self) -> subprocess.Popen[str]:
        paths = [*(self.tree / name for name in _PATHS), Path(__file__).with_name("started")]
        path = os.pathsep.join(map(str, paths))
        keep = {
            name: text for name, text in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"
        }
        with (self._folder / "serve.log").open("a") as log:
            return subprocess.Popen(
                [
                    sys.executable,
                    str(Path(__file__).with_name("serve.py")),
                    str(self._folder / "tests.log"),
                ],
                cwd=self.tree,
                # For git, what lies below is in no repository, as it is where tests usually run.
                env={**keep, "PYTHONPATH": path, "GIT_CEILING_DIRECTORIES": str(self._folder)},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )
