"""Which tests a mutant has to fear: those that call the function that it stands in."""

from __future__ import annotations

import ast
import json
import os
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from threading import Lock
from typing import Any

from bench import Bench, sha

__all__ = ["Known"]


class Known:
    """What tests call and how long they take, found by running each file of tests once, and kept.

    Args:
        root: the repository.
        file: where it is kept from one command to the next.
        long: whether tests that are marked ``long`` are wanted, too.
    """

    def __init__(self, root: Path, file: Path, *, long: bool) -> None:
        self._root, self._file, self._lock = root, file, Lock()
        self._marks = "not slow" if long else "not slow and not long"
        text = file.read_text(encoding="utf-8") if file.exists() else "{}"
        self._kept: dict[str, dict[str, Any]] = json.loads(text)

    def learn(self, files: Sequence[str], bench: Bench) -> list[str]:
        """Run those files of tests that are new or have changed; return the packages they import."""
        modules: dict[str, None] = {}
        for file in files:
            entry = self._kept.get(file)
            if entry is None or (entry["sha"], entry["marks"]) != (self.sha(file), self._marks):
                found = bench.calls(file, self._marks)
                if found["failed"] or found["code"] is None:
                    why = ", ".join(found["failed"][:3]) or "too slow"
                    print(f"  {file}: as it is, not all of its tests pass here: {why}", flush=True)
                bench.warm(found["modules"])
                entry = {"sha": self.sha(file), "marks": self._marks, **found}
                with self._lock:
                    self._kept[file] = entry
                    half = self._file.with_suffix(f".{os.getpid()}")
                    half.write_text(json.dumps(self._kept), encoding="utf-8")
                    half.replace(self._file)
            modules |= dict.fromkeys(entry["modules"])
        return list(modules)

    def sha(self, file: str) -> str:
        """Return the hash of a file of tests."""
        return sha((self._root / file).read_text(encoding="utf-8"))

    def text(self, test: str) -> str:
        """Return the source of a test; empty if it is gone."""
        file, _, name = test.partition("::")
        return _functions(self._root / file).get(name.partition("[")[0].rpartition("::")[2], "")

    def seconds(self, tests: Sequence[str]) -> float:
        """Return how long tests take together."""
        return sum(self._kept[name.partition("::")[0]]["seconds"][name] for name in tests)

    def function(self, module: str, line: int) -> str | None:
        """Return the outermost function around a line, as ``Class.method``, or None."""
        return _function(self._root / module, line)

    def wanted(self, module: str, line: int, files: Sequence[str], budget_s: float) -> list[str]:
        """Return the tests for a fault in a line, at most `budget_s` of them, those first that are quick.

        They are the tests that call its function; for a line outside of functions, those that call
        any of the module, and those of the repository itself, which reads every module; where there
        is none, those in files of the module's name.
        """
        function = self.function(module, line)
        stem = Path(module).stem
        named = {file for file in files if Path(file).stem.startswith(f"test_{stem}")}
        every = list(self._tests(files))
        found = [name for name in every if self._calls(name, module, function)]
        found = found or [name for name in every if name.partition("::")[0] in named]
        if function is None:
            found += [name for name in every if name.startswith("tests/repository/")]
        quick = sorted(found, key=lambda name: self.seconds([name]))
        chosen = []
        for name in quick:
            budget_s -= self.seconds([name])
            if budget_s < 0:
                break
            chosen.append(name)
        place = {name: at for at, name in enumerate(found)}
        return sorted(chosen, key=lambda name: place[name])

    def _tests(self, files: Sequence[str]) -> Iterator[str]:
        for file in files:
            entry = self._kept[file]
            bad = set(entry["failed"])
            yield from (name for name in entry["seconds"] if name not in bad)

    def _calls(self, name: str, module: str, function: str | None) -> bool:
        file = name.partition("::")[0]
        calls = self._kept[file]["calls"]
        return any(
            path == module and (function is None or f"{called}.".startswith(f"{function}."))
            for place in (name, file)
            for path, called in calls.get(place, ())
        )


@cache
def _functions(path: Path) -> dict[str, str]:
    """Return the source of every function of a file."""
    text = path.read_text(encoding="utf-8") if path.is_file() else ""
    return {
        node.name: ast.get_source_segment(text, node) or ""
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.FunctionDef)
    }


def _function(path: Path, line: int) -> str | None:
    def search(body: Sequence[ast.stmt], prefix: str) -> str | None:
        for node in body:
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                first = min([node.lineno, *(one.lineno for one in node.decorator_list)])
                if first <= line <= (node.end_lineno or first):
                    name = prefix + node.name
                    return search(node.body, name + ".") if isinstance(node, ast.ClassDef) else name
        return None

    return search(ast.parse(path.read_text(encoding="utf-8")).body, "")
