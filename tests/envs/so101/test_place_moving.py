"""The travelling box: its track, what it carries, and what counts as placed in it."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from vla_eval_envs.manipulation.simulator import mujoco
from vla_eval_envs.so101.pick_place import BLOCK_EDGE, BOX
from vla_eval_envs.so101.place_moving import AMPLITUDE_M, PlaceMoving

SPEEDS = (0, 2, 4, 8)


def made(speed: int) -> PlaceMoving:
    env = PlaceMoving(image_size=8, speed_cmps=speed)
    env._cameras.picture = lambda data, camera: None
    env.reset(options={"init_state": 3})
    return env


@pytest.fixture
def fast() -> Iterator[PlaceMoving]:
    env = made(8)
    yield env
    env.close()


def box_x(env: PlaceMoving) -> float:
    return float(env.data.body("box").xpos[0]) - BOX.centre[0]


def drop(env: PlaceMoving) -> None:
    """Put the block into the box, 5 mm above its floor."""
    env._put("block", (*env.box_place(), BLOCK_EDGE / 2 + 0.005), 0.3)
    env.data.qvel[int(env.model.joint("block").dofadr[0]) :][:6] = 0
    mujoco.mj_forward(env.model, env.data)


def test_the_box_goes_to_and_fro(fast):
    """Over two periods: 8 cm to either side, each way in two seconds, and back to where it began."""
    action, places = fast.hold_action(), []
    for _ in range(240):
        fast.advance(action)
        places.append(box_x(fast))
    steps = np.abs(np.diff(places))
    assert (min(places), max(places)) == pytest.approx((-AMPLITUDE_M, AMPLITUDE_M), abs=2e-3)
    assert np.median(steps) == pytest.approx(0.08 / 30, rel=1e-3)
    assert steps.max() < 0.08 / 30 * 1.11  # where it turns, a position is one physics step old
    np.testing.assert_allclose(places[:120], places[120:], atol=1e-9)


def test_the_track_is_known_beforehand(fast):
    """What experts and hash are told is where the box comes: the arm changes nothing of it."""
    track, start = fast.box_track(), fast.box_place()
    action = fast.hold_action()
    for _ in range(70):
        fast.advance(action)
    said = start + track(np.array([70.0]))[0, :2]
    np.testing.assert_allclose(fast.box_place(), said, atol=1e-12)
    fast._move_parts()
    mujoco.mj_kinematics(fast.model, fast.data)
    assert box_x(fast) + BOX.centre[0] == pytest.approx(said[0], abs=1e-9)


@pytest.mark.parametrize("speed", SPEEDS)
def test_a_block_in_the_box_rides_along_and_counts(speed):
    """It lies still relative to the box for a third of a second: placed, at every speed, and for good."""
    env = made(speed)
    drop(env)
    action = env.hold_action()
    placed = []
    for _ in range(90):
        _, _, _, info = env.advance(action)
        placed.append(info["subgoals"]["placed"])
    assert not any(placed[:9])
    assert all(placed[20:])
    place, _ = env.object_pose("block")
    assert np.abs(place[:2] - env.box_place()).max() < 0.01
    env.close()


def test_a_block_beside_the_moving_box_is_not_placed(fast):
    """Where the box stood at the start is no goal: the box has to be there."""
    fast._put("block", (*fast.box_place(), 0.3), 0.0)
    mujoco.mj_forward(fast.model, fast.data)
    detector = fast._arrivals["block"]
    assert not detector._at_goal(fast.data)
    drop(fast)
    assert detector._at_goal(fast.data)
    away = fast.box_place()[0] + (0.10 if fast.box_place()[0] < BOX.centre[0] else -0.10)
    fast._put("block", (away, BOX.centre[1], BLOCK_EDGE / 2), 0.0)
    mujoco.mj_forward(fast.model, fast.data)
    assert not detector._at_goal(fast.data)


def test_speeds_and_phases_are_scenes_of_their_own():
    """The hash covers both, so that no two different tracks are paired."""
    hashes = set()
    for speed in (*SPEEDS, 8):
        env = made(speed)
        for state in (0, 1):
            hashes.add(env.reset(options={"init_state": state})[1]["scene_hash"])
        if speed == 8:
            row = dict(env._states[0])
            env._states = [{**row, "phase": (row["phase"] + 0.5) % 1.0}]
            opposite = env.reset(options={"init_state": 0})[1]["scene_hash"]
        env.close()
    assert len(hashes) == 2 * len(SPEEDS)
    assert opposite not in hashes


def test_the_box_pushes_the_hand_and_nothing_explodes(fast):
    """An arm whose fingers are in the box is taken along; the box keeps its track."""
    start = fast.box_place()
    down = fast.hold_action()
    down[:5] = [-50, 30, 20, 40, 0]
    for _ in range(120):
        fast.advance(down)
    assert np.abs(fast.data.qvel).max() < 5
    np.testing.assert_allclose(fast.box_place(), start, atol=1e-9)
    assert box_x(fast) + BOX.centre[0] == pytest.approx(start[0], abs=3e-3)
