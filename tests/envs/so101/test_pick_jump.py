"""The jump: when, how far, by friction alone, and that without it the task is PickPlace."""

from __future__ import annotations

import numpy as np
import pytest

from vla_eval_envs.manipulation.simulator import mujoco
from vla_eval_envs.so101.pick_jump import JUMP_STEPS, PickJump
from vla_eval_envs.so101.pick_place import PickPlace

LENGTHS = (0, 2, 4)


def made(jump_cm: int, *, state: int = 3) -> PickJump:
    env = PickJump(image_size=8, jump_cm=jump_cm)
    env._cameras.picture = lambda data, camera: None
    env.reset(options={"init_state": state})
    return env


def wait(env: PickPlace, steps: int) -> dict:
    info: dict = {}
    action = env.hold_action()
    for _ in range(steps):
        _, _, _, info = env.advance(action)
    return info


@pytest.mark.parametrize("state", range(0, 40, 4))
def test_the_block_jumps_once_at_its_tick_by_its_amount(state):
    """Nothing before the tick, the state's displacement in 8 steps, and rest afterwards; it does not tip."""
    env = made(4, state=state)
    row = env._states[state]
    tick, before = int(row["jump_tick"]), env.object_pose("block")
    assert "events" not in wait(env, tick)
    np.testing.assert_allclose(env.object_pose("block")[0][:2], before[0][:2], atol=1e-6)
    info = wait(env, JUMP_STEPS + 3)
    angle, length = row["jump_direction_rad"], 0.04 * row["jump_share"]
    jump = length * np.array([np.cos(angle), np.sin(angle), 0.0])
    place, turn = env.object_pose("block")
    np.testing.assert_allclose((place - before[0])[:2], jump[:2], atol=5e-4)
    np.testing.assert_allclose(turn, before[1], atol=1e-2)
    assert info["events"] == {"jump": tick + 1}
    wait(env, 60)
    np.testing.assert_allclose(env.object_pose("block")[0], place, atol=1e-4)
    env.close()


def test_a_block_in_the_air_stays_where_it_is():
    """The ground jerks, and what does not lie on it is not moved."""
    env = made(4)
    address = int(env.model.joint("block").qposadr[0])
    for _ in range(int(env._states[3]["jump_tick"]) + JUMP_STEPS + 1):
        env.data.qpos[address + 2] = 0.2
        env.data.qvel[int(env.model.joint("block").dofadr[0]) :][:6] = 0
        mujoco.mj_forward(env.model, env.data)
        before = env.object_pose("block")[0]
        env.advance(env.hold_action())
        np.testing.assert_allclose(env.object_pose("block")[0][:2], before[:2], atol=1e-9)
    assert env.events
    env.close()


def test_the_hash_covers_tick_and_amount():
    """Changing either of them, or the level, makes another scene of the same pose."""
    env = made(4)
    row = dict(env._states[3])
    changes = ({}, {"jump_tick": row["jump_tick"] + 1}, {"jump_direction_rad": -1.0})
    env._states = [{**row, **change} for change in (*changes, {"jump_share": 0.75})]
    hashes = {env.reset(options={"init_state": state})[1]["scene_hash"] for state in range(4)}
    env.close()
    longer = made(5)
    hashes.add(longer.reset(options={"init_state": 3})[1]["scene_hash"])
    longer.close()
    assert len(hashes) == 5


def test_every_state_jumps_where_the_hand_can_follow():
    """Ticks come before any grasp, and no jump leads towards the box."""
    for row in made(4)._states:
        assert 15 <= int(row["jump_tick"]) <= 44
        assert np.sin(row["jump_direction_rad"]) <= 0
        assert 0.5 <= row["jump_share"] <= 1
