"""The store: torn lines, damaged lines, contradictions, a full disk."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from vla_eval.errors import RunFolderError
from vla_eval.record import EpisodeRecord, Timing
from vla_eval.store import RecordWriter, StorageError, read_records, write_atomically


def record(state: int = 0, **changes) -> EpisodeRecord:
    values = {
        "arm": "a",
        "suite": "s",
        "task": "t",
        "init_state": state,
        "env_seed": 0,
        "policy_seed": 0,
        "env_id": "m:n/t-v0",
        "outcome": "success",
        "protocol_sha256": "p",
        "policy_sha256": "q",
        "timing": Timing(started_at="2026-01-01T00:00:00+00:00"),
    }
    return EpisodeRecord.model_validate(values | changes)


def write(folder: Path, *records: EpisodeRecord, name: str = "w.jsonl") -> Path:
    path = folder / name
    with RecordWriter(path) as writer:
        for each in records:
            writer.append(each)
    return path


def test_what_is_written_is_read(tmp_path):
    """Records come back as they were, from several files."""
    write(tmp_path, record(0), record(1))
    write(tmp_path, record(2), name="x.jsonl")
    records = read_records([tmp_path])
    assert records.attempts == [record(0), record(1), record(2)]
    assert not records.torn


def test_idle_writers_leave_no_file(tmp_path):
    """A writer without a record creates nothing."""
    write(tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_torn_last_line_is_ignored_and_reported(tmp_path):
    """However much of the last line a kill left: the lines before it count, and it is reported."""
    path = write(tmp_path, record(0), record(1))
    data = path.read_bytes()
    first = data.index(b"\n") + 1
    for cut in (first + 1, first + 100, len(data) - 1):
        path.write_bytes(data[:cut])
        records = read_records([tmp_path])
        assert [each.init_state for each in records.attempts] == [0]
        assert records.torn == ["w.jsonl"]


DAMAGE = {
    "a changed value": lambda lines: [lines[0].replace(b'"score":0.0', b'"score":1.0'), *lines[1:]],
    "a dropped line": lambda lines: lines[1:],
    "swapped lines": lambda lines: [lines[1], lines[0], *lines[2:]],
    "no JSON": lambda lines: [b"hello\n", *lines[1:]],
    "cut in the middle": lambda lines: [lines[0][:200] + b"\n", *lines[1:]],
    "an unknown field": lambda lines: [lines[0].replace(b'"arm"', b'"arms"'), *lines[1:]],
    "no UTF-8": lambda lines: [b"\xff\xfe\n", *lines[1:]],
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_damage_is_refused_with_file_and_line(tmp_path, damage):
    """Anything but a torn last line is an error that names the file, the line and the remedy."""
    path = write(tmp_path, record(0), record(1), record(2))
    path.write_bytes(b"".join(DAMAGE[damage](path.read_bytes().splitlines(keepends=True))))
    with pytest.raises(RunFolderError, match=r"w\.jsonl, line \d: .*(restore|move)") as caught:
        read_records([tmp_path])
    assert "\n" not in str(caught.value)


def test_errors_give_way_to_results(tmp_path):
    """An error counts until an attempt succeeds or fails, in whatever order files are read."""
    error = record(0, outcome="error", reason="env_error")
    write(tmp_path, record(0, attempt=2, score=1.0), name="a.jsonl")
    write(tmp_path, error, name="b.jsonl")
    final = read_records([tmp_path]).final
    assert [each.outcome for each in final.values()] == ["success"]


def test_equal_repeats_are_one_and_unequal_ones_are_reported(tmp_path):
    """A repeated episode with the same result is kept once; with another one the first is kept."""
    write(tmp_path, record(0), name="a.jsonl")
    write(tmp_path, record(0, attempt=2), name="b.jsonl")
    assert len(read_records([tmp_path]).final) == 1
    write(tmp_path, record(0, outcome="failure", reason="time_limit"), name="c.jsonl")
    records = read_records([tmp_path])
    assert [each.outcome for each in records.final.values()] == ["success"]
    assert "two results for s/t/i0/e0/p0 that differ in 'outcome'" in records.contradictions[0]


FULL = """
import resource, signal, sys
sys.path.insert(0, {tests!r})
from test_store import record
from vla_eval.store import RecordWriter, StorageError
from pathlib import Path
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
with RecordWriter(Path({path!r})) as writer:
    writer.append(record(0))
    size = Path({path!r}).stat().st_size
    resource.setrlimit(resource.RLIMIT_FSIZE, (size + 100, size + 100))
    try:
        writer.append(record(1))
    except StorageError as error:
        print(error)
        sys.exit(7)
"""


def test_a_full_disk_stops_clearly_and_corrupts_nothing(tmp_path):
    """When only a part of a line fits, nothing of it stays, and the message says what to do."""
    path = tmp_path / "w.jsonl"
    script = FULL.format(tests=str(Path(__file__).parent), path=str(path))
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False
    )
    assert done.returncode == 7, done.stderr
    assert "free some space, then repeat the command" in done.stdout
    records = read_records([tmp_path])
    assert [each.init_state for each in records.attempts] == [0]
    assert not records.torn


def test_atomic_write_replaces_or_keeps(tmp_path, monkeypatch):
    """A failing write leaves the old content and no temporary file."""
    path = tmp_path / "run.json"
    write_atomically(path, "old")

    def fail(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", fail)
    with pytest.raises(StorageError, match="No space left"):
        write_atomically(path, "new")
    assert path.read_text() == "old"
    assert [each.name for each in tmp_path.iterdir()] == ["run.json"]
