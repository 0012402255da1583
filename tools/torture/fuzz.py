"""Damaged and odd input for every reader.

What comes back is a result or one of our own errors, within 10 s and 1 GB, and no damaged evidence is
taken for good. Each kind has a process of its own; JSON and TOML are damaged in their values, keys and
bytes, and where a hash binds them, half of the time it is made anew.

Each case follows from the seed, the reader's name and its number alone::

    .venv/bin/python tools/torture/fuzz.py --reader protocols --seed 7 --case 123
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(_HERE), str(_HERE.parents[1] / "tests" / "fakes")]

from memory import forget_peak, peak_kb  # noqa: E402
from reader import Attempt, Reader, TakenError, WrongExitError  # noqa: E402
from table import Row  # noqa: E402

_MEMORY_KB = 1_000_000
_STUCK_S = 60.0


class Hang(BaseException):
    """A case took longer than it may; no reader catches this."""


def rows(*, short: bool, seed: int, module: str = "readers") -> Iterator[Row]:
    """Fuzz every reader of a module; yield one row for each.

    Args:
        short: a few cases of each.
        seed: what all cases follow from.
        module: whose ``READERS`` are tried.
    """
    readers: dict[str, Reader] = importlib.import_module(module).READERS
    counts = {name: each.short if short else each.count for name, each in readers.items()}
    todo = {name: (0, count) for name, count in counts.items() if count}
    found = {name: _Found(Row(readers[name].what)) for name in todo}
    if short:  # in one process: most of its time is imports
        _try_all(todo, found, module, seed)
    for name in list(found):
        if name in todo:
            rest = {name: todo[name]}
            _try_all(rest, found, module, seed)
        yield found[name].as_row()


@dataclass
class _Found:
    """What came of the cases of one reader."""

    row: Row
    refused: int = 0
    fine: int = 0

    def add(self, said: Mapping[str, Any], example: str) -> None:
        bad = said.get("bad")
        self.refused += said.get("result") == "refused"
        self.fine += said.get("result") == "fine"
        self.row.add(bad, f"{example}: {said.get('why', '')}" if bad else "")

    def as_row(self) -> Row:
        self.row.seen = f"{self.refused:,} refused, {self.fine:,} still fine"
        return self.row


def _try_all(
    todo: dict[str, tuple[int, int]], found: Mapping[str, _Found], module: str, seed: int
) -> None:
    """Try the cases from..to of some readers in a child, and in another after one that ended it."""
    while todo:
        with tempfile.TemporaryFile("w+") as log:
            work = json.dumps(todo)
            arguments = ["--work", work, "--seed", str(seed), "--module", module]
            child = subprocess.Popen(
                [sys.executable, str(Path(__file__)), *arguments],
                stdout=log,
                stderr=subprocess.DEVNULL,
            )
            ended = _watched(child, log)
            _read_log(log, todo, found, seed)
        if todo:  # it ended before it was done
            name, (case, end) = next(iter(todo.items()))
            bad = "hang" if ended == "hang" else "memory" if ended == "-9" else "traceback"
            said = {"bad": bad, "why": f"its process ended ({ended})"}
            found[name].add(said, f"--reader {name} --seed {seed} --case {case}")
            _go_on(todo, name, case, end)


def _watched(child: subprocess.Popen[bytes], log: Any) -> str:
    """Wait for a child that goes on writing, kill it where it does not; return how it ended."""
    size, since = -1, time.monotonic()
    while child.poll() is None:
        time.sleep(0.02)
        grown = os.fstat(log.fileno()).st_size
        if grown != size:
            size, since = grown, time.monotonic()
        elif time.monotonic() - since > _STUCK_S:
            child.kill()
            child.wait()
            return "hang"
    return str(child.returncode)


def _read_log(
    log: Any, todo: dict[str, tuple[int, int]], found: Mapping[str, _Found], seed: int
) -> None:
    """Count the results that a child wrote, and remove their cases from the remaining ones."""
    log.seek(0)
    for line in log:
        said = json.loads(line)
        name, case = said["reader"], said["case"]
        found[name].add(said, f"--reader {name} --seed {seed} --case {case}")
        _go_on(todo, name, case, todo[name][1])


def _go_on(todo: dict[str, tuple[int, int]], name: str, case: int, end: int) -> None:
    """Remove a tried case from the remaining ones; the order of the readers stays."""
    if case + 1 < end:
        todo[name] = (case + 1, end)
    else:
        del todo[name]


def _cases(reader: Reader, name: str, seed: int, first: int, end: int, report: Any) -> None:
    """Try some cases in this process; one line of JSON for each."""
    home = Path.cwd()
    with tempfile.TemporaryDirectory(dir=_quick()) as folder:
        os.environ["VLA_EVAL_CACHE"] = folder
        attempt = reader.prepare(Path(folder))
        for case in range(first, end):
            rng = random.Random(f"{seed}/{name}/{case}")
            report.write(
                json.dumps({"reader": name, "case": case, **_one(attempt, rng, reader.hang_s)})
                + "\n"
            )
            report.flush()
        os.chdir(home)


def _quick() -> str | None:
    memory = Path("/dev") / "shm"
    return str(memory) if os.access(memory, os.W_OK) else None


def _alarm(_signal: int, _frame: object) -> None:
    raise Hang


def _one(attempt: Attempt, rng: random.Random, hang_s: float) -> dict[str, Any]:
    """Try one case; return its fault."""
    from vla_eval.errors import VlaEvalError

    forget_peak()
    before = peak_kb()
    signal.setitimer(signal.ITIMER_REAL, hang_s)
    found: dict[str, Any] = {"result": "fine"}
    try:
        attempt(rng)
    except VlaEvalError:
        found = {"result": "refused"}
    except TakenError as error:
        found = {"bad": "difference", "why": str(error)}
    except Hang as error:
        last = traceback.extract_tb(error.__traceback__)[-1]
        found = {"bad": "hang", "why": f"over {hang_s:g} s, in {last.name}: {last.line}"}
    except MemoryError:
        found = {"bad": "memory", "why": "MemoryError"}
    except BaseException as error:  # noqa: BLE001 - every exception that is not one of ours
        bad = "exit code" if isinstance(error, WrongExitError) else "traceback"
        last = traceback.extract_tb(error.__traceback__)[-1]
        where = f"{Path(last.filename).name}:{last.lineno}"
        found = {"bad": bad, "why": f"{type(error).__name__} in {where}: {error}"[:300]}
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
    grown = peak_kb() - before
    if grown > _MEMORY_KB and "bad" not in found:
        found = {"bad": "memory", "why": f"{grown // 1000} MB more"}
    return found


def main() -> int:
    """Try the cases that the arguments name; one line of JSON for each on the standard output."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n\n")[0])
    parser.add_argument("--reader", help="one of `readers.READERS`")
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--case", type=int, default=0, help="the first")
    parser.add_argument("--count", type=int, default=1, help="how many")
    parser.add_argument("--work", type=json.loads, help="reader: [first, end], as JSON")
    parser.add_argument("--module", default="readers")
    chosen = parser.parse_args()
    work = chosen.work or {chosen.reader: (chosen.case, chosen.case + chosen.count)}
    readers = importlib.import_module(chosen.module).READERS
    report = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # the output of a reader is not a report
    signal.signal(signal.SIGALRM, _alarm)
    for name, (first, end) in work.items():
        _cases(readers[name], name, chosen.seed, first, end, report)
    return 0


if __name__ == "__main__":
    sys.exit(main())
