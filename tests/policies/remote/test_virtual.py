"""Virtual time behind servers: what a policy is told, and that paused requests stay what they were."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from fakes.env import PointEnv
from fakes.servers import serving
from vla_eval.episode import PhaseClock, run_episode
from vla_eval.keys import EpisodeKey
from vla_eval.plan import PlannedEpisode
from vla_eval.policy import Context
from vla_eval.realtime.latency import virtual_time
from vla_eval.realtime.settings import Realtime
from vla_eval.spec import build_policy
from vla_eval_policies.remote.codec import WireError
from vla_eval_policies.remote.extension import ask, with_virtual

SPEC = "fakes.policies:ToldFactory"
KEY = EpisodeKey("fake", "Point", 0, 0, 0)
ONE = np.ones(7, np.float32)
PAUSED = Context(KEY, 4, 1, "move", -ONE, ONE)
QUEUED = dataclasses.replace(
    PAUSED, stalled=1, expected_delay=2, left_over=np.full((2, 7), 0.5, np.float32)
)


class Still(PointEnv):
    """A point whose robot repeats its last action while it stalls."""

    def stall_action(self, last, ticks):
        return last


def episode(policy, mode: str):
    """Run an episode at 10 Hz whose inferences take two ticks."""
    settings = Realtime(mode=mode, arms={"a": {"total_us": 200_000}})
    return run_episode(
        Still(),
        policy,
        PlannedEpisode(KEY, "fakes:fakes/Point-v0", {}, 20),
        n_action_steps=4,
        clock=PhaseClock(),
        virtual=virtual_time(settings, "a", policy.metadata),
    )


def test_behind_openpi_as_in_process():
    """The same commands, delays and counts, in both modes."""
    with serving(SPEC) as said:
        remote, local = build_policy(f"openpi:{said['url']}"), build_policy(SPEC)
        assert remote.metadata.passes == local.metadata.passes == 2
        for mode in ("async", "blocking"):
            there, here = episode(remote, mode), episode(local, mode)
            assert there.realtime == here.realtime
            assert there.actions_sha256 == here.actions_sha256
            assert (there.outcome, there.steps, there.nfe) == (here.outcome, here.steps, here.nfe)


def test_behind_the_harness_as_in_process():
    """The client gets the whole chunk and keeps it; passes are those of the server's policy."""
    pixels = {name: np.full((8, 8, 3), 9, np.uint8) for name in ("agentview", "wrist")}
    seen = {"pixels": pixels, "agent_pos": np.zeros(8, np.float32)}
    first = dataclasses.replace(
        QUEUED, step=0, stalled=0, chunk_index=0, left_over=QUEUED.left_over[:0]
    )
    with serving(SPEC, "--dialect", "harness") as said:
        remote, local = build_policy(f"harness:{said['url']}?n_action_steps=4"), build_policy(SPEC)
        assert (remote.metadata.passes, remote.metadata.samples) == (2, 1)
        for context in (first, QUEUED):
            (there,), (here,) = (each.infer([seen], [context]) for each in (remote, local))
            assert np.array_equal(there.actions, here.actions)
        remote.end_episode(KEY, "success")


def test_paused_requests_stay_what_they_were():
    """No new entry unless virtual time has something to say."""
    known = {"version", "type", "episode", "step", "chunk_index", "action_low", "action_high"}
    assert set(ask("infer", "token", PAUSED)) == known
    assert set(ask("infer", "token", QUEUED)) - known == {"executed", "expected_delay", "left_over"}


def test_what_is_told_arrives():
    """And a paused client has executed as many actions as there were steps."""
    bare = Context(KEY, 4, 1, "move", -ONE, ONE)
    arrived = with_virtual(bare, ask("infer", "token", QUEUED))
    assert (arrived.executed, arrived.expected_delay) == (3, 2)
    assert np.array_equal(arrived.left_over, QUEUED.left_over)
    assert with_virtual(bare, {}).executed == PAUSED.executed


@pytest.mark.parametrize(
    "wrong",
    [
        {"executed": -1},
        {"expected_delay": True},
        {"left_over": "all"},
        {"left_over": np.zeros((2, 6), np.float32)},
        {"left_over": np.full((1, 7), np.nan)},
    ],
)
def test_nonsense_is_refused(wrong):
    """With the name of the entry."""
    with pytest.raises(WireError, match=next(iter(wrong))):
        with_virtual(PAUSED, wrong)
