"""Replays of one recorded episode: policies that raised, and the recorder's observations."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

import vla_eval
from fakes.env import PointEnv
from fakes.policies import DiaryWalker, Options, Walker
from vla_eval.keys import EpisodeKey
from vla_eval.plan import expand
from vla_eval.record import EpisodeRecord, ErrorDetail
from vla_eval.recording import replay
from vla_eval.recording.recorder import Recorder
from vla_eval.runs.folder import RunFolder


@pytest.fixture(scope="module")
def runs(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("runs")


@pytest.fixture
def run(runs, protocol_file) -> Path:
    """One complete run of one arm, made once."""
    path = runs / "run"
    if not path.exists():
        arms = {"student": "fakes.policies:InWorker"}
        vla_eval.run(str(protocol_file(count=3)), arms, path, workers=1)
    return path


# --- a policy that raised then -------------------------------------------------------------------


def raised(run: Path, **changes) -> tuple[Recorder, EpisodeRecord]:
    """A policy that raises in state 2, and the record of that episode."""
    slot = ("student", EpisodeKey("fake", "Point", 2, 0, 0))
    nothing = {"outcome": "failure", "steps": 0, "actions_sha256": hashlib.sha256().hexdigest()}
    said = {"error": ErrorDetail(type="RuntimeError", message="out of memory")}
    fields = {**nothing, **said, "reason": "policy_raised", "score": 0.0, "inferences": 0, "nfe": 0}
    walker = Walker(Options(fault="raise", fault_states="2"))
    return Recorder(walker), RunFolder.open(run).records().final[slot].model_copy(
        update=fields | changes
    )


def again(run: Path, recorder: Recorder, record: EpisodeRecord):
    plan = {each.key: each for each in expand(RunFolder.open(run).header.protocol)}
    try:
        return replay.repeat(recorder, plan[record.key], record).differences
    finally:
        recorder.close()


HOSTED = ErrorDetail(type="PolicyRaisedError", message="RuntimeError: out of memory")
OTHER = ErrorDetail(type="RuntimeError", message="no such camera")


@pytest.mark.long
@pytest.mark.parametrize(
    ("changes", "different"),
    [
        ({}, set()),
        ({"error": HOSTED}, set()),
        ({"scene_hash": "", "actions_sha256": "", "steps": 0}, set()),
        ({"error": OTHER}, {"error"}),
        ({"error": None}, {"error"}),
        ({"steps": 4}, {"steps"}),
        ({"scene_hash": "0"}, {"scene_hash"}),
    ],
)
def test_raising_again_in_the_same_way_is_a_replay(run, changes, different):
    """The same exception in the same place reproduces `policy_raised`; any other does not."""
    assert set(again(run, *raised(run, **changes))) == different


@pytest.mark.long
def test_not_raising_is_no_replay_of_raising(run):
    """A policy that acts in the replay does not reproduce an exception."""
    _, record = raised(run)
    different = again(run, Recorder(Walker(Options())), record)
    assert different["reason"] == ("policy_raised", None)
    assert different["outcome"] == ("failure", "success")


@pytest.mark.long
def test_a_simulators_exception_is_not_the_policys(run, monkeypatch):
    """An exception of the environment does not reproduce the record of a policy that raised."""

    def diverge(self, action):
        raise RuntimeError("out of memory")

    monkeypatch.setattr(PointEnv, "advance", diverge)
    _, record = raised(run)
    with pytest.raises(RuntimeError, match="out of memory"):
        again(run, Recorder(Walker(Options())), record)


# --- the recorder --------------------------------------------------------------------------------


def episode_of(run: Path, state: int = 0):
    return expand(RunFolder.open(run).header.protocol)[state]


@pytest.mark.long
def test_without_a_listener_only_the_policy_looks(run):
    """A replay renders what the evaluation rendered: an observation for each inference."""
    recorder = Recorder(Walker(Options()))
    result = recorder.run(episode_of(run))
    assert recorder._env.observed == result.inferences < result.steps
    frames = []
    watched = recorder.run(episode_of(run), frames.append)
    assert len(frames) == watched.steps
    assert watched.actions_sha256 == result.actions_sha256 == recorder.executed.actions_sha256
    assert (recorder.executed.scene_hash, recorder.executed.steps) == (
        result.scene_hash,
        result.steps,
    )
    recorder.close()


def test_a_blind_policy_is_looked_for_only_if_somebody_listens(run):
    """A blind policy costs no observation without a listener; with one its frames have observations."""

    class Blind(Walker):
        blind = True
        saw: dict | None = None

        def infer(self, observations, contexts):
            self.saw = observations[0]
            return super().infer(observations, contexts)

    started = []
    policy = Blind(Options())
    recorder = Recorder(policy)
    recorder.layout(episode_of(run))
    recorder._env.start = lambda **how: started.append(how) or PointEnv.start(recorder._env, **how)
    recorder.run(episode_of(run))
    assert (policy.saw, len(started)) == ({}, 1)
    frames = []
    recorder.run(episode_of(run), frames.append)
    assert frames[0].observation["agent_pos"].shape == (1,)
    assert len(started) == 1
    recorder.close()


def test_a_privileged_policy_sees_the_environment_itself(run):
    """The policy gets the environment without a wrapper, as from a worker."""
    seen = []

    class Privileged(Walker):
        def __init__(self):
            super().__init__(Options())
            self.metadata = vla_eval.PolicyMetadata(
                name="p", method="m", chunk_size=4, n_action_steps=4, privileged=True
            )

        def warm_up(self, observations, contexts):
            seen.extend(type(each.env) for each in contexts)

        def infer(self, observations, contexts):
            seen.extend(type(each.env) for each in contexts)
            return super().infer(observations, contexts)

    recorder = Recorder(Privileged())
    recorder.run(episode_of(run))
    recorder.close()
    assert set(seen) == {PointEnv}


def test_a_policy_is_warmed_up_once(run, tmp_path):
    """Warm-up is as in an evaluation: before the first inference, once for each kind of observation."""
    recorder = Recorder(DiaryWalker(Options(diary=str(tmp_path))))
    for state in (0, 1):
        recorder.run(episode_of(run, state))
    recorder.close()
    notes = [line.split(maxsplit=2)[2] for line in (tmp_path / "diary").read_text().splitlines()]
    assert notes == ["warm_up 1", "begin 0", "end 0 success", "begin 1", "end 1 success"]
