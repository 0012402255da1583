"""The fuzzer finds what it is for, and finds nothing in our readers."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

_TOOLS = Path(__file__).parents[3] / "tools" / "torture"
sys.path.insert(0, str(_TOOLS))
import fuzz  # noqa: E402

PLANTED = """
import os, random, time
from pathlib import Path
from reader import Reader, TakenError
from vla_eval.errors import UsageError

def sometimes(bad):
    def prepare(folder: Path):
        def attempt(rng: random.Random):
            if rng.random() < 0.5:
                raise UsageError("no")
            bad()
        return attempt
    return prepare

def key():
    raise KeyError("class")

def taken():
    raise TakenError("margin")

kept = []

def fill():
    kept.append(b"x" * 1_100_000_000)
    kept.clear()

READERS = {
    "key": Reader("a missing key", 20, sometimes(key)),
    "ends": Reader("the process ends", 4, sometimes(lambda: os._exit(7))),
    "taken": Reader("a forgery is taken", 20, sometimes(taken)),
    "memory": Reader("1.1 GB", 1, lambda folder: lambda rng: fill()),
    "hang": Reader("for ever", 2, lambda folder: lambda rng: time.sleep(60), hang_s=0.5),
    "fine": Reader("nothing", 5, sometimes(lambda: None)),
}
"""


@pytest.mark.long
def test_planted_faults_are_counted(tmp_path, monkeypatch):
    """A reader that raises, ends, hangs, takes forgeries or fills memory is seen, and named by its case."""
    (tmp_path / "planted.py").write_text(PLANTED)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}:{_TOOLS}:{':'.join(sys.path)}")
    rows = {row.what: row for row in fuzz.rows(short=False, seed=1, module="planted")}
    kinds = {what: set(row.bad) for what, row in rows.items()}
    assert kinds == {
        "a missing key": {"traceback"},
        "the process ends": {"traceback"},
        "a forgery is taken": {"difference"},
        "1.1 GB": {"memory"},
        "for ever": {"hang"},
        "nothing": set(),
    }
    key = rows["a missing key"]
    assert key.tried == 20
    assert 1 <= key.bad["traceback"] < 20
    assert "KeyError" in key.examples[0]
    assert "--reader key --seed 1 --case " in key.examples[0]
    again = next(iter(fuzz.rows(short=False, seed=1, module="planted")))
    assert again.examples == key.examples


@pytest.mark.slow
def test_our_readers_hold():
    """The short form, as `make torture` begins."""
    assert not [row.examples for row in fuzz.rows(short=True, seed=7) if row.bad]
