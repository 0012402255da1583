"""Shopping: scenes that must count, scenes that must not, and what friction has to hold."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from vla_eval_envs.lekiwi.items import ITEMS
from vla_eval_envs.lekiwi.shopping import Shopping
from vla_eval_envs.lekiwi.world import BASKET
from vla_eval_envs.manipulation.simulator import mujoco
from vla_eval_policies.experts.lekiwi.shopping import ShoppingExpert

X, Y = BASKET.centre


@pytest.fixture(params=ITEMS)
def env(request) -> Iterator[Shopping]:
    yield from made(request.param)


@pytest.fixture
def salt() -> Iterator[Shopping]:
    yield from made("salt")


def made(item: str) -> Iterator[Shopping]:
    env = Shopping(item=item, image_size=8)
    env._cameras.picture = lambda data, camera: None
    env.reset(options={"init_state": 0})
    yield env
    env.close()


def put(
    env: Shopping, name: str, place: tuple[float, float, float], *, lying: bool = False
) -> None:
    env._put(name, place, 0.0)
    if lying:
        start = int(env.model.joint(name).qposadr[0])
        env.data.qpos[start + 3 : start + 7] = [np.sqrt(0.5), np.sqrt(0.5), 0, 0]
    env.data.qvel[:] = 0
    mujoco.mj_forward(env.model, env.data)


def hold(env: Shopping, steps: int) -> dict:
    """Stay; return the last info."""
    info: dict = {}
    action = env.hold_action()
    for _ in range(steps):
        _, _, _, info = env.advance(action)
    return info


def grasped(env: Shopping) -> np.ndarray:
    """Let the expert take the item; return an action that holds it aloft, 8 cm off the stand."""
    expert, step = ShoppingExpert(env), 0
    while not (env.subgoals["grasped"] and env.base_pose()[0] < 0.30):
        (action,) = expert.actions(step, 1)
        env.advance(action)
        step += 1
        assert step < 400
    action[6:] = 0.0
    for _ in range(20):
        env.advance(action)
    return action


def in_hand(env: Shopping) -> np.ndarray:
    """Return where the item is in the gripper's frame, (3,), m."""
    hand = env.data.body("gripper")
    place, _ = env.object_pose(env.item)
    return np.asarray(hand.xmat.reshape(3, 3).T @ (place - hand.xpos))


def depth(env: Shopping) -> float:
    """Return how far the item and what it touches are in each other, m."""
    geoms = env._arrivals[env.item]._geoms
    return -min(
        (each.dist for each in env.data.contact if geoms & set(each.geom.tolist())), default=0.0
    )


def test_grip_is_stiff_and_does_not_creep(env):
    """Five seconds aloft: jaws sink in by less than 1 mm, the item slips by less than 0.2 mm."""
    action = grasped(env)
    before, worst = in_hand(env), 0.0
    for _ in range(150):
        env.advance(action)
        worst = max(worst, depth(env))
    assert worst < 1e-3
    assert np.linalg.norm(in_hand(env) - before) < 0.2e-3


@pytest.mark.parametrize(
    ("axis", "speed", "slip"), [(6, 0.15, 0.5e-3), (7, 0.15, 0.5e-3), (8, 40, 2e-3)]
)
def test_nothing_slips_while_it_is_carried_and_driven(env, axis, speed, slip):
    """Four seconds to and fro: less than 0.5 mm straight on and sideways, 2 mm turning.

    What remains in turns is the integrator's: a free body goes along the tangent for each 1/300 s.
    """
    action = grasped(env)
    before, worst = in_hand(env), 0.0
    for step in range(120):
        action[axis] = speed * np.sin(2 * np.pi * step / 60)
        env.advance(action)
        worst = max(worst, depth(env))
    assert worst < 1e-3
    assert np.linalg.norm(in_hand(env) - before) < slip
    assert env._grasp.pressed(env.data)


def test_held_aloft_is_a_grasp_and_no_success(env):
    """Half the score, and the wrong item is not to blame."""
    grasped(env)
    info = hold(env, 1)
    assert info["subgoals"] == {"grasped": True, "placed": False, "no_wrong_item": True}
    assert (info["score"], info["is_success"]) == (0.5, False)


