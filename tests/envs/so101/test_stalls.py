"""A robot that waits for its policy, with a block in its hand."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from vla_eval.episode import PhaseClock, run_episode
from vla_eval.keys import EpisodeKey
from vla_eval.plan import PlannedEpisode
from vla_eval.spec import build_policy
from vla_eval_envs.so101.pick_place import PickPlace

WAIT = 60
"""Two seconds."""


@pytest.fixture
def held() -> Iterator[tuple[PickPlace, np.ndarray]]:
    """The task ten steps after the expert grasped the block, and the last command."""
    env = PickPlace(image_size=64)
    commands: list[np.ndarray] = []
    grasped: list[bool] = []
    plain = env.advance

    def advance(action):
        reward, terminated, truncated, info = plain(action)
        commands.append(action)
        grasped.append(info["subgoals"]["grasped"])
        return reward, terminated, truncated or sum(grasped) >= 10, info

    env.advance = advance
    key = EpisodeKey("so101", "PickPlace", 1, 0, 0)
    episode = PlannedEpisode(key, "vla_eval_envs:so101/PickPlace-v0", {}, 450)
    run_episode(env, build_policy("expert"), episode, n_action_steps=10, clock=PhaseClock())
    assert sum(grasped) >= 10
    env.advance = plain
    yield env, commands[-1]
    env.close()


def height(env: PickPlace) -> float:
    return float(env.data.body("block").xpos[2])


def test_a_held_block_stays_in_the_hand(held):
    """The last command keeps the servos' squeeze: in two seconds nothing sinks, and no joint wanders."""
    env, last = held
    before, joints = height(env), env.joint_angles()
    for ticks in range(1, WAIT + 1):
        stall = env.stall_action(last, ticks)
        assert np.array_equal(stall, last)
        env.advance(stall)
    assert height(env) == pytest.approx(before, abs=0.003)
    assert np.degrees(np.abs(env.joint_angles() - joints)).max() < 1


def test_holding_anew_in_every_tick_lets_it_sink(held):
    """Why `hold_action` is no stall: each time it takes the sagging joints for the new goal."""
    env, _ = held
    before = height(env)
    for _ in range(WAIT):
        env.advance(env.hold_action())
    assert height(env) < before - 0.003
