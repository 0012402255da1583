"""Episodes in virtual time: the one loop, its records, and robots that stall."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from fakes.env import PlainEnv, PointEnv
from fakes.policies import Options, Walker
from vla_eval.environment import SteppedEnv
from vla_eval.episode import PhaseClock, run_episode
from vla_eval.errors import UsageError
from vla_eval.keys import EpisodeKey
from vla_eval.plan import PlannedEpisode
from vla_eval.policy import ActionChunk, PolicyMetadata
from vla_eval.realtime.latency import virtual_time
from vla_eval.realtime.settings import Realtime
from vla_eval.trace import STALLED

TICK_US = 100_000
"""The point's control rate is 10 Hz."""


class Still(PointEnv):
    """A point whose robot can stall: actions are displacements."""

    def __init__(self, **options) -> None:
        super().__init__(**options)
        self.actions: list[list[float]] = []
        self.stalls: list[tuple[list[float], int]] = []

    def hold_action(self):
        return np.array([0.25, 0.0], np.float32)

    def stall_action(self, last, ticks):
        self.stalls.append((last.tolist(), ticks))
        return last

    def advance(self, action):
        self.actions.append(action.tolist())
        return super().advance(action)


class Counting:
    """Each action says which inference it comes from and its place; notes what it is told."""

    def __init__(
        self, chunk: int = 8, raises_at: int | None = None, bad_at: int | None = None
    ) -> None:
        self.metadata = PolicyMetadata("counting", "toy", chunk, chunk, nfe=1)
        self.contexts = []
        self.raises_at, self.bad_at = raises_at, bad_at

    def infer(self, observations, contexts):
        (context,) = contexts
        self.contexts.append(context)
        number = context.chunk_index
        if number == self.raises_at:
            raise RuntimeError("out of memory")
        if number == self.bad_at:
            return [ActionChunk(np.full((8, 2), np.nan, np.float32), nfe=1)]
        places = np.arange(self.metadata.chunk_size)
        actions = np.stack([-0.001 * number * np.ones_like(places), -places / 100], axis=1)
        return [ActionChunk(actions.astype(np.float32), nfe=1)]


def run(policy, env=None, *, mode="async", ticks=0, horizon=4, max_steps=40, **table):
    settings = Realtime(mode=mode, arms={"a": {"total_us": ticks * TICK_US}}, **table)
    key = EpisodeKey("fake", "Point", 0, 0, 0)
    return run_episode(
        env or Still(),
        policy,
        PlannedEpisode(key, "fakes:fakes/Point-v0", {}, max_steps),
        n_action_steps=horizon,
        clock=PhaseClock(),
        virtual=virtual_time(settings, "a", policy.metadata),
    )


@pytest.mark.parametrize("mode", ["blocking", "async"])
@pytest.mark.parametrize("horizon", [1, 3, 4, 99])
def test_without_latency_it_is_the_paused_episode(mode, horizon):
    """Every field but the times and the schedule's own counts."""
    policy = Walker(Options())
    key = EpisodeKey("fake", "Point", 0, 0, 0)
    episode = PlannedEpisode(key, "fakes:fakes/Point-v0", {}, 40)
    paused = run_episode(PointEnv(), policy, episode, n_action_steps=horizon, clock=PhaseClock())
    virtual = run(policy, PointEnv(), mode=mode, horizon=horizon)
    same = {"infer_ms": [], "wait_s": 0, "realtime": None}
    assert dataclasses.replace(virtual, **same) == dataclasses.replace(paused, **same)
    assert virtual.realtime.stalled_ticks == virtual.realtime.expected_delay == 0


def test_the_robot_holds_once_before_its_first_action_and_then_keeps_its_last_one():
    """Until the first chunk arrives the held action is repeated; later the last command is."""
    env = Still()
    run(Counting(), env, mode="blocking", ticks=3, max_steps=12)
    held = [0.25, 0.0]
    assert env.actions[:3] == [held] * 3
    assert [ticks for _, ticks in env.stalls] == [2, 3, 1, 2, 3]
    last = env.actions[6]
    assert env.actions[7:10] == [last] * 3


