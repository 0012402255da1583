"""The store: torn lines, damaged lines, contradictions, a full disk."""

from __future__ import annotations

import json
import pickle
import subprocess
import sys
import tracemalloc
from itertools import permutations
from pathlib import Path

import pytest

from fakes.by_hand import bare_record as record
from vla_eval.errors import RunFolderError
from vla_eval.files.atomic import StorageError, write_atomically
from vla_eval.realtime.record import RealtimeRecord
from vla_eval.realtime.schedule import Tally
from vla_eval.record import EpisodeRecord, ErrorDetail, EventRecord, Timing
from vla_eval.runs.store import Records, RecordWriter, read_records, records_digest


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


def test_paused_records_say_nothing_of_virtual_time(tmp_path):
    """Their bytes are those of earlier versions; records of virtual time come back as they were."""
    realtime = RealtimeRecord.of(Tally(delays=[2]), expected_delay=2, discarded=0, jump=0.5)
    path = write(tmp_path, record(0), record(1, realtime=realtime))
    paused, virtual = path.read_text().splitlines()
    assert "realtime" not in paused
    assert '"realtime":{"delays":[2],' in virtual
    records = read_records([tmp_path])
    assert [each.realtime for each in records.attempts] == [None, realtime]
    assert "realtime" not in records.attempts[0].reproducible()


def test_fields_of_later_versions_change_no_digest(tmp_path):
    """Steps of subgoals and the hash of the end come back, and no comparison of records includes them."""
    later = {"subgoal_steps": {"half": 3, "a:b": 7}, "end_hash": "e"}
    path = write(tmp_path, record(0), record(1, **later), record(2, end_hash="e"))
    earlier = path.read_text().splitlines()[0]
    assert "subgoal_steps" not in earlier
    assert "end_hash" not in earlier
    read = read_records([tmp_path])
    assert read.attempts == [record(0), record(1, **later), record(2, end_hash="e")]
    assert read.attempts[1].subgoal_steps == {"half": 3, "a:b": 7}
    assert record(1, **later).reproducible() == record(1).reproducible()
    digests = {
        records_digest({("a", each.key): each}, ["a"], [each.key])
        for each in (record(1), record(1, **later))
    }
    assert len(digests) == 1


def test_events_come_back(tmp_path):
    """What was done to a scene, answered or not, is part of a record; where nothing was, no line says so."""
    events = {"jump": EventRecord(shown=31, answered=42), "a:b": EventRecord(shown=7)}
    path = write(tmp_path, record(0), record(1, events=events))
    assert "events" not in path.read_text().splitlines()[0]
    read = read_records([tmp_path])
    assert [each.events for each in read.attempts] == [None, events]
    assert read.attempts[1].reproducible()["events"]["jump"] == {"shown": 31, "answered": 42}


