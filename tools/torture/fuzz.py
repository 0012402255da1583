"""Damaged and odd input for every reader, thousands of it, each kind in a process of its own: what
comes back is a result or one of our own errors, within 10 s and 1 GB.

Each case follows from the seed, the reader's name and its number alone::

    .venv/bin/python tools/torture/fuzz.py --reader protocols --seed 7 --case 123
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import random
import resource
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

_HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(_HERE), str(_HERE.parents[1] / "tests" / "fakes")]

from reader import Attempt, Reader, Taken, WrongExit  # noqa: E402
from table import Row  # noqa: E402

_HANG_S = 10.0
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
    for name, reader in readers.items():
        count = reader.short if short else reader.count
        if count:
            yield _in_children(Row(reader.what), module, name, count, seed)


def _in_children(row: Row, module: str, name: str, count: int, seed: int) -> Row:
    """Try all cases of a reader in a child; begin again after one that ended the child."""
    begin, seen = 0, {"fine": 0, "refused": 0}
    while begin < count:
        with tempfile.TemporaryFile("w+") as log:
            arguments = ["--reader", name, "--seed", str(seed), "--case", str(begin)]
            arguments += ["--count", str(count - begin), "--module", module]
            command = [sys.executable, str(Path(__file__)), *arguments]
            child = subprocess.Popen(command, stdout=log, stderr=subprocess.DEVNULL)
            stuck = _watched(child, log)
            begin = _read_log(row, log, seen, name, seed, begin, stuck or child.returncode)
    row.seen = f"{seen['refused']:,} refused, {seen['fine']:,} still fine"
    return row


def _watched(child: subprocess.Popen[bytes], log: Any) -> str:
    """Wait for a child that goes on writing; kill it and say so where it does not."""
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
    return ""


def _read_log(
    row: Row, log: Any, seen: dict[str, int], name: str, seed: int, begin: int, ended: str | int
) -> int:
    """Count what a child wrote; return the next case."""
    log.seek(0)
    case = begin
    for line in log:
        said = json.loads(line)
        case = said["case"] + 1
        bad = said.get("bad")
        if bad is None:
            seen[said["result"]] += 1
        row.add(bad, f"--reader {name} --seed {seed} --case {said['case']}: {said.get('why', '')}")
    if ended:
        bad = "hang" if ended == "hang" else "memory" if ended == -signal.SIGKILL else "traceback"
        row.add(bad, f"--reader {name} --seed {seed} --case {case}: its process ended ({ended})")
        case += 1
    return case


def _cases(reader: Reader, name: str, seed: int, first: int, count: int) -> None:
    """Try some cases in this process; one line of JSON for each on the standard output."""
    report = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    signal.signal(signal.SIGALRM, _alarm)
    with tempfile.TemporaryDirectory(dir=_quick()) as folder:
        os.environ["VLA_EVAL_CACHE"] = folder
        attempt = reader.prepare(Path(folder))
        for case in range(first, first + count):
            rng = random.Random(f"{seed}/{name}/{case}")
            report.write(json.dumps({"case": case, **_one(attempt, rng)}) + "\n")
            report.flush()


def _quick() -> str | None:
    return "/dev/shm" if os.access("/dev/shm", os.W_OK) else None


def _alarm(_signal: int, _frame: object) -> None:
    raise Hang


def _one(attempt: Attempt, rng: random.Random) -> dict[str, Any]:
    """Try one case; say what was bad about it."""
    from vla_eval.errors import VlaEvalError

    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    signal.setitimer(signal.ITIMER_REAL, _HANG_S)
    found: dict[str, Any] = {"result": "fine"}
    try:
        attempt(rng)
    except VlaEvalError:
        found = {"result": "refused"}
    except Taken as error:
        found = {"bad": "difference", "why": str(error)}
    except Hang:
        found = {"bad": "hang", "why": f"over {_HANG_S:.0f} s"}
    except MemoryError:
        found = {"bad": "memory", "why": "MemoryError"}
    except BaseException as error:  # noqa: BLE001 - whatever it is, it is none of ours
        bad = "exit code" if isinstance(error, WrongExit) else "traceback"
        found = {"bad": bad, "why": f"{type(error).__name__}: {error}"[:300]}
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    if grown > _MEMORY_KB and "bad" not in found:
        found = {"bad": "memory", "why": f"{grown // 1000} MB more"}
    return found


def main() -> int:
    """Try the cases that the arguments name."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--reader", required=True)
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--case", type=int, default=0)
    parser.add_argument("--count", type=int, default=1)
    parser.add_argument("--module", default="readers")
    chosen = parser.parse_args()
    reader = importlib.import_module(chosen.module).READERS[chosen.reader]
    _cases(reader, chosen.reader, chosen.seed, chosen.case, chosen.count)
    return 0


if __name__ == "__main__":
    sys.exit(main())