def test_a_stalled_tick_is_a_control_step():
    """It counts against the time limit, and the record tells it from an executed action."""
    result = run(Counting(), mode="blocking", ticks=3, max_steps=20)
    assert (result.steps, result.reason) == (20, "time_limit")
    record = result.realtime
    assert record.stalled_ticks + sum(record.ages) == 20
    assert record.stalled_ticks == 9
    assert record.delays == (3, 3, 3)
    assert record.late == 2
    assert result.clipped_actions == 0
    trace = result.tracer.trace()
    assert int((trace.source == STALLED).sum()) == 9
    assert not trace.clipped.any()


def test_an_inference_at_the_end_is_paid_for():
    """It counts as an inference, its evaluations count, and the record says that it was of no use."""
    result = run(Counting(), ticks=3, horizon=4, max_steps=6)
    assert result.realtime.discarded == 1
    assert result.inferences == result.nfe == len(result.realtime.delays) == 2


def test_what_an_asynchronous_policy_is_told():
    """The queued actions, the executed ones, and the delay to reckon with."""
    policy = Counting()
    run(policy, ticks=2, horizon=4, max_steps=9)
    first, second = policy.contexts[:2]
    assert (first.step, first.executed, first.left_over.shape) == (0, 0, (0, 2))
    assert (second.step, second.executed, second.expected_delay) == (4, 2, 2)
    assert second.left_over[:, 1] == pytest.approx([-0.02, -0.03, -0.04, -0.05, -0.06, -0.07])


def test_a_paused_policy_is_told_what_it_was_told_before():
    """No queue and no delay."""
    policy = Counting()
    key = EpisodeKey("fake", "Point", 0, 0, 0)
    episode = PlannedEpisode(key, "fakes:fakes/Point-v0", {}, 9)
    run_episode(Still(), policy, episode, n_action_steps=4, clock=PhaseClock())
    assert all(context.left_over is None for context in policy.contexts)
    assert all(context.executed == context.step for context in policy.contexts)


def test_an_exception_counts_when_its_chunk_would_arrive():
    """As it does where a policy answers from another process."""
    env = Still()
    with pytest.raises(RuntimeError, match="out of memory"):
        run(Counting(raises_at=1), env, ticks=2, horizon=4)
    assert len(env.actions) == 6


def test_an_invalid_chunk_counts_when_it_arrives():
    """The episode fails then, not when the policy was asked."""
    result = run(Counting(bad_at=1), ticks=2, horizon=4)
    assert (result.reason, result.steps) == ("invalid_action", 6)
    assert (result.inferences, result.realtime.discarded) == (2, 0)


def test_success_in_a_stalled_tick_counts():
    """The world goes on, and the point may drift to its goal."""

    class Drifting(Still):
        def hold_action(self):
            return np.array([1.0, 0.0], np.float32)

    result = run(Counting(), Drifting(), mode="blocking", ticks=30)
    assert (result.outcome, result.inferences) == ("success", 1)
    assert result.realtime.ages == ()


def test_an_environment_that_does_not_say_what_stalling_is_cannot_be_used():
    """One sentence names the method to add."""
    with pytest.raises(UsageError, match=r"stall_action\(last, ticks\)"):
        run(Counting(), SteppedEnv(PlainEnv()))


def test_a_policy_that_looks_back_sees_the_ticks_before_its_inference():
    """Stalled ticks are part of what it looks back at."""

    class LooksBack(Counting):
        def __init__(self) -> None:
            super().__init__()
            self.metadata = dataclasses.replace(self.metadata, n_obs_steps=3)
            self.shown = []

        def infer(self, observations, contexts):
            seen = [*contexts[0].history, *observations]
            self.shown.append([int(each["pixels"]["front"][0, 0, 0]) for each in seen])
            return super().infer(observations, contexts)

    for mode, shown in (
        ("async", [[0], [2, 3, 4], [6, 7, 8]]),
        ("blocking", [[0], [4, 5, 6], [10, 11, 12]]),
    ):
        policy = LooksBack()
        run(policy, mode=mode, ticks=2, horizon=4, max_steps=14)
        assert policy.shown[:3] == shown
