"""Traces of single episodes: actions, and the inferences that they came from."""

from __future__ import annotations

import numpy as np
import pytest

from fakes.env import PointEnv
from fakes.policies import Options, Walker
from vla_eval.episode import EpisodeResult, PhaseClock, run_episode
from vla_eval.keys import EpisodeKey
from vla_eval.plan import PlannedEpisode
from vla_eval.realtime.latency import virtual_time
from vla_eval.realtime.settings import Realtime
from vla_eval.trace import STALLED

KEY = EpisodeKey("fake", "Point", 0, 0, 0)
EPISODE = PlannedEpisode(KEY, "fakes:fakes/Point-v0", {}, 40)


def result_of(policy, env=None, virtual=None) -> EpisodeResult:
    result = EpisodeResult()
    run_episode(
        env or PointEnv(),
        policy,
        EPISODE,
        n_action_steps=4,
        clock=PhaseClock(),
        virtual=virtual,
        result=result,
    )
    return result


def test_a_trace_is_what_the_record_counts():
    """Hash, steps, inferences and clipped actions of a result are those of its trace."""
    result = result_of(Walker(Options(fault="big", fault_states="0")))
    trace = result.tracer.trace()
    assert trace.actions_sha256 == result.actions_sha256
    assert trace.actions.shape == (result.steps, 2)
    assert trace.clipped.sum() == result.clipped_actions > 0
    assert np.abs(trace.actions).max() <= 1, "actions are kept as they were executed"
    assert trace.source.tolist() == [step // 4 for step in range(result.steps)]
    assert trace.observed.tolist() == [4 * each for each in range(result.inferences)]


def test_stalled_steps_come_from_no_inference():
    """In virtual time a trace shows which observation every action answers, and where the robot stalled."""
    walker = Walker(Options())
    settings = Realtime.model_validate({"mode": "blocking", "arms": {"a": {"total_us": 250_000}}})
    result = result_of(walker, virtual=virtual_time(settings, "a", walker.metadata))
    trace = result.tracer.trace()
    assert (trace.source == STALLED).sum() == result.realtime.stalled_ticks > 0
    acted = np.flatnonzero(trace.source != STALLED)
    ages = acted - trace.observed[trace.source[acted]]
    assert np.bincount(ages).tolist() == list(result.realtime.ages)
    assert trace.actions_sha256 == result.actions_sha256


@pytest.mark.parametrize(("mode", "delay", "period"), [("async", 3, 4), ("blocking", 3, 7)])
def test_reaction_times_are_uniform_over_a_period(mode, delay, period):
    """From the delay to one less than delay and period: a period is the horizon, and blocking the delay, too."""
    walker = Walker(Options(chunk=8, skill=0.0))
    settings = Realtime.model_validate({"mode": mode, "arms": {"a": {"total_us": delay * 100_000}}})
    result = result_of(walker, virtual=virtual_time(settings, "a", walker.metadata))
    trace = result.tracer.trace()
    shown = range(14, 14 + period)
    assert sorted(trace.answer(step) - step for step in shown) == list(range(delay, delay + period))
    assert trace.answer(result.steps) is None


def test_an_exception_keeps_what_was_done_until_then():
    """The trace of an attempt that ended in an error holds the actions that its record has the hash of."""
    result = EpisodeResult()
    env = PointEnv(fault="raise", fault_states="0", fault_step=6)
    with pytest.raises(RuntimeError, match="diverged"):
        run_episode(
            env, Walker(Options()), EPISODE, n_action_steps=4, clock=PhaseClock(), result=result
        )
    trace = result.tracer.trace()
    assert (len(trace.actions), trace.actions_sha256) == (5, result.actions_sha256)
