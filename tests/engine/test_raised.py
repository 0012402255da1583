"""Exceptions of a policy: a reproduced one is its failure, and none gives it a free second attempt."""

from __future__ import annotations

import hashlib
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

import vla_eval
from vla_eval.errors import InfrastructureError, UsageError
from vla_eval.recording.replay import replay
from vla_eval.runs.folder import RunFolder
from vla_eval.runs.store import Records, read_records

pytestmark = pytest.mark.long

WORKER = "fakes.raising:InWorker"
HOST = "fakes.raising:InHost"
CHEAT = "fakes.raising:Cheating"


@pytest.fixture
def run(tmp_path, protocol_file):
    said: list[str] = []

    def go(arms, *, workers=1, **protocol):
        path = str(protocol_file(**protocol))
        return vla_eval.run(path, arms, tmp_path / "run", workers=workers, notify=said.append)

    go.said = said
    return go


def records(tmp_path: Path) -> Records:
    return RunFolder.open(tmp_path / "run").records()


def files(tmp_path: Path) -> dict[str, bytes]:
    return {each.name: each.read_bytes() for each in (tmp_path / "run/episodes").iterdir()}


@pytest.mark.parametrize("spec", [WORKER, HOST])
def test_an_exception_that_comes_again_is_the_policy_s_failure(tmp_path, run, spec):
    """Two attempts and no third, in the same call or a later one; on disk they stay errors."""
    summary = run({"a": f"{spec}?states=3"}, count=5)
    arm = summary.arms["a"]
    assert summary.complete
    assert (arm.n, arm.successes, arm.errors) == (5, 4, 0)
    assert arm.reasons == {"policy_raised": 1}
    assert any("no camera 'wrist'" in each and "is its failure" in each for each in run.said)
    attempts = [each for each in records(tmp_path).attempts if each.init_state == 3]
    assert {(each.outcome, each.reason) for each in attempts} == {("error", "policy_error")}
    assert sorted(each.attempt for each in attempts) == [1, 2]
    before = files(tmp_path)
    assert run({"a": f"{spec}?states=3"}, count=5).complete
    assert files(tmp_path) == before


def test_what_was_known_when_the_policy_raised_is_kept(tmp_path, run):
    """The record of an interrupted attempt holds its scene, instruction and executed actions."""
    run({"a": f"{WORKER}?states=1"}, count=2, odd_provenance=True)
    found = records(tmp_path)
    (whole,) = (each for slot, each in found.final.items() if slot[1].init_state == 0)
    (cut,) = (each for slot, each in found.final.items() if slot[1].init_state == 1)
    executed = hashlib.sha256(np.full((8, 2), 0.6, np.float32).tobytes()).hexdigest()
    assert (cut.outcome, cut.reason, cut.attempt) == ("failure", "policy_raised", 2)
    assert (cut.steps, cut.inferences, cut.nfe, cut.actions_sha256) == (8, 2, 4, executed)
    assert cut.instruction == whole.instruction == "move the point to the goal"
    assert cut.provenance == whole.provenance
    assert len(cut.scene_hash) == 64
    assert cut.scene_hash != whole.scene_hash
    assert len(cut.timing.infer_ms) == 2
    assert "no camera 'wrist'" in cut.error.message
    with pytest.raises(UsageError, match=r"raised in episode .*, twice alike .*no camera 'wrist'"):
        replay(tmp_path / "run", str(cut.key), "a", trust=True)


def test_an_environment_s_error_keeps_what_was_known_too(tmp_path, run):
    """It stays an error at every repetition: a fault of the simulator is not the policy's failure."""
    limits = "retries = 2\nerror_cap = 0.5"
    run({"a": WORKER}, count=2, fault="raise", fault_states="1", fault_step=3, limits=limits)
    (errors,) = records(tmp_path).errors.values()
    assert [(each.attempt, each.reason, each.steps) for each in errors] == [
        (attempt, "env_error", 2) for attempt in (1, 2, 3)
    ]
    assert len({each.scene_hash for each in errors} | {""}) == 2
    assert records(tmp_path).final["a", errors[0].key].outcome == "error"


def test_a_policy_that_raises_where_it_would_fail_leaves_its_traces(tmp_path, run):
    """A policy with its own randomness is tried again; all its attempts are counted, in their order."""
    summary = run({"cheat": CHEAT}, count=10, max_steps=40, limits="retries = 3", workers=2)
    found = records(tmp_path)
    errors = [each for each in found.attempts if each.outcome == "error"]
    assert errors, "the cheat was so lucky that this test shows nothing"
    assert sum(map(len, found.errors.values())) == len(errors)
    for slot, attempts in found.errors.items():
        assert [each.attempt for each in attempts] == list(range(1, len(attempts) + 1))
        assert {each.steps for each in attempts} == {36}
        assert len({each.actions_sha256 for each in attempts}) == len(attempts)
        final = found.final[slot]
        assert final.attempt == len(attempts) + 1 if final.outcome != "error" else len(attempts)
    missing = sum(each.outcome == "error" for each in found.final.values())
    assert summary.arms["cheat"].errors == missing
    assert summary.complete is (missing == 0)


