"""Scenes that must count as a grasp or as a placement, and scenes that must not."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from vla_eval_envs.manipulation.simulator import mujoco
from vla_eval_envs.so101.pick_place import BLOCK_EDGE, BOX, PickPlace
from vla_eval_envs.so101.predicates import lowest_point
from vla_eval_policies.experts.so101.pick_place import PickPlaceExpert

HALF = BLOCK_EDGE / 2


@pytest.fixture
def env() -> Iterator[PickPlace]:
    made = PickPlace(image_size=8)
    made.reset(options={"init_state": 0})
    yield made
    made.close()


def put_block(env: PickPlace, x: float, y: float, z: float) -> None:
    start = int(env.model.joint("block").qposadr[0])
    env.data.qpos[start : start + 7] = [x, y, z, 1, 0, 0, 0]
    env.data.qvel[:] = 0
    mujoco.mj_forward(env.model, env.data)


def hold(env: PickPlace, steps: int) -> dict:
    """Keep the commanded targets; return the last info."""
    info: dict = {}
    action = env.hold_action()
    for _ in range(steps):
        _, _, _, info = env.advance(action)
    return info


def follow(env: PickPlace, until: str, extra: int = 0) -> tuple[dict, np.ndarray]:
    """Follow the expert's plan up to one of its marks; return the last info and action."""
    expert = PickPlaceExpert(env)
    expert.actions(0, 1)
    assert expert._plan is not None
    steps = getattr(expert._plan, until) + extra
    actions = expert.actions(0, steps)
    info: dict = {}
    for action in actions:
        _, _, _, info = env.advance(action)
    return info, actions[-1]


def test_pressing_a_block_on_the_table_is_no_grasp(env):
    """Both jaws press on it, but it was not lifted."""
    _, action = follow(env, "grasp", extra=12)
    for _ in range(30):
        _, _, _, info = env.advance(action)
    assert env._grasps["block"].pressed(env.data)
    assert info["subgoals"] == {"grasped": False, "placed": False}


def test_straddling_a_block_is_no_grasp(env):
    """Open jaws on both sides of it press on nothing."""
    _, action = follow(env, "grasp")
    for _ in range(20):
        _, _, _, info = env.advance(action)
    assert not env._grasps["block"].pressed(env.data)
    assert not info["subgoals"]["grasped"]


def test_block_aloft_without_jaws_is_no_grasp(env):
    """Height alone does not count: a block in free fall from 30 cm."""
    put_block(env, 0.3, -0.2, 0.3)
    infos = [hold(env, 1) for _ in range(7)]
    assert lowest_point(env.model, env.data, env.model.geom("block").id) > 0.02
    assert not any(info["subgoals"]["grasped"] for info in infos)


def test_block_on_the_back_of_the_hand_is_no_grasp(env):
    """Contact with the arm from one side and height do not count together either."""
    put_block(env, 0.05, 0.0, 0.4)
    info = hold(env, 60)
    assert not info["subgoals"]["grasped"]


def test_held_aloft_is_a_grasp_after_five_steps(env):
    """The half point comes with the fifth consecutive step above 20 mm, and stays."""
    expert = PickPlaceExpert(env)
    expert.actions(0, 1)
    assert expert._plan is not None
    geom = env.model.geom("block").id
    start = lowest_point(env.model, env.data, geom)
    aloft, rewards = 0, []
    for action in expert.actions(0, expert._plan.carry):
        reward, _, _, info = env.advance(action)
        aloft += lowest_point(env.model, env.data, geom) - start >= 0.020
        assert info["subgoals"]["grasped"] == (aloft >= 5)
        rewards.append(reward)
    assert sum(rewards) == info["score"] == 0.5
    assert not info["is_success"]
    assert hold(env, 1)["subgoals"]["grasped"]


def test_grip_is_stiff_and_does_not_creep(env):
    """Five seconds aloft: jaws sink in by less than 1 mm, the block slips by less than 0.5 mm."""
    _, action = follow(env, "carry")
    for _ in range(15):
        env.advance(action)
    before, _ = env.object_pose("block")
    worst = 0.0
    for _ in range(150):
        env.advance(action)
        worst = min(worst, *(contact.dist for contact in env.data.contact))
    after, _ = env.object_pose("block")
    assert worst > -1e-3
    assert np.linalg.norm(after - before) < 0.5e-3


def test_block_in_the_box_but_still_held_is_not_placed(env):
    """Between the walls and below the rim, but the jaws have not let go."""
    _, action = follow(env, "release")
    for _ in range(30):
        _, _, _, info = env.advance(action)
    assert BOX.contains(env.object_pose("block")[0])
    assert info["subgoals"] == {"grasped": True, "placed": False}


@pytest.mark.parametrize(
    ("x", "y"),
    [(0.20, 0.10), (0.20, 0.27), (0.11, 0.19), (0.29, 0.19), (0.30, -0.20)],
)
def test_block_beside_the_box_is_not_placed(env, x, y):
    """Still and free, but outside each of the four walls, or far away."""
    put_block(env, x, y, HALF)
    assert not hold(env, 40)["subgoals"]["placed"]


def test_block_across_two_walls_is_not_placed(env):
    """On the rim of a corner it is above the walls, not between them."""
    inside = BOX.inner / 2
    for point in (
        (BOX.centre[0], BOX.centre[1], BOX.wall_height + HALF),
        (BOX.centre[0] + inside + 0.001, BOX.centre[1], HALF),
        (BOX.centre[0], BOX.centre[1] - inside - 0.001, HALF),
    ):
        assert not BOX.contains(np.array(point))
    assert BOX.contains(np.array([*BOX.centre, HALF]))


def test_block_pushed_into_the_box_earns_half(env):
    """Placement without a grasp is worth 0.5, is logged as such, and is no success."""
    put_block(env, *BOX.centre, HALF)
    infos = [hold(env, 1) for _ in range(40)]
    assert infos[-1]["subgoals"] == {"grasped": False, "placed": True}
    assert infos[-1]["score"] == 0.5
    assert not infos[-1]["is_success"]
    assert not any(info["subgoals"]["placed"] for info in infos[:9])


def test_falling_block_is_placed_only_when_it_lies(env):
    """Speed counts: dropped from 20 cm it needs to fall, to settle and to lie for 10 steps."""
    put_block(env, *BOX.centre, 0.20)
    placed = [hold(env, 1)["subgoals"]["placed"] for _ in range(60)]
    assert not any(placed[:15])
    assert placed[-1]


def test_grasp_after_a_push_takes_the_placement_back(env):
    """A block that is picked from the box has to be placed again; the score never falls."""
    put_block(env, *BOX.centre, HALF)
    assert hold(env, 15)["subgoals"]["placed"]
    expert, step, scores, seen = PickPlaceExpert(env), 0, [0.5], []
    while step < 300:
        for action in expert.actions(step, 10):
            _, terminated, _, info = env.advance(action)
            step += 1
            scores.append(info["score"])
            seen.append(tuple(info["subgoals"].values()))
            if terminated:
                break
        if terminated:
            break
    assert (True, False) in seen
    assert (scores == np.maximum.accumulate(scores)).all()
    assert info["is_success"]