def test_idle_writers_leave_no_file(tmp_path):
    """A writer without a record creates nothing."""
    write(tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_torn_last_line_is_ignored_and_reported(tmp_path):
    """For every length of a torn last line, the lines before it count, and the line is reported."""
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
    """An error counts until an attempt succeeds or fails, for every order of the files."""
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


def raised(attempt: int = 1, said: str = "KeyError", **changes) -> EpisodeRecord:
    """An attempt in which the policy raised, a minute after the one before."""
    values = {
        "outcome": "error",
        "reason": "policy_error",
        "attempt": attempt,
        "error": ErrorDetail(type=said, message="'wrist'"),
        "scene_hash": "scene",
        "steps": 8,
        "inferences": 2,
        "actions_sha256": "actions",
        "timing": Timing(started_at=f"2026-01-01T00:{attempt:02}:00+00:00"),
    }
    return record(0, **values | changes)


def add(*attempts: EpisodeRecord) -> Records:
    records = Records()
    for each in attempts:
        records.add(each, "there", f"call {each.attempt}")
    return records


SLOT = ("a", record(0).key)


@pytest.mark.parametrize("order", permutations([1, 2, 3]))
def test_the_second_of_two_equal_exceptions_is_the_result(order):
    """This holds for every order of the files; the other fields stay, and the errors stay errors."""
    records = add(*(raised(each) for each in order))
    assert records.final[SLOT] == raised(2, outcome="failure", reason="policy_raised")
    assert records.sessions[SLOT] == "call 2"
    assert records.errors[SLOT] == [raised(1), raised(2), raised(3)]
    assert {each.outcome for each in records.attempts} == {"error"}
    assert not records.contradictions


DIFFERENCES = {
    "type": {"said": "ValueError"},
    "message": {"error": ErrorDetail(type="KeyError", message="'front'")},
    "scene": {"scene_hash": "other"},
    "steps": {"steps": 12},
    "inferences": {"inferences": 3},
    "actions": {"actions_sha256": "others"},
    "reason": {"reason": "policy_timeout"},
}


@pytest.mark.parametrize("difference", DIFFERENCES)
def test_exceptions_that_differ_are_no_result(difference):
    """Anything but the same error in the same place leaves the episode missing; a third can decide."""
    other = raised(2, **DIFFERENCES[difference])
    records = add(raised(1), other)
    assert records.final[SLOT] == other
    assert records.final[SLOT].outcome == "error"
    records.add(raised(3), "there")
    assert records.final[SLOT] == raised(3, outcome="failure", reason="policy_raised")


def test_the_machine_s_errors_are_no_result_however_often():
    """A simulator that diverges in the same place again and again is not the policy's failure."""
    records = add(*(raised(each, reason="env_error") for each in (2, 1, 3)))
    assert records.final[SLOT] == raised(3, reason="env_error")
    assert records.sessions[SLOT] == "call 3"


def test_a_copied_attempt_reproduces_nothing():
    """The same line in two files is one attempt; another machine's first attempt is another."""
    records = add(raised(1), raised(1))
    assert (len(records.attempts), records.errors[SLOT]) == (2, [raised(1)])
    assert records.final[SLOT].outcome == "error"
    elsewhere = raised(1, timing=Timing(started_at="2026-01-01T00:09:00+00:00", machine="b"))
    records.add(elsewhere, "there")
    assert records.final[SLOT].reason == "policy_raised"


@pytest.mark.parametrize("order", permutations([0, 1, 2]))
def test_a_result_after_a_reproduced_exception_contradicts_it(order):
    """For every order of reading, the earlier result is kept, and the later one is reported once."""
    later = record(0, timing=Timing(started_at="2026-01-01T08:00:00+07:00"))
    attempts = [raised(1), raised(2), later]
    records = add(*(attempts[each] for each in order))
    assert records.final[SLOT].reason == "policy_raised"
    assert len(records.contradictions) == 1
    assert "differ in 'outcome'" in records.contradictions[0]
    earlier = record(0, timing=Timing(started_at="2026-01-01T06:59:00+07:00"))
    attempts[2] = earlier
    records = add(*(attempts[each] for each in order))
    assert records.final[SLOT] == earlier
    assert len(records.contradictions) == 1


def test_a_result_after_one_exception_is_the_result():
    """An exception that is not reproduced contradicts no result, and its record stays."""
    records = add(raised(1), record(0, attempt=2))
    assert records.final[SLOT] == record(0, attempt=2)
    assert records.errors[SLOT] == [raised(1)]
    assert not records.contradictions


def test_a_derived_result_is_never_read_from_a_line(tmp_path):
    """A run never writes policy_raised into a file, so a line with it is refused."""
    write(tmp_path, raised(1, outcome="failure", reason="policy_raised"))
    with pytest.raises(RunFolderError, match=r"w\.jsonl, line 1: says 'policy_raised'"):
        read_records([tmp_path])


def test_an_attempt_without_its_error_s_words(tmp_path):
    """Hand-made records without error details are read like any other."""
    write(tmp_path, raised(1, error=None), raised(2, error=None))
    assert read_records([tmp_path]).final[SLOT].reason == "policy_raised"


NAME = "20260101T000000-{}-0001-w0.jsonl"


def test_the_call_stands_in_the_record(tmp_path):
    """The record holds the token too: a file under another call's name is refused."""
    mine = record(0, timing=Timing(started_at="2026-01-01T00:00:00+00:00", session="a" * 16))
    path = write(tmp_path, mine, name=NAME.format("a" * 16))
    assert read_records([tmp_path]).sessions == {SLOT: "a" * 16}
    path.rename(tmp_path / NAME.format("b" * 16))
    with pytest.raises(RunFolderError, match=r"line 1: was written by the call a{16}.*renamed"):
        read_records([tmp_path])


def test_a_name_that_names_no_call_denies_none(tmp_path):
    """Records that were gathered into a file with a name of its own keep their calls."""
    for letter in "ab":
        timing = Timing(started_at="2026-01-01T00:00:00+00:00", session=letter * 16)
        write(tmp_path, record(ord(letter), timing=timing), name=f"{letter}.jsonl")
    assert sorted(read_records([tmp_path]).sessions.values()) == ["a" * 16, "b" * 16]


def test_records_of_before_have_their_call_in_the_file_s_name(tmp_path):
    """Older records hold no token, so the file's name gives it."""
    write(tmp_path, record(0), name=NAME.format("c" * 16))
    assert read_records([tmp_path]).sessions == {SLOT: "c" * 16}


FULL = """
import resource, signal, sys
sys.path.insert(0, {tests!r})
from test_store import record
from vla_eval.files.atomic import StorageError
from vla_eval.runs.store import RecordWriter
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


@pytest.mark.long
def test_a_full_disk_stops_clearly_and_corrupts_nothing(tmp_path):
    """If only a part of a line fits on the disk, it is removed, and the message gives the remedy."""
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


@pytest.mark.long
def test_records_take_little_memory_and_stay_what_they_are(tmp_path):
    """Records take at most three times the bytes of their file, and stay equal to what was written."""
    sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))
    import read_records as benchmark

    path = tmp_path / "20260101T000000-0-0001-w0.jsonl"
    benchmark.write(path, 2_000_000, 20)
    lines = [json.loads(line)["record"] for line in path.read_text().splitlines()]
    tracemalloc.start()
    records = read_records([path])
    taken, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert taken < 3 * path.stat().st_size
    assert [json.loads(each.model_dump_json()) for each in records.attempts] == lines
    assert records.attempts[0].timing.infer_ms == tuple(lines[0]["timing"]["infer_ms"])
    assert hash(records.attempts[0].timing) == hash(records.attempts[0].timing.model_copy())
    copy = pickle.loads(pickle.dumps(records.attempts[0]))  # noqa: S301 - our own
    assert copy == records.attempts[0]
