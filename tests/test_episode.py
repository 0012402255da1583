"""The episode loop: what is observed, executed, counted, clipped, refused."""

from __future__ import annotations

import dataclasses
import hashlib
import time

import numpy as np
import pytest

from fakes.env import PlainEnv, PointEnv
from fakes.policies import Options, Walker
from vla_eval import episode as episode_module
from vla_eval.chunks import check_chunk
from vla_eval.environment import SteppedEnv, make_env
from vla_eval.episode import PhaseClock, run_episode
from vla_eval.errors import InvalidActionError, UsageError
from vla_eval.keys import EpisodeKey
from vla_eval.plan import PlannedEpisode
from vla_eval.policy import ActionChunk


def planned(state: int = 0, max_steps: int = 40) -> PlannedEpisode:
    key = EpisodeKey("fake", "Point", state, 0, 0)
    return PlannedEpisode(key, "fakes:fakes/Point-v0", {}, max_steps)


def run(policy=None, env=None, *, horizon: int = 4, **changes):
    env = env or PointEnv()
    policy = policy or Walker(Options())
    return run_episode(env, policy, planned(**changes), n_action_steps=horizon, clock=PhaseClock())


def test_success_is_counted_and_ends_the_episode():
    """The walker reaches the goal; the record tells steps, inferences, function evaluations."""
    result = run()
    assert (result.outcome, result.reason, result.score) == ("success", None, 1.0)
    assert result.subgoals == {"half": True, "goal": True}
    assert 10 <= result.steps <= 20
    assert result.inferences == -(-result.steps // 4)
    assert result.nfe == 3 * result.inferences
    assert result.prefix_ms == [1.0] * result.inferences


@pytest.mark.parametrize(("horizon", "looks"), [(1, 20), (2, 10), (4, 5), (99, 5)])
def test_the_environment_is_observed_only_when_the_policy_looks(horizon, looks):
    """Rendering happens once per inference, whatever the chunk's length."""
    env = PointEnv()
    result = run(Walker(Options(skill=0.0)), env, horizon=horizon, max_steps=20)
    assert (result.outcome, result.reason) == ("failure", "time_limit")
    assert result.steps == 20
    assert result.inferences == looks
    assert env.observed == looks


def test_a_policy_that_never_looks_costs_no_pictures():
    """A policy that calls itself blind is shown nothing, and the environment is told so at the start."""
    seen = []

    class StartingEnv(PointEnv):
        def start(self, *, seed, init_state):
            info = super().start(seed=seed, init_state=init_state)
            self.observed = 0
            return info

    class BlindWalker(Walker):
        blind = True

        def infer(self, observations, contexts):
            seen.extend(observations)
            return super().infer(observations, contexts)

    env = StartingEnv()
    blind = run(BlindWalker(Options()), env)
    assert env.observed == 0
    assert seen == [{}] * blind.inferences
    assert dataclasses.replace(blind, infer_ms=[], wait_s=0) == dataclasses.replace(
        run(), infer_ms=[], wait_s=0
    )


@pytest.mark.parametrize("env", [PointEnv(), SteppedEnv(PlainEnv())])
def test_an_environment_starts_as_it_is_reset(env):
    """Without a shorter way of its own, starting is resetting."""
    info = env.start(seed=3, init_state=5)
    position = env.observe()["agent_pos"]
    first, expected = env.reset(seed=3, options={"init_state": 5})
    assert info == expected
    np.testing.assert_array_equal(position, first["agent_pos"])


def test_the_time_limit_holds_inside_a_chunk():
    """A chunk that is longer than the time left is cut."""
    assert run(Walker(Options(skill=0.0)), max_steps=7).steps == 7


@pytest.mark.parametrize("fault", ["nan", "inf", "shape", "empty", "strings"])
def test_invalid_actions_are_the_policy_s_failure_with_a_reason(fault):
    """NaN, wrong shapes and wrong types fail the episode; nothing of that chunk is executed."""
    result = run(Walker(Options(fault=fault, fault_states="0")))
    assert (result.outcome, result.reason) == ("failure", "invalid_action")
    assert result.steps == 0
    assert result.detail


def test_out_of_bounds_actions_are_clipped_and_counted():
    """Every executed action outside its bounds counts once."""
    result = run(Walker(Options(fault="big", fault_states="0")))
    assert result.outcome == "success"
    assert result.clipped_actions == result.steps


def test_wrong_number_of_chunks_is_an_error():
    """A policy that answers twice for one observation is broken, not bad."""
    with pytest.raises(ValueError, match="2 chunks for 1 observations"):
        run(Walker(Options(reply="two")))


@pytest.mark.parametrize(
    ("actions", "message"),
    [
        (np.zeros(3), r"shape \(3,\); expected \(T, 2\)"),
        (np.zeros((0, 2)), r"shape \(0, 2\)"),
        (np.zeros((2, 3)), r"shape \(2, 3\)"),
        (np.array([[0, 1j]]), "type complex128"),
        (np.array([[0.0, np.nan]]), "action 0 of the chunk has nan in dimension 1"),
    ],
)
def test_check_chunk_says_what_is_wrong(actions, message):
    """The sentence names shape, type, or place."""
    with pytest.raises(InvalidActionError, match=message):
        check_chunk(ActionChunk(actions), np.zeros(2, np.float32))


def test_anybody_s_environment_works():
    """A plain Gymnasium environment, which renders in every step, gives the same episode."""
    plain = run(env=SteppedEnv(PlainEnv()))
    split = run()
    assert plain.actions_sha256 == split.actions_sha256
    assert (plain.outcome, plain.steps, plain.score) == (split.outcome, split.steps, split.score)


def test_same_key_same_episode():
    """Two runs of one key agree in everything but time."""
    first, second = run(Walker(Options(skill=0.7))), run(Walker(Options(skill=0.7)))
    assert first.actions_sha256 == second.actions_sha256
    assert run(Walker(Options(skill=0.7)), state=1).actions_sha256 != first.actions_sha256


def test_phases_are_timed_and_the_guilty_one_is_known():
    """The clock sums by phase and remembers where an exception came from."""
    clock = PhaseClock()
    env = PointEnv(fault="raise", fault_states="0")
    with pytest.raises(RuntimeError):
        run_episode(env, Walker(Options()), planned(), n_action_steps=4, clock=clock)
    assert clock.raised_in == "advance"
    assert set(clock.seconds) == {"reset", "infer", "advance", "end_episode"}


@pytest.mark.parametrize(
    ("env_id", "message"),
    [
        ("fakes:fakes/Pont-v0", "fakes/Pont"),
        ("no_such_package:x/Y-v0", "package 'no_such_package'"),
    ],
)
def test_unknown_environments_are_one_sentence(env_id, message):
    """An id that nobody registered, or a package that is not there, is a usage error."""
    with pytest.raises(UsageError, match=message):
        make_env(env_id, {})


def test_what_a_policy_counts_is_summed():
    """Counts of chunks become the episode's sums, zeros included."""

    class Counting(Walker):
        def infer(self, observations, contexts):
            return [
                dataclasses.replace(chunk, counts={"asked": 1, "never": 0})
                for chunk in super().infer(observations, contexts)
            ]

    result = run(Counting(Options()))
    assert result.counts == {"asked": result.inferences, "never": 0}


class Scripted(PointEnv):
    """Answers each step with the next of some results, the last one again and again."""

    def __init__(self, *results, provenance=None) -> None:
        super().__init__()
        self.results = list(results)
        self.executed: list[bytes] = []
        self.about = provenance or {}

    def reset(self, **options):
        observation, info = super().reset(**options)
        return observation, info | {"provenance": self.about}

    def advance(self, action):
        self.executed.append(action.tobytes())
        terminated, truncated, info = self.results[min(len(self.executed), len(self.results)) - 1]
        return 0.0, terminated, truncated, info


@pytest.mark.parametrize(
    ("results", "outcome", "reason", "steps"),
    [
        ([(False, True, {"is_success": True})], "success", None, 1),
        ([(True, False, {"is_success": True})], "success", None, 1),
        ([(False, False, {"is_success": True})], "success", None, 1),
        ([(False, True, {})], "failure", "truncated", 1),
        ([(True, False, {"is_success": False})], "failure", "truncated", 1),
        ([(False, False, {})] * 6 + [(False, False, {"is_success": True})], "success", None, 7),
        (
            [(False, False, {})] * 7 + [(False, False, {"is_success": True})],
            "failure",
            "time_limit",
            7,
        ),
    ],
)
def test_success_counts_whatever_else_ends_the_step(results, outcome, reason, steps):
    """Also in the step of a truncation, and in the last step of the time; not in the one after."""
    result = run(env=Scripted(*results), max_steps=7)
    assert (result.outcome, result.reason, result.steps) == (outcome, reason, steps)


@pytest.mark.parametrize(
    ("said", "score"), [(0.25, 0.25), (-5e-7, 0.0), (1 + 5e-7, 1.0), (np.float32(0.5), 0.5)]
)
def test_a_score_is_taken_within_rounding(said, score):
    """Without one, success counts 1 and everything else 0."""
    assert run(env=Scripted((True, False, {"score": said}))).score == score
    for success in (True, False):
        assert run(env=Scripted((True, False, {"is_success": success}))).score == float(success)


@pytest.mark.parametrize("said", [-2e-6, 1 + 2e-6, float("nan")])
def test_any_other_score_is_an_error(said):
    """A score beyond 0 and 1 is a fault of the environment."""
    with pytest.raises(ValueError, match="expected 0 to 1"):
        run(env=Scripted((True, False, {"score": said})))


def test_the_hash_is_of_what_was_executed():
    """Clipped, in float32, one step after the other; before the first step it is that of nothing."""
    env = Scripted((False, False, {}), (False, True, {}))
    result = run(Walker(Options(fault="big", fault_states="0")), env)
    assert len(env.executed) == 2
    assert np.abs(np.frombuffer(b"".join(env.executed), np.float32)).max() == 1
    assert result.actions_sha256 == hashlib.sha256(b"".join(env.executed)).hexdigest()


@pytest.mark.parametrize("privileged", [True, False])
def test_only_a_privileged_policy_sees_the_simulator(privileged):
    """Everything else that it is told is the same."""

    class Curious(Walker):
        def __init__(self, options):
            super().__init__(options)
            self.metadata = dataclasses.replace(self.metadata, privileged=privileged)
            self.told = []

        def infer(self, observations, contexts):
            self.told += contexts
            return super().infer(observations, contexts)

    policy, env = Curious(Options(skill=0.0)), PointEnv()
    run(policy, env, max_steps=10)
    assert [told.env for told in policy.told] == [env if privileged else None] * 3
    assert [(told.step, told.chunk_index) for told in policy.told] == [(0, 0), (4, 1), (8, 2)]
    assert {told.instruction for told in policy.told} == {"move the point to the goal"}
    assert policy.told[0].action_low.tolist() == [-1, -1]
    assert policy.told[0].action_high.tolist() == [1, 1]
    assert [told.history for told in policy.told] == [()] * 3
    assert [told.stalled for told in policy.told] == [0] * 3


def test_provenance_is_plain():
    """NumPy's numbers are unpacked; what JSON does not have becomes a string."""
    about = {
        "count": np.int64(3),
        "rate": np.float64(0.5),
        "on": np.bool_(True),
        "none": None,
        "word": "a",
        "odd": float("inf"),
        "list": [1],
    }
    result = run(env=Scripted((True, False, {}), provenance=about))
    plain = {"count": 3, "rate": 0.5, "on": True, "none": None, "word": "a"}
    assert result.provenance == plain | {"odd": "inf", "list": "[1]"}
    kinds = [int, float, bool, type(None), str, str, str]
    assert [type(value) for value in result.provenance.values()] == kinds


def test_a_subgoal_has_the_step_of_its_first_time():
    """One that holds from the start has step 0; the last state tells which hold at the end."""
    steps = [{"a": False, "b": True}, {"a": True, "b": False}, {"a": True, "b": True}]
    env = Scripted(*((False, False, {"subgoals": each}) for each in steps), (True, False, {}))
    result = run(env=env)
    assert result.subgoal_steps == {"a": 2, "b": 1}
    assert result.subgoals == {}
    assert run().subgoal_steps["half"] < run().subgoal_steps["goal"] == run().steps


@pytest.mark.parametrize(
    ("said", "infer_ms", "wait_s"), [(None, 750.0, 0.0), (200.0, 200.0, 0.55), (900.0, 900.0, 0.0)]
)
def test_waiting_is_what_the_inference_did_not_take(monkeypatch, said, infer_ms, wait_s):
    """Asking takes 0.25 s and fetching 0.5 s; a host says how long it inferred, or nobody does."""

    class Hosted(Walker):
        def infer(self, observations, contexts):
            chunks = super().infer(observations, contexts)
            changes = {"infer_ms": said, "batch": 3, "prefix_ms": 2.0, "denoise_ms": 5.0}
            return [dataclasses.replace(chunk, **changes) for chunk in chunks]

    now = 0.0

    def clock() -> float:
        return now

    policy = Hosted(Options(skill=0.0))
    infer, check = policy.infer, episode_module.check_reply

    def asked(*arguments):
        nonlocal now
        now += 0.25
        return infer(*arguments)

    def fetched(*arguments):
        nonlocal now
        now += 0.5
        return check(*arguments)

    policy.infer = asked
    monkeypatch.setattr(episode_module, "perf_counter", clock)
    monkeypatch.setattr(episode_module, "check_reply", fetched)
    result = run_episode(
        PointEnv(), policy, planned(max_steps=8), n_action_steps=4, clock=PhaseClock()
    )
    assert result.infer_ms == pytest.approx([infer_ms] * 2)
    assert result.wait_s == pytest.approx(2 * wait_s)
    assert (result.prefix_ms, result.denoise_ms) == ([2.0, 2.0], [5.0, 5.0])
    assert result.max_batch == 3
    assert run().max_batch == 1


def test_a_phase_takes_as_long_as_it_takes():
    """Two visits of one phase add up, and no phase takes longer than all took together."""
    clock, entered = PhaseClock(), []
    clock.entered = entered.append
    began = time.perf_counter()
    for _ in range(2):
        with clock.phase("reset"):
            time.sleep(0.01)
    assert 0.02 <= clock.seconds["reset"] <= time.perf_counter() - began
    assert entered == ["reset", "idle"] * 2
    assert clock.raised_in == "idle"


def test_a_policy_hears_how_its_episode_ended():
    """With the outcome, and with an error too; what it raises then does not hide the first exception."""
    heard = []

    class Listens(Walker):
        def end_episode(self, key, outcome):
            heard.append((key.init_state, outcome))
            if outcome == "error":
                raise RuntimeError("not again")

    run(Listens(Options()))
    run(Listens(Options(skill=0.0)), state=3)
    with pytest.raises(ValueError, match="score"):
        run(Listens(Options()), Scripted((True, False, {"score": 7})))
    assert heard == [(0, "success"), (3, "failure"), (0, "error")]
