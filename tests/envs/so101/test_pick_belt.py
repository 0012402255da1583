"""The belt: what it carries, how fast, and that it is nothing at all at speed 0."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from vla_eval_envs.so101.pick_belt import BELT, PickBelt
from vla_eval_envs.so101.pick_place import BLOCK_EDGE, PickPlace
from vla_eval_policies.experts.so101.pick_belt import PickBeltExpert

SPEEDS = (0, 2, 4, 8)
BESIDE_THE_ARM = (slice(22, 36), slice(48, 64))
"""Rows and columns of a picture of 64 pixels in which the camera ``top`` sees the belt alone."""


def made(speed: int, **options) -> PickBelt:
    env = PickBelt(image_size=8, speed_cmps=speed, **options)
    env._cameras.picture = lambda data, camera: None
    env.reset(options={"init_state": 3})
    return env


@pytest.fixture
def running() -> Iterator[PickBelt]:
    env = made(8)
    yield env
    env.close()


def wait(env: PickPlace, steps: int) -> dict:
    info: dict = {}
    action = env.hold_action()
    for _ in range(steps):
        _, _, _, info = env.advance(action)
    return info


def velocity(env: PickPlace) -> np.ndarray:
    dof = int(env.model.joint("block").dofadr[0])
    return np.array(env.data.qvel[dof : dof + 3])


@pytest.mark.parametrize("speed", SPEEDS)
def test_the_block_travels_at_the_speed_of_the_belt(speed):
    """Over two seconds within a tenth of a millimetre; it neither turns nor sinks."""
    env = made(speed)
    before, turn = env.object_pose("block")
    wait(env, 60)
    place, turned = env.object_pose("block")
    one_substep = speed / 100 / 300  # positions are those at the beginning of the last physics step
    np.testing.assert_allclose(place - before, [0, -speed / 100 * 2 + one_substep, 0], atol=1.01e-4)
    np.testing.assert_allclose(turned, turn, atol=1e-4)
    env.close()


def test_only_friction_moves_the_block(running):
    """A block that is put down at rest is brought to the belt's speed, and one in the air is left alone."""
    dof = int(running.model.joint("block").dofadr[0])
    running.data.qvel[dof : dof + 6] = 0
    wait(running, 10)
    np.testing.assert_allclose(velocity(running), [0, -0.08, 0], atol=2e-3)
    address = int(running.model.joint("block").qposadr[0])
    running.data.qpos[address + 2] = 0.3
    running.data.qvel[dof : dof + 6] = 0
    wait(running, 5)
    assert velocity(running)[1] == pytest.approx(0, abs=1e-9)


def test_the_block_stays_where_the_belt_ends(running):
    """It comes to rest on the table, out of reach: nothing brings it back."""
    wait(running, 250)
    place, _ = running.object_pose("block")
    assert BELT.y[0] - BLOCK_EDGE < place[1] < BELT.y[0] + BLOCK_EDGE
    assert np.linalg.norm(velocity(running)) < 1e-3


def test_every_speed_is_a_scene_of_its_own():
    """The same states at all speeds, and never the same hash, so that two speeds are never paired."""
    hashes, poses = set(), []
    for speed in (*SPEEDS, 8):
        env = made(speed)
        info = env.reset(options={"init_state": 3})[1]
        hashes.add(info["scene_hash"])
        poses.append(env.object_pose("block")[0][:2])
        env.close()
    assert len(hashes) == len(SPEEDS)
    np.testing.assert_array_equal(poses, [poses[0]] * len(poses))


def test_the_pictures_show_the_belt_running():
    """Its marks move between two control steps; at speed 0 the pictures are the same."""
    for speed in (0, 8):
        env = PickBelt(image_size=64, speed_cmps=speed)
        observation, _ = env.reset(options={"init_state": 3})
        first = observation["pixels"]["top"]
        env.advance(env.hold_action())
        second = env.observe()["pixels"]["top"]
        moved = np.any(second[BESIDE_THE_ARM] != first[BESIDE_THE_ARM])
        assert bool(moved) == (speed > 0)
        env.close()


def test_a_hand_in_the_way_does_not_stop_the_belt(running):
    """Even if the arm presses on it: the plate is too heavy, and nothing explodes."""
    down = running.hold_action()
    down[:5] = [0, 45, 20, 60, 0]
    for _ in range(60):
        running.advance(down)
        speed = running.data.qvel[int(running.model.joint("belt_y").dofadr[0])]
        assert speed == pytest.approx(-0.08, abs=2e-3)
    assert np.abs(running.data.qvel).max() < 5


@pytest.mark.parametrize("speed", SPEEDS)
def test_the_expert_leads_the_block(speed):
    """At every declared speed it meets the block: on five states, in one attempt each."""
    env = made(speed)
    for state in range(100, 105):
        env.reset(options={"init_state": state})
        expert = PickBeltExpert(env)
        plans, info = set(), {"is_success": False}
        for step in range(0, 250, 10):
            for action in expert.actions(step, 10):
                _, _, _, info = env.advance(action)
                if info["is_success"]:
                    break
            plans.add(id(expert._plan))
            if info["is_success"]:
                break
        assert info["is_success"]
        assert len(plans) == 1
    env.close()