def test_touching_an_item_on_the_stand_is_no_grasp(env):
    """Until it is lifted by 20 mm, closed jaws earn nothing."""
    expert, step = ShoppingExpert(env), 0
    while not env._grasp.pressed(env.data):
        (action,) = expert.actions(step, 1)
        env.advance(action)
        step += 1
    action[6:] = 0.0
    for _ in range(30):
        _, _, _, info = env.advance(action)
    assert not info["subgoals"]["grasped"]


@pytest.mark.parametrize("item", ITEMS)
def test_item_in_the_basket_without_a_grasp_earns_half(item):
    """Thrown in is worth 0.5 and no success, after it has rested for ten steps; lying or upright."""
    for lying in (False, True):
        for env in made(item):
            put(env, item, (X, Y, 0.06), lying=lying)
            infos = [hold(env, 1) for _ in range(60)]
            assert infos[-1]["subgoals"] == {
                "grasped": False, "placed": True, "no_wrong_item": True,
            }  # fmt: skip
            assert infos[-1]["score"] == 0.5
            assert not any(info["subgoals"]["placed"] for info in infos[:9])


def test_item_beside_the_basket_is_not_placed(salt):
    """On the floor close to the wall, on each side."""
    for dx, dy in ((0.125, 0), (-0.125, 0), (0, 0.125), (0, -0.125)):
        put(salt, "salt", (X + dx, Y + dy, 0.05))
        assert not hold(salt, 40)["subgoals"]["placed"]


def test_basket_is_round_and_low():
    """Its corners and what is above the rim are outside."""
    assert BASKET.contains([X, Y, 0.05])
    assert BASKET.contains([X + 0.09, Y, 0.05])
    assert not BASKET.contains([X + 0.07, Y + 0.07, 0.05])
    assert not BASKET.contains([X, Y, 0.09])


def test_wrong_item_in_the_basket_makes_success_impossible(salt):
    """It is logged for good, the delivery earns nothing any more, the episode goes on."""
    put(salt, "matcha", (X - 0.05, Y, 0.04))
    info = hold(salt, 40)
    assert info["subgoals"] == {"grasped": False, "placed": False, "no_wrong_item": False}
    put(salt, "salt", (X + 0.04, Y, 0.06))
    info = hold(salt, 40)
    assert info["subgoals"]["placed"]
    put(salt, "matcha", (0.73, 0.0, 0.24))
    info = hold(salt, 40)
    assert info["subgoals"] == {"grasped": False, "placed": True, "no_wrong_item": False}
    assert (info["score"], info["is_success"]) == (0.0, False)


def test_wrong_item_caps_the_score_at_the_grasp(salt):
    """The grasp of the right item still counts."""
    grasped(salt)
    put(salt, "chocolate", (X, Y, 0.02))
    expert, step, over = ShoppingExpert(salt), 0, False
    while step < 300 and not over:
        for action in expert.actions(step, 10):
            _, over, _, info = salt.advance(action)
            step += 1
    assert info["subgoals"] == {"grasped": True, "placed": True, "no_wrong_item": False}
    assert (info["score"], info["is_success"], over) == (0.5, False, False)


def test_wrong_item_passing_by_is_forgiven(salt):
    """An item has to come to rest in the basket to count, the wrong one too."""
    put(salt, "chocolate", (X, Y, 0.30))
    for _ in range(3):
        info = hold(salt, 1)
    put(salt, "chocolate", (0.6, 0.0, 0.108))
    assert hold(salt, 40)["subgoals"]["no_wrong_item"]
    assert info["subgoals"]["no_wrong_item"]


def test_reset_forgets_the_wrong_item(salt):
    """A new episode begins clean."""
    put(salt, "matcha", (X, Y, 0.04))
    assert not hold(salt, 40)["subgoals"]["no_wrong_item"]
    _, info = salt.reset(options={"init_state": 1})
    assert info["subgoals"] == {"grasped": False, "placed": False, "no_wrong_item": True}
    assert info["score"] == 0.0
