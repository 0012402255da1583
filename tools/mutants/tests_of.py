"""Which tests a mutant has to fear: those that call the function that it stands in."""

from __future__ import annotations

import ast
import json
import os
from collections import defaultdict
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from threading import Lock
from typing import Any

from bench import Bench, sha
from rooms import home_of

__all__ = ["Known"]


class Known:
    """What tests call and how long they take, found by running each file of tests once, and kept.

    Args:
        root: the repository.
        file: where it is kept from one command to the next.
        long: whether tests that are marked ``long`` are wanted, too.
    """

    def __init__(self, root: Path, file: Path, *, long: bool) -> None:
        self._root, self._file, self._lock, self._long = root, file, Lock(), long
        text = file.read_text(encoding="utf-8") if file.exists() else "{}"
        self._kept: dict[str, dict[str, Any]] = json.loads(text)

    def learn(self, files: Sequence[str], bench: Bench) -> list[str]:
        """Run those files of tests that are new or have changed; return the packages they import."""
        with self._lock:  # another bench waits, and runs none of them again
            new = [file for file in files if self._kept.get(file, {}).get("sha") != self.sha(file)]
            if new:
                bench.collect(files)
                learned = {file: bench.learn([file], long=self._long) for file in new}
                self._kept |= {file: self._part(file, learned[file]) for file in new}
                half = self._file.with_suffix(f".{os.getpid()}")
                half.write_text(json.dumps(self._kept), encoding="utf-8")
                half.replace(self._file)
            kept = [self._kept[file] for file in files]
        return list(dict.fromkeys(name for entry in kept for name in entry["modules"]))

    def _part(self, file: str, found: dict[str, Any]) -> dict[str, Any]:
        """Return what was found of one file's tests; nothing, if their process died or took too long."""
        if "seconds" not in found:
            print(
                f"  as it is, {file} ends its process or takes too long, and is left out",
                flush=True,
            )
            return {"sha": self.sha(file), "seconds": {}, "calls": {}, "failed": [], "modules": []}
        for name in found["failed"]:
            print(f"  as it is, {name} does not pass here, and is left out", flush=True)

        known = {name: found[name] for name in ("seconds", "calls", "failed", "modules")}
        return {"sha": self.sha(file), **known}

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

    def function(self, module: str, line: int, files: Sequence[str]) -> str | None:
        """Return the outermost function around a line, as ``Class.method``, if a test of `files` calls it.

        None: the line stands outside of functions, or only an import calls its function.
        """
        function = _function(self._root / module, line)
        if function is None or not any(
            self._calls(name, module, function) for name in self._tests(files)
        ):
            return None
        return function

    def wanted(
        self, module: str, function: str | None, files: Sequence[str], budget_s: float
    ) -> list[str]:
        """Return the tests for a fault in a function, `budget_s` of them, and one if none is that quick.

        They are the tests that call it; for a fault in none (see :meth:`function`), those that
        call any of the module, those of files that import it, and those of the repository itself, which
        reads every module. Chosen first are those that stand where the module does, of these the quick
        ones.
        """
        every = list(self._tests(files))
        found = [name for name in every if self._calls(name, module, function)]
        if function is None:
            concerned = {file for file in files if self._imports(file, module)}
            concerned |= {file for file in files if file.startswith("tests/repository/")}
            more = [name for name in every if name.partition("::")[0] in concerned]
            found = list(dict.fromkeys([*found, *more]))
        home = f"{home_of(module)}/"
        found.sort(key=lambda name: (not name.startswith(home), self.seconds([name])))
        chosen = []
        for name in found:
            budget_s -= self.seconds([name])
            if chosen and budget_s < 0:
                break
            chosen.append(name)
        together: dict[str, float] = defaultdict(float)
        for name in chosen:
            together[name.partition("::")[0]] += self.seconds([name])
        return sorted(
            chosen, key=lambda name: (together[name.partition("::")[0]], name.partition("::")[0])
        )

    def _tests(self, files: Sequence[str]) -> Iterator[str]:
        for file in files:
            entry = self._kept[file]
            bad = set(entry["failed"])
            yield from (name for name in entry["seconds"] if name not in bad)

    def _imports(self, file: str, module: str) -> bool:
        dotted = module.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
        dotted = dotted.removeprefix("envs.").removeprefix("policies.")
        text = (self._root / file).read_text(encoding="utf-8")
        # Packages hand on what their modules hold.
        return any(f"from {name} import" in text for name in (dotted, dotted.rpartition(".")[0]))

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
