"""Trackers beside a run cannot touch it."""

from __future__ import annotations

import os
import time

import pytest

from vla_eval.errors import UsageError
from vla_eval.sinks.live import followed

TRACKERS = """
import os, time

class Hanging:
    help = "never answers"
    def __call__(self, target, options, facts):
        time.sleep(600)

class Broken:
    help = "is offline"
    def __call__(self, target, options, facts):
        raise ConnectionError("the network is unreachable")

class File:
    help = "writes into a file"
    def __call__(self, target, options, facts):
        self.target, self.arm = target, facts.arm
        return self
    def point(self, step, numbers):
        self._note(f"point {step} {len(numbers)}")
    def finish(self, facts):
        self._note(f"finish {len(facts.tables)}")
    def close(self):
        self._note("close")
    def _note(self, text):
        with open(self.target, "a") as file:
            file.write(f"{self.arm} {text}\\n")
"""


@pytest.fixture
def trackers(tmp_path, monkeypatch):
    """Install three trackers for this process and its children."""
    info = tmp_path / "site" / "fake_trackers-1.dist-info"
    info.mkdir(parents=True)
    (tmp_path / "site" / "fake_trackers.py").write_text(TRACKERS)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: fake-trackers\nVersion: 1\n")
    names = (
        "hanging = fake_trackers:Hanging",
        "broken = fake_trackers:Broken",
        "file = fake_trackers:File",
    )
    (info / "entry_points.txt").write_text("[vla_eval.sinks]\n" + "\n".join(names))
    site = str(tmp_path / "site")
    monkeypatch.syspath_prepend(site)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([site, os.environ.get("PYTHONPATH", "")]))


@pytest.mark.long
def test_a_tracker_that_hangs_or_breaks_costs_a_run_nothing(finished, trackers, tmp_path):
    """The block is not slowed; afterwards one sentence for each says how to send the run later."""
    said, diary = [], tmp_path / "diary"
    begin = time.monotonic()
    with followed(finished, ["hanging"], said.append, patience_s=1):
        assert time.monotonic() - begin < 2
    assert time.monotonic() - begin < 5
    with followed(finished, ["broken", f"file:{diary}"], said.append, patience_s=60):
        pass
    assert len(said) == 2
    assert said[0].startswith("hanging: the tracker did not answer in time")
    assert "the network is unreachable" in said[1]
    assert f"vlaeval log {finished} --to 'broken'" in said[1]
    lines = diary.read_text().splitlines()
    assert [line for line in lines if line.startswith("walker")] == [
        "walker point 8 10", "walker finish 3", "walker close",
    ]  # fmt: skip


def test_an_unknown_tracker_is_refused_before_the_run(tmp_path):
    """A typing mistake must not cost a night."""
    with (
        pytest.raises(UsageError, match="did you mean 'tensorboard'"),
        followed(tmp_path, ["tensorbord"], print),
    ):
        raise AssertionError
