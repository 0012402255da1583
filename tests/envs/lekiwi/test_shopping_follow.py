"""The basket that goes to and fro: its track, what counts as delivered, and that 0 is the static task."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest

from vla_eval_envs.lekiwi.items import ITEMS
from vla_eval_envs.lekiwi.shopping import Shopping
from vla_eval_envs.lekiwi.shopping_follow import AMPLITUDE_M, ShoppingFollow
from vla_eval_envs.lekiwi.world import BASKET
from vla_eval_envs.manipulation.simulator import mujoco
from vla_eval_policies.experts.lekiwi.shopping_follow import ShoppingFollowExpert

SPEEDS = (0, 2, 4, 8)


def made(speed: int, image_size: int = 8) -> ShoppingFollow:
    env = ShoppingFollow(image_size=image_size, speed_cmps=speed)
    if image_size == 8:
        env._cameras.picture = lambda data, camera: None
    env.reset(options={"init_state": 3})
    return env


def acts(env: ShoppingFollow):
    expert = ShoppingFollowExpert(env)
    for step in range(0, 900, 10):
        for action in expert.actions(step, 10):
            yield action
            if env.score == 1.0:
                return


def drop(env: ShoppingFollow) -> None:
    """Put the bottle into the basket, on its floor."""
    place = np.array([*BASKET.centre, ITEMS["salt"].half_height + 0.004]) + env.basket_shift()
    env._put("salt", tuple(place), 0.0)
    env.data.qvel[int(env.model.joint("salt").dofadr[0]) :][:6] = 0
    mujoco.mj_forward(env.model, env.data)


@pytest.mark.parametrize("speed", SPEEDS)
def test_a_bottle_in_the_basket_rides_along_and_counts(speed):
    """It is at rest relative to the basket for a third of a second: placed, at every speed."""
    env = made(speed)
    drop(env)
    action, placed, shifts = env.hold_action(), [], []
    for _ in range(120):
        _, _, _, info = env.advance(action)
        placed.append(info["subgoals"]["placed"])
        shifts.append(env.basket_shift()[0])
    assert not any(placed[:9])
    assert placed[-1]
    assert np.abs(shifts).max() <= AMPLITUDE_M
    place, _ = env.object_pose("salt")
    assert BASKET.contains(place - env.basket_shift())
    env.close()


def test_where_the_basket_was_is_no_goal():
    """A bottle on the floor, where the basket stood before: not delivered."""
    env = made(8)
    detector = env._arrivals["salt"]
    drop(env)
    assert detector._at_goal(env.data)
    place, _ = env.object_pose("salt")
    env._put("salt", (place[0] + (0.12 if env.basket_shift()[0] < 0 else -0.12), *place[1:]), 0.0)
    mujoco.mj_forward(env.model, env.data)
    assert not detector._at_goal(env.data)
    env.close()


def test_speed_zero_is_shopping_salt_bit_for_bit():
    """Same scene hash, same pictures, and a whole episode of the expert."""
    env, static = ShoppingFollow(image_size=32, speed_cmps=0), Shopping(item="salt", image_size=32)
    static._states = env._states
    observation, info = env.reset(options={"init_state": 3})
    other, static_info = static.reset(options={"init_state": 3})
    assert info["scene_hash"] == static_info["scene_hash"]
    for name, picture in observation["pixels"].items():
        np.testing.assert_array_equal(picture, other["pixels"][name])
    for action in acts(env):
        subgoals = env.advance(action)[3]["subgoals"]
        assert subgoals == static.advance(action)[3]["subgoals"]
        np.testing.assert_array_equal(env.data.qpos, static.data.qpos)
        np.testing.assert_array_equal(env.data.qvel, static.data.qvel)
    assert static.score == 1.0
    static.close()
    env.close()


def test_speeds_and_phases_are_scenes_of_their_own():
    """The hash covers both."""
    hashes = set()
    for speed in SPEEDS:
        env = made(speed)
        row = dict(env._states[3])
        env._states = [row, {**row, "basket_phase": (row["basket_phase"] + 0.5) % 1.0}]
        hashes |= {env.reset(options={"init_state": state})[1]["scene_hash"] for state in (0, 1)}
        env.close()
    assert len(hashes) == 2 * len(SPEEDS) - 1, "at 0 the phase decides nothing"


def test_the_solver_is_as_exact_as_without_a_driven_basket():
    """Its mass does not enter the inertia that MuJoCo's accuracy is relative to."""
    moving, still = made(4), made(0)
    assert moving.model.stat.meaninertia == pytest.approx(still.model.stat.meaninertia, rel=1e-2)
    moving.close()
    still.close()


def test_frozen_states_are_what_the_generator_gives():
    """The committed file equals its recipe, and its hash is the pinned one."""
    frozen = ShoppingFollow.frozen["salt"]
    assert hashlib.sha256(frozen.generate().encode()).hexdigest() == frozen.sha256
    phases = [state["basket_phase"] for state in frozen.load()]
    assert 0 <= min(phases) < 0.05
    assert 0.95 < max(phases) <= 1


@pytest.mark.parametrize("speed", SPEEDS)
def test_the_expert_follows_the_basket(speed):
    """At every declared speed, on two certification states."""
    env = made(speed)
    for state in (100, 101):
        env.reset(options={"init_state": state})
        for action in acts(env):
            env.advance(action)
        assert env.score == 1.0
    env.close()


@pytest.mark.slow
@pytest.mark.parametrize("speed", SPEEDS)
def test_the_expert_on_a_hundred_states(speed):
    """At least 97 of the 100 development states at every declared speed."""
    env, done = made(speed), 0
    for state in range(100):
        env.reset(options={"init_state": state})
        for action in acts(env):
            env.advance(action)
        done += env.score == 1.0
    env.close()
    assert done >= 97
