"""A growing run is read again, never written, and its remaining time follows its recent pace."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest

from fakes.watching import make_run, write_attempts
from vla_eval.runs.folder import RunFolder
from vla_eval.view.films import FilmStyle
from vla_eval.view.live import LiveRuns, remaining_s


@pytest.fixture
def begun(tmp_path, protocol):
    path = make_run(tmp_path / "run", protocol, {})
    header = json.loads((path / "run.json").read_text())
    header |= {"status": "started", "arms": [{"name": "policy", "spec": "hold"}]}
    (path / "run.json").write_text(json.dumps(header))
    write_attempts(path, protocol, "policy", lambda _: {"steps": 9}, episodes=slice(0, 3))
    return path


def test_new_records_are_seen(begun, protocol):
    """Progress and version change with the folder."""
    live = LiveRuns([begun], FilmStyle())
    before = live.progress()
    assert (before["done"], before["planned"], before["complete"]) == (3, 8, False)
    write_attempts(begun, protocol, "policy", lambda _: {"steps": 9}, episodes=slice(3, 8))
    live._not_before = 0.0
    live.refresh()
    after = live.progress()
    assert (after["done"], after["complete"]) == (8, True)
    assert after["version"] != before["version"]


def test_reading_writes_nothing(begun):
    """No file appears, none changes: not even a lock that a starting run could find taken."""
    files = {file: file.stat().st_mtime_ns for file in begun.rglob("*")}
    live = LiveRuns([begun], FilmStyle())
    live._not_before = 0.0
    live.refresh()
    live.overview()
    live.progress()
    assert {file: file.stat().st_mtime_ns for file in begun.rglob("*")} == files


def test_a_torn_last_line_is_left_out(begun):
    """A writer may be in the middle of a line."""
    file = next((begun / "episodes").glob("*.jsonl"))
    file.write_bytes(file.read_bytes() + b'{"chain":"12')
    assert LiveRuns([begun], FilmStyle()).progress()["done"] == 3


def test_a_folder_is_not_read_again_at_once(begun, protocol):
    """A large run would otherwise be read without end while it grows."""
    live = LiveRuns([begun], FilmStyle())
    live._not_before = float("inf")
    write_attempts(begun, protocol, "policy", lambda _: {"steps": 9}, episodes=slice(3, 8))
    live.refresh()
    assert live.progress()["done"] == 3


def moved(records, seconds):
    """Return records that end at these times, in s."""
    begun = datetime(2026, 1, 1, tzinfo=UTC)
    return [
        record.model_copy(
            update={
                "timing": record.timing.model_copy(
                    update={"started_at": (begun + timedelta(seconds=at)).isoformat(), "wall_s": 0.0, "session": session}
                )
            }
        )
        for record, (at, session) in zip(records, seconds, strict=True)
    ]  # fmt: skip


def test_remaining_time_is_that_of_the_last_call(begun):
    """Two episodes ten seconds apart, after a night's pause: eight more take 80 s."""
    records = RunFolder.open(begun).records().attempts
    paced = moved(records, [(0.0, "a"), (50_000.0, "b"), (50_010.0, "b")])
    assert remaining_s(paced, 8) == 80.0
    assert remaining_s(paced[:1], 8) is None
    assert remaining_s(paced, 0) is None
