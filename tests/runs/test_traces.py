"""Traces on disk: kept beside the records, and nothing in a file of them is believed."""

from __future__ import annotations

import base64
import hashlib
import json
import zlib
from pathlib import Path

import numpy as np
import pytest

import vla_eval
from fakes.by_hand import bare_record
from vla_eval.errors import RunFolderError
from vla_eval.files.atomic import StorageError
from vla_eval.runs import traces as traces_module
from vla_eval.runs.store import read_records
from vla_eval.runs.traces import Attempt, AttemptWriter, Trace, Traces
from vla_eval.trace import STALLED


def trace(steps: int = 5, seed: int = 0) -> Trace:
    generator = np.random.default_rng(seed)
    return Trace(
        generator.normal(size=(steps, 3)).astype(np.float32),
        generator.random(steps) < 0.5,
        np.arange(steps, dtype=np.int32) // 2 - 1,
        2 * np.arange(steps // 2, dtype=np.int32),
    )


def attempt(trace: Trace | None, state: int = 0, **changes) -> Attempt:
    values = {"actions_sha256": trace.actions_sha256 if trace else "", **changes}
    return Attempt(bare_record(state, **values), trace)


def write(run: Path, *attempts: Attempt, name: str = "w.jsonl") -> Path:
    (run / "episodes").mkdir(exist_ok=True)
    with AttemptWriter(run / "episodes" / name) as writer:
        for each in attempts:
            writer.extend([each])
    return run / "actions" / name


def same(one: Trace | None, other: Trace) -> bool:
    return one is not None and all(
        np.array_equal(getattr(one, name), getattr(other, name))
        for name in ("actions", "clipped", "source", "observed")
    )


def test_what_is_written_is_read(tmp_path):
    """Traces of several files come back bit for bit, also one without steps; the rest is None."""
    known = [attempt(trace(5), 0), attempt(trace(0), 1), attempt(trace(13, 1), 2)]
    write(tmp_path, *known[:2])
    write(tmp_path, known[2], attempt(None, 3), name="x.jsonl")
    traces = Traces(tmp_path)
    assert all(same(traces.get(record), kept) for record, kept in known)
    assert traces.get(attempt(None, 3).record) is None
    assert len(read_records([tmp_path / "episodes"]).attempts) == 4


def test_a_growing_run_is_read_on(tmp_path):
    """Lines written after the first look are found without reading the earlier ones again."""
    path = write(tmp_path, attempt(trace(), 0))
    traces = Traces(tmp_path)
    assert traces.get(attempt(trace(), 1).record) is None
    line = path.read_bytes()
    later = line.replace(b'"init_state":0', b'"init_state":1')
    path.write_bytes(b"x" * (len(line) - 1) + b"\n" + later[:-20])
    assert traces.get(attempt(trace(), 1).record) is None, "it is being written"
    path.write_bytes(b"x" * (len(line) - 1) + b"\n" + later)
    assert same(traces.get(attempt(trace(), 1).record), trace())


def test_a_trace_belongs_to_one_attempt(tmp_path):
    """Attempts of one episode keep their own actions, and one whose record was lost does no harm."""
    lost, first, second = (trace(5, seed) for seed in range(3))
    write(tmp_path, attempt(lost))
    write(tmp_path, attempt(first), attempt(second, attempt=2), name="x.jsonl")
    traces = Traces(tmp_path)
    assert same(traces.get(attempt(first).record), first)
    assert same(traces.get(attempt(second, attempt=2).record), second)


def test_the_actions_of_another_episode_are_refused(tmp_path):
    """The record's hash decides."""
    write(tmp_path, attempt(trace(), actions_sha256="other"))
    with pytest.raises(RunFolderError, match=r"w\.jsonl, line 1: its actions are not those"):
        Traces(tmp_path).get(attempt(trace(), actions_sha256="other").record)


def forged(**changes) -> bytes:
    """A line with other sizes or other data."""
    said = {
        "format": 1, "arm": "a", "suite": "s", "task": "t", "init_state": 0, "env_seed": 0,
        "policy_seed": 0, "attempt": 1, "steps": 0, "action_dim": 3, "inferences": 0,
    }  # fmt: skip
    plain = changes.pop("plain", b"")
    data = changes.pop("data", base64.b64encode(zlib.compress(plain)).decode())
    return json.dumps(said | changes | {"data": data}, separators=(",", ":")).encode() + b"\n"


def a_step(*, action: float = 0.0, source: int = STALLED, observed: int | None = None) -> bytes:
    """A line of one step with three entries, and of one inference if `observed` says what it saw."""
    planes = np.full((1, 3), action, "<f4").view(np.uint8).reshape(-1, 4).T.tobytes()
    seen = [] if observed is None else [observed]
    plain = planes + b"\x00" + np.array([source, *seen], "<i4").tobytes()
    return forged(steps=1, inferences=len(seen), plain=plain)


FORGERIES = {
    "no JSON": (b"hello\n", ""),
    "no data": (forged().replace(b'"data"', b'"date"'), ""),
    "an unknown field": (forged(more=1), ""),
    "a field twice": (
        forged().replace(b'"steps":0', b'"steps":0,"steps":0'),
        "'steps' is there twice",
    ),
    "a negative size": (forged(steps=-1), ""),
    "a huge size": (forged(steps=9_999_999, action_dim=9_999_999), "it is too large"),
    "a bomb": (forged(plain=bytes(50_000_000)), "another size than it says"),
    "another size": (forged(plain=b"1234"), "another size than it says"),
    "no base 64": (forged(data="?"), ""),
    "no zlib": (forged(data="AAAA"), ""),
    "cut data": (forged(data=base64.b64encode(zlib.compress(b"")[:-2]).decode()), ""),
    "not finite": (a_step(action=np.nan), "an action is not finite"),
    "infinite": (a_step(action=np.inf), "an action is not finite"),
    "no inference": (a_step(source=0), "does not exist"),
    "no second inference": (a_step(source=1, observed=0), "does not exist"),
    "less than stalled": (a_step(source=STALLED - 1, observed=0), "does not exist"),
    "no such step": (a_step(observed=2), "does not exist"),
    "before the first step": (a_step(observed=-1), "does not exist"),
}


@pytest.mark.parametrize("forgery", FORGERIES)
def test_a_damaged_file_is_one_sentence(tmp_path, forgery):
    """The message names the file, the line and the remedy, and a bomb is not unpacked."""
    line, reason = FORGERIES[forgery]
    path = write(tmp_path, attempt(trace()))
    path.write_bytes(line)
    expected = rf"w\.jsonl, line 1: .*{reason}.*; restore the file"
    with pytest.raises(RunFolderError, match=expected) as caught:
        Traces(tmp_path).get(attempt(trace()).record)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("step", [{"source": 0, "observed": 1}, {"source": 0, "observed": 0}, {}])
def test_the_last_inference_and_step_exist(tmp_path, step):
    """An action of the last inference, an inference in flight at the end, and a stalled step are none of these."""
    path = write(tmp_path, attempt(trace()))
    path.write_bytes(a_step(**step))
    still = hashlib.sha256(bytes(12)).hexdigest()
    kept = Traces(tmp_path).get(attempt(trace(), actions_sha256=still).record)
    assert kept.source.tolist() == [step.get("source", STALLED)]
    assert kept.observed.tolist() == [step[name] for name in step if name == "observed"]


def test_a_folder_in_a_file_s_place_is_one_sentence(tmp_path):
    """Only regular files are opened."""
    (tmp_path / "actions" / "w.jsonl").mkdir(parents=True)
    with pytest.raises(RunFolderError, match="it is a folder"):
        Traces(tmp_path).get(attempt(trace()).record)


def test_without_its_actions_no_record_is_written(tmp_path):
    """If the actions cannot be stored, the run stops as it does for a record."""
    (tmp_path / "actions").write_text("in the way")
    with pytest.raises(StorageError, match="could not be written"):
        write(tmp_path, attempt(trace()))
    assert not list((tmp_path / "episodes").iterdir())


def test_an_endless_trace_is_left_out(tmp_path):
    """More than 10 MB of one episode are not kept; its record is."""
    write(tmp_path, attempt(trace(700_000)))
    assert not (tmp_path / "actions").exists()
    assert len(read_records([tmp_path / "episodes"]).attempts) == 1


@pytest.mark.parametrize(("room", "kept"), [(0, True), (-1, False)])
def test_a_trace_may_be_as_large_as_the_limit(tmp_path, monkeypatch, room, kept):
    """Five steps of three entries, a byte of flags, five sources and two observations: 89 bytes."""
    monkeypatch.setattr(traces_module, "_LARGEST", 60 + 1 + 20 + 8 + room)
    write(tmp_path, attempt(trace()))
    assert (tmp_path / "actions").exists() == kept


def test_an_episode_takes_as_much_as_its_numbers(tmp_path):
    """280 steps with 7 entries of noise, 7.8 kB of float32, take less than 10 kB on disk."""
    generator = np.random.default_rng(0)
    actions = generator.uniform(-1, 1, (280, 7)).astype(np.float32)
    source = np.arange(280, dtype=np.int32) // 10
    path = write(tmp_path, attempt(Trace(actions, actions[:, 0] > 0.9, source, 10 * source[::10])))
    assert path.stat().st_size < 10_000


@pytest.mark.long
def test_a_run_keeps_its_actions_unless_told_not_to(tmp_path, protocol_file):
    """Every episode of a run has its trace; a call with ``actions=False`` adds none to the folder."""
    arms = {"host": "fakes.policies:InHost?fault=big&fault_states=1", "worker": "random"}
    calls = {"few": False, "all": True}
    for name, kept in calls.items():
        vla_eval.run(str(protocol_file(count=2)), arms, tmp_path / name, workers=1, actions=kept)
    assert not (tmp_path / "few" / "actions").exists()
    found = Traces(tmp_path / "all")
    for record in read_records([tmp_path / "all/episodes"]).attempts:
        kept = found.get(record)
        assert kept.actions.shape == (record.steps, 2)
        assert (kept.clipped.sum(), kept.observed.size) == (
            record.clipped_actions,
            record.inferences,
        )
        assert kept.source.tolist() == [step // 4 for step in range(record.steps)]
        assert kept.observed.tolist() == [4 * each for each in range(record.inferences)]
