"""Virtual time in the engine: the same records from any number of workers and any placement."""

from __future__ import annotations

import json

import pytest

import vla_eval
from vla_eval.errors import RunFolderError, UsageError
from vla_eval.recording.replay import replay
from vla_eval.runs.store import read_records
from vla_eval.summary.text import report_text

pytestmark = pytest.mark.long

TABLE = """
latency = "virtual"
[run.realtime]
mode = "async"
merge = "average"
arms = { worker = { total_us = 250000 }, host = { total_us = 250000 } }
"""
ARMS = {"worker": "fakes.policies:InWorker?skill=0.8", "host": "fakes.policies:InHost?skill=0.8"}


@pytest.fixture
def run(tmp_path, protocol_file):
    def go(arms=ARMS, *, table=TABLE, out="run", workers=2, **protocol):
        path = str(protocol_file(run=table, **protocol))
        return vla_eval.run(path, arms, tmp_path / out, workers=workers, notify=lambda _: None)

    return go


def finals(folder):
    return read_records([folder / "episodes"]).final


def test_records_do_not_depend_on_workers_or_placement(tmp_path, run):
    """A hosted policy thinks while its worker simulates, and not a bit changes."""
    assert run(out="one", workers=1).complete
    assert run(out="two", workers=2).complete
    one, two = finals(tmp_path / "one"), finals(tmp_path / "two")
    assert {slot: each.reproducible() for slot, each in one.items()} == {
        slot: each.reproducible() for slot, each in two.items()
    }
    for (arm, key), record in one.items():
        other = one["host" if arm == "worker" else "worker", key]
        assert record.actions_sha256 == other.actions_sha256
        assert record.realtime == other.realtime
        assert record.realtime.delays[0] == 3
    assert replay(tmp_path / "one", "fake/Point/i1/e0/p0", "host", trust=True).differences == {}


def test_shards_with_other_numbers_of_workers_make_the_same_run(tmp_path, run, protocol_file):
    """Two shards with one and three workers: each record is that of a single process."""
    assert run(out="one", workers=1, count=4).complete
    path = str(protocol_file(run=TABLE, count=4))
    for shard, workers in (("1/2", 1), ("2/2", 3)):
        vla_eval.run(
            path, ARMS, tmp_path / "two", workers=workers, shard=shard, notify=lambda _: None
        )
    one, two = finals(tmp_path / "one"), finals(tmp_path / "two")
    assert {slot: each.reproducible() for slot, each in one.items()} == {
        slot: each.reproducible() for slot, each in two.items()
    }


def test_a_host_that_dies_with_an_inference_in_flight(tmp_path, run):
    """The episode is an error of the machine; its repetition is the episode without the death."""
    arms = {**ARMS, "host": f"{ARMS['host']}&fault=die&fault_states=1&fault_folder={tmp_path}"}
    run(out="clean", count=2)
    assert run(arms, out="died", count=2).complete
    clean, died = finals(tmp_path / "clean"), finals(tmp_path / "died")
    attempts = read_records([tmp_path / "died" / "episodes"]).attempts
    assert "host_lost" in {each.reason for each in attempts}
    for slot, record in clean.items():
        assert died[slot].actions_sha256 == record.actions_sha256
        assert died[slot].realtime == record.realtime


def test_the_latency_is_part_of_an_arms_identity(tmp_path, run):
    """One policy at two latencies makes two arms, and their run cannot go on with another machine."""
    run()
    header = json.loads((tmp_path / "run" / "run.json").read_text())
    assert [arm["identity"]["realtime"] for arm in header["arms"]] == [{"expected_us": 250_000}] * 2
    with pytest.raises(RunFolderError, match="total_us"):
        run(table=TABLE.replace("250000", "90000"))


def test_a_chunk_shorter_than_its_delay_and_a_delay_longer_than_the_episode(tmp_path, run):
    """The robot starves, or never moves; both are failures of the arm, and nothing breaks."""
    slow = TABLE.replace("worker = { total_us = 250000 }", "worker = { total_us = 9000000 }")
    slow = slow.replace("host = { total_us = 250000 }", "host = { total_us = 700000 }")
    run(table=slow, count=2)
    for (arm, _), record in finals(tmp_path / "run").items():
        if arm == "worker":
            assert (record.outcome, record.inferences, record.realtime.discarded) == (
                "failure",
                1,
                1,
            )
            assert record.realtime.stalled_ticks == record.steps == 40
        else:
            assert record.realtime.stalled_ticks > record.steps / 4


@pytest.mark.parametrize(
    ("table", "words"),
    [
        (TABLE.replace('"virtual"', '"paused"'), "give both, or neither"),
        (TABLE.replace("worker = { total_us = 250000 }, ", ""), "says nothing of arm 'worker'"),
    ],
)
def test_what_is_not_declared_is_refused(run, table, words):
    """Before an episode runs."""
    with pytest.raises((UsageError, vla_eval.errors.ProtocolError), match=words):
        run(table=table)


def test_records_tell_of_events_and_their_answers(tmp_path, run):
    """What was done to the scene is in the records of all arms, with the first step that could answer it."""
    assert run(bump_step=5, count=2).complete
    for record in finals(tmp_path / "run").values():
        (event,) = record.events.values()
        assert event.shown == 5
        assert 3 <= event.answered - event.shown < 3 + 4
    summary = vla_eval.summarise([tmp_path / "run"])
    for arm in summary.arms.values():
        reactions = arm.reactions["bump"]
        assert (reactions.episodes, reactions.answered) == (2, 2)
        assert 3 <= reactions.min_ticks <= reactions.mean_ticks <= reactions.max_ticks < 3 + 4
    assert "bump" in report_text(summary)
    assert run(out="calm", count=2).complete
    assert all(record.events is None for record in finals(tmp_path / "calm").values())