def test_two_exceptions_that_differ_prove_nothing(tmp_path, run):
    """With another message each time the episode stays missing, and a later call tries it again."""
    (tmp_path / "count").mkdir()
    spec = f"{WORKER}?states=1&folder={tmp_path / 'count'}"
    for total in (2, 4):
        summary = run({"a": spec}, count=2, limits="retries = 1")
        assert (summary.arms["a"].n, summary.arms["a"].errors) == (1, 1)
        (errors,) = records(tmp_path).errors.values()
        assert [each.attempt for each in errors] == list(range(1, total + 1))


def test_an_exception_that_passes_is_followed_by_a_result(tmp_path, run):
    """An exception that is not reproduced decides nothing, and its record stays."""
    (tmp_path / "count").mkdir()
    summary = run({"a": f"{WORKER}?states=1&times=1&folder={tmp_path / 'count'}"}, count=2)
    assert (summary.arms["a"].successes, summary.complete) == (2, True)
    (errors,) = records(tmp_path).errors.values()
    assert len(errors) == 1


def test_the_repetition_may_be_another_call_s(tmp_path, run):
    """Without retries the first call leaves the episode missing, and the second ends it."""
    first = run({"a": f"{WORKER}?states=1"}, count=2, limits="retries = 0")
    assert (first.arms["a"].errors, first.complete) == (1, False)
    second = run({"a": f"{WORKER}?states=1"}, count=2, limits="retries = 0")
    assert (second.arms["a"].errors, second.complete) == (0, True)
    found = records(tmp_path)
    (errors,) = found.errors.values()
    final = found.final["a", errors[0].key]
    assert final.reason == "policy_raised"
    one, two = (each.timing.session for each in errors)
    assert one != two
    assert found.sessions["a", final.key] == two


def test_a_run_that_only_raises_stops(tmp_path, run):
    """A wrong camera's name gives no success rate of 0: after three episodes the run stops with a hint."""
    with pytest.raises(InfrastructureError, match=r"'wrist'.*set-up may be wrong.*new folder"):
        run({"a": f"{WORKER}?states=all"}, count=30)
    found = records(tmp_path)
    assert Counter(each.reason for each in found.final.values()) == {"policy_raised": 3}
    assert len(found.attempts) == 6
    with pytest.raises(InfrastructureError, match="the first 4 episodes all ended in errors"):
        run({"a": f"{WORKER}?states=all"}, count=30)
    assert len(records(tmp_path).final) == 4


def test_a_run_whose_first_episodes_raise_goes_on_when_it_is_told_to(tmp_path, run):
    """If the policy is the cause, the same command continues, and repeats no episode."""
    with pytest.raises(InfrastructureError, match="repeat the command to go on"):
        run({"a": f"{WORKER}?states=0,1,2"}, count=5)
    summary = run({"a": f"{WORKER}?states=0,1,2"}, count=5)
    assert summary.complete
    assert (summary.arms["a"].n, summary.arms["a"].successes) == (5, 2)
    assert len(records(tmp_path).attempts) == 8


def test_neighbours_in_a_batch_are_not_blamed(tmp_path, run):
    """An exception reaches the whole batch; repeated alone, only the episode that caused it raises."""
    batches = "max_batch = 8\nbatch_wait_ms = 200.0"
    summary = run({"a": f"{HOST}?states=7&chunk=1"}, count=10, workers=3, run=batches)
    found = records(tmp_path)
    raised = [slot[1].init_state for slot, each in found.final.items() if each.outcome == "failure"]
    assert raised == [7]
    assert (summary.complete, summary.arms["a"].successes) == (True, 9)
    assert len(found.errors) > 1, "nobody was in the batch, so this test shows nothing"
    assert max(each.timing.max_batch for each in found.final.values()) > 1


def test_every_record_names_its_call(tmp_path, run):
    """Records of workers and of the supervisor hold the token that is in the file's name."""
    markers = tmp_path / "markers"
    markers.mkdir()
    fault = {"fault": "die", "fault_states": "1", "fault_folder": str(markers)}
    run({"a": WORKER}, count=3, **fault)
    for file in (tmp_path / "run/episodes").iterdir():
        for record in read_records([file]).attempts:
            assert record.timing.session == file.name.split("-")[1]
    assert any("supervisor" in file.name for file in (tmp_path / "run/episodes").iterdir())
    assert len(set(records(tmp_path).sessions.values())) == 1
