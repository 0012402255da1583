"""Sorting, and either box: what counts and what does not."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import numpy as np
import pytest

from vla_eval_envs.manipulation.simulator import mujoco
from vla_eval_envs.so101.pick_place import BLOCK_EDGE
from vla_eval_envs.so101.pick_place_either import LEFT_BOX, RIGHT_BOX, PickPlaceEither
from vla_eval_envs.so101.sorting import BOX_OF, Sorting
from vla_eval_policies.experts.so101.sorting import SortingExpert

HALF = BLOCK_EDGE / 2
LEFT, RIGHT = ((*BOX_OF[name].centre, HALF) for name in ("red", "green"))
AWAY = (0.30, 0.0, HALF)


@pytest.fixture
def env() -> Iterator[Sorting]:
    made = Sorting(image_size=8)
    made.reset(options={"init_state": 0})
    yield made
    made.close()


@pytest.fixture
def either() -> Iterator[PickPlaceEither]:
    made = PickPlaceEither(image_size=8)
    made.reset(options={"init_state": 0})
    yield made
    made.close()


def put(env, name: str, place: tuple[float, ...]) -> None:
    start = int(env.model.joint(name).qposadr[0])
    env.data.qpos[start : start + 7] = [*place, 1, 0, 0, 0]
    env.data.qvel[:] = 0
    mujoco.mj_forward(env.model, env.data)


def hold(env, steps: int = 30) -> dict:
    info: dict = {}
    action = env.hold_action()
    for _ in range(steps):
        _, _, _, info = env.advance(action)
    return info


def reached(info: dict) -> set[str]:
    return {name for name, done in info["subgoals"].items() if done}


def test_left_is_the_robots_left():
    """The left box is at +y, and the red cube belongs into it."""
    assert BOX_OF["red"].centre[1] > 0 > BOX_OF["green"].centre[1]


@pytest.mark.parametrize(
    ("red", "green", "expected"),
    [
        (LEFT, RIGHT, {"red_placed", "green_placed"}),
        (LEFT, AWAY, {"red_placed"}),
        (AWAY, RIGHT, {"green_placed"}),
        (RIGHT, LEFT, set()),
        (LEFT, (LEFT[0] + 0.035, LEFT[1], HALF), {"red_placed"}),
        (AWAY, LEFT, set()),
        ((LEFT[0], 0.12, HALF), AWAY, set()),
    ],
    ids=["sorted", "red", "green", "swapped", "both left", "green left", "red beside"],
)
def test_each_match_is_worth_a_quarter(env, red, green, expected):
    """And the other's box is worth nothing."""
    put(env, "red", red)
    put(env, "green", green)
    info = hold(env)
    assert reached(info) == expected
    assert info["score"] == 0.25 * len(expected)
    assert not info["is_success"]


def test_cube_that_is_taken_out_again_loses_its_quarter(env):
    """The placement counts while it lasts; the reward takes back what it gave."""
    put(env, "red", LEFT)
    assert hold(env)["score"] == 0.25
    put(env, "red", AWAY)
    reward, _, _, info = env.advance(env.hold_action())
    assert (reward, info["score"]) == (-0.25, 0.0)


def test_grasps_latch_and_success_needs_all_four(env):
    """Following the expert, the score rises in quarters to 1 and the episode ends there."""
    expert, scores, seen, terminated = SortingExpert(env), [0.0], [], False
    step = 0
    while not terminated and step < 900:
        for action in expert.actions(step, 10):
            _, terminated, _, info = env.advance(action)
            scores.append(info["score"])
            seen.append(reached(info))
            step += 1
            if terminated:
                break
    assert info["is_success"]
    assert len(seen[-1]) == 4
    assert set(scores) == {0.0, 0.25, 0.5, 0.75, 1.0}
    grasped = [{name for name in each if name.endswith("grasped")} for each in seen]
    assert all(early <= late for early, late in pairwise(grasped))


def test_cubes_start_with_room_between_them(env):
    """In all 200 states the centres are 60 mm apart or more."""
    for state in env.frozen.load():
        red, green = ([state[f"{name}_{axis}_m"] for axis in "xy"] for name in BOX_OF)
        assert np.hypot(red[0] - green[0], red[1] - green[1]) >= 0.060


@pytest.mark.parametrize("box", [LEFT_BOX, RIGHT_BOX], ids=["left", "right"])
def test_either_box_counts(either, box):
    """Both goals are worth the same."""
    put(either, "block", (*box.centre, HALF))
    assert hold(either)["subgoals"] == {"grasped": False, "placed": True}


@pytest.mark.parametrize("place", [(0.20, 0.0, HALF), (0.20, 0.12, HALF), (0.20, -0.27, HALF)])
def test_between_and_beside_the_boxes_does_not_count(either, place):
    """The mean of two good goals is none."""
    put(either, "block", place)
    assert hold(either)["score"] == 0.0


def test_boxes_mirror_each_other():
    """Same size, opposite sides."""
    assert LEFT_BOX.centre == (RIGHT_BOX.centre[0], -RIGHT_BOX.centre[1])
    assert (LEFT_BOX.inner, LEFT_BOX.wall_height) == (RIGHT_BOX.inner, RIGHT_BOX.wall_height)
