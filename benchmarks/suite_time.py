"""Where the time of `make test` goes: processor time by folder of tests, in tests and in processes they start.

    python benchmarks/suite_time.py
    python benchmarks/suite_time.py tests/engine tests/cli
    python benchmarks/suite_time.py --table

runs the tests that are not marked slow, on all usable cores as `make test` does, and lint and types with an empty
cache after them, and writes ``results/suite_time.json`` and its table. Processor time changes little with other
work on the machine. Processes that are still running when their test ends, or that others started and
lost, are not counted.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections import defaultdict
from collections.abc import Generator, Iterable, Mapping
from pathlib import Path
from time import perf_counter, process_time
from typing import Any

import pytest
from common.machine import in_words, machine
from common.processor import children_s
from common.results import save, write_table
from common.script import parser, run

from vla_eval.errors import UsageError

NAME = "suite_time"
ROOT = Path(__file__).parents[1]
NOTES = "VLA_EVAL_SUITE_TIME"
"""Environment variable that names the folder into which the processes that run tests write."""
BAR_MIN = 5.0
LONGEST = (20, 100, 400)
SHOWN_S = 1.0
"""Folders with less are put together."""


def main() -> None:
    """Run the tests, unless only the table is wanted."""
    arguments = parser(__doc__, measures=True)
    arguments.add_argument("tests", nargs="*", default=["tests"], help="files and folders (all)")
    chosen = arguments.parse_args()
    if not chosen.table:
        save(NAME, measure(chosen.tests))
    write_table(NAME, table)


def measure(tests: list[str]) -> dict[str, Any]:
    """Return numbers of tests and their processor time, s, by folder: their own, and that of what they started.

    Raises:
        UsageError: no test ran.
    """
    with tempfile.TemporaryDirectory() as folder:
        paths = [str(Path(__file__).parent), os.environ.get("PYTHONPATH")]
        path = os.pathsep.join(filter(None, paths))  # an empty entry would be the current folder
        command = [sys.executable, "-m", "pytest", "-q", "-n", "auto", "-m", "not slow", "-p", NAME]
        began = perf_counter()
        ended = subprocess.run(
            [*command, *tests],
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": path, NOTES: folder},
            check=False,
        )
        wall_s = perf_counter() - began
        lines = [
            json.loads(line)
            for file in Path(folder).iterdir()
            for line in file.read_text(encoding="utf-8").splitlines()
        ]
    if not lines:
        raise UsageError(f"{' '.join(tests)}: no test ran; pytest says above why")
    folders: dict[str, list[tuple[float, float]]] = defaultdict(list)
    for name, own_s, started_s in lines:
        folders[_folder(name)].append((own_s, started_s))
    longest = sorted((own_s + started_s for _, own_s, started_s in lines), reverse=True)
    return {
        "machine": machine(),
        "passed": ended.returncode == 0,
        "wall_s": round(wall_s, 1),
        "lint_s": round(_lint_s(), 1),
        "folders": {
            name: [len(each), *(round(sum(part), 1) for part in zip(*each, strict=True))]
            for name, each in sorted(folders.items())
        },
        "longest_s": {number: round(sum(longest[:number]), 1) for number in LONGEST},
    }


def _folder(test: str) -> str:
    parts = test.partition("::")[0].split("/")
    return "/".join(parts[: 3 if parts[1] in {"envs", "policies"} else 2])


def _lint_s() -> float:
    """Return the processor time of `make lint` with an empty cache."""
    with tempfile.TemporaryDirectory() as cache:
        before_s = children_s()
        environment = {**os.environ, "MYPY_CACHE_DIR": cache}
        subprocess.run(["make", "lint"], cwd=ROOT, check=True, env=environment)
        return children_s() - before_s


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: Any) -> Generator[None, Any, Any]:
    """Note the processor time of a test, its fixtures included; pytest loads this file as a plugin."""
    own_s, started_s = process_time(), children_s()
    try:
        return (yield)
    finally:
        note = [item.nodeid, process_time() - own_s, children_s() - started_s]
        with (Path(os.environ[NOTES]) / f"{os.getpid()}").open("a", encoding="utf-8") as out:
            out.write(json.dumps(note) + "\n")


def table(results: Mapping[str, Any]) -> str:
    """Return the results as a Markdown page."""
    folders: Mapping[str, list[float]] = results["folders"]
    rows = sorted(folders.items(), key=lambda row: -_seconds(row[1]))
    few = [each for _, each in rows if _seconds(each) < SHOWN_S]
    together = _sum(folders.values())
    state = "all passed" if results["passed"] else "not all passed"
    text = [
        "# Where the time of `make test` goes",
        "",
        f"By `benchmarks/suite_time.py`: {in_words(results['machine'])}.",
        "",
        f"{together[0]:,.0f} tests, {state}, in {results['wall_s'] / 60:.1f} minutes by the clock (bar: {BAR_MIN:g}).",
        f"Lint and types, with an empty cache: {results['lint_s']:.0f} s of processor time; `make test` runs them beside.",
        "",
        "Seconds of processor time, in the process that runs the tests and in those that tests start.",
        "",
        "| tests | number | in the test | in processes it starts |",
        "|---|--:|--:|--:|",
        *(_row(name, each) for name, each in rows if _seconds(each) >= SHOWN_S),
        _row("all others", _sum(few)),
        _row("together", together),
        "",
        *(
            f"The longest {number} tests take {spent_s / _seconds(together):.0%}."
            for number, spent_s in results["longest_s"].items()
        ),
    ]
    return "\n".join(text) + "\n"


def _row(name: str, row: list[float]) -> str:
    number, own_s, started_s = row
    return f"| {name} | {number:,.0f} | {own_s:.0f} | {started_s:.0f} |"


def _seconds(row: list[float]) -> float:
    return sum(row[1:])


def _sum(rows: Iterable[list[float]]) -> list[float]:
    return [sum(column) for column in zip([0.0, 0.0, 0.0], *rows, strict=True)]


if __name__ == "__main__":
    run(main)
