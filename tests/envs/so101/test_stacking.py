"""Scenes that must count as stacked, and scenes that must not."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from vla_eval_envs.manipulation.simulator import mujoco
from vla_eval_envs.so101.objects import TOY_SIZE
from vla_eval_envs.so101.predicates import STACK_STEPS, geoms_of, lowest_point
from vla_eval_envs.so101.stacking import BLOCK_EDGE, PLATFORM, Stacking
from vla_eval_policies.experts.so101.stacking import StackingExpert

HALF = TOY_SIZE[2] / 2
UPRIGHT = (1.0, 0.0, 0.0, 0.0)
ON_ITS_SIDE = (np.sqrt(0.5), np.sqrt(0.5), 0.0, 0.0)


@pytest.fixture
def env() -> Iterator[Stacking]:
    made = Stacking(image_size=8)
    made.reset(options={"init_state": 0})
    yield made
    made.close()


def put(env: Stacking, name: str, place: tuple[float, ...], turn: tuple[float, ...] = UPRIGHT):
    start = int(env.model.joint(name).qposadr[0])
    env.data.qpos[start : start + 7] = [*place, *turn]
    env.data.qvel[:] = 0
    mujoco.mj_forward(env.model, env.data)


def hold(env: Stacking, steps: int) -> dict:
    info: dict = {}
    action = env.hold_action()
    for _ in range(steps):
        _, _, _, info = env.advance(action)
    return info


def on_platform(z: float = BLOCK_EDGE + HALF, dx: float = 0.0, dy: float = 0.0):
    return PLATFORM[0] + dx, PLATFORM[1] + dy, z


@pytest.mark.parametrize(
    ("place", "turn"),
    [
        (on_platform(), UPRIGHT),
        (on_platform(BLOCK_EDGE + TOY_SIZE[1] / 2), ON_ITS_SIDE),
        (on_platform(dx=0.014, dy=0.014), UPRIGHT),
    ],
    ids=["upright on four", "on its side", "on one block mostly"],
)
def test_toy_on_blocks_is_stacked(env, place, turn):
    """However it lies; without a grasp it is worth half, and no success."""
    put(env, "toy", place, turn)
    info = hold(env, 60)
    assert info["subgoals"] == {"grasped": False, "stacked": True}
    assert (info["score"], info["is_success"]) == (0.5, False)


def test_toy_must_lie_still_for_half_a_second(env):
    """Stacked comes with the fifteenth quiet step, not before."""
    put(env, "toy", on_platform())
    stacked = [hold(env, 1)["subgoals"]["stacked"] for _ in range(30)]
    assert not any(stacked[: STACK_STEPS - 1])
    assert stacked[-1]


def test_spinning_toy_is_not_settled(env):
    """A toy that turns on the spot has no speed, and yet does not lie still."""
    put(env, "toy", on_platform())
    hold(env, 20)
    detector, dof = env._arrivals["toy"], int(env.model.joint("toy").dofadr[0])
    assert detector.update(env.data)
    env.data.qvel[dof + 5] = 1.0
    assert not detector.update(env.data)


def test_falling_toy_is_stacked_only_when_it_lies(env):
    """Dropped from 5 cm above the blocks, it needs to fall and to settle first."""
    put(env, "toy", on_platform(BLOCK_EDGE + HALF + 0.05))
    stacked = [hold(env, 1)["subgoals"]["stacked"] for _ in range(60)]
    assert not any(stacked[: STACK_STEPS + 1])
    assert stacked[-1]


@pytest.mark.parametrize(
    "place",
    [(0.25, -0.10, HALF), on_platform(HALF, dy=-0.0285 - 0.0127), on_platform(HALF, dx=0.06)],
    ids=["far away", "touching the platform's side", "beside it"],
)
def test_toy_on_the_table_is_not_stacked(env, place):
    """Touching a block is not enough while the table carries it."""
    put(env, "toy", place)
    assert not hold(env, 60)["subgoals"]["stacked"]


def test_toy_leaning_on_a_block_is_not_stacked(env):
    """With one edge on the table and one on a block it touches both."""
    tilt = np.deg2rad(50) / 2
    edge = PLATFORM[1] - 0.0285
    put(env, "toy", (0.20, edge - 0.016, 0.027), (np.cos(tilt), np.sin(tilt), 0.0, 0.0))
    infos = [hold(env, 1) for _ in range(60)]
    assert not any(info["subgoals"]["stacked"] for info in infos)


def test_toy_still_held_is_not_stacked(env):
    """On the blocks, but the jaws have not let go: half for the grasp, and no more."""
    expert = StackingExpert(env)
    expert.actions(0, 1)
    assert expert._plan is not None
    for action in expert.actions(0, expert._plan.release):
        env.advance(action)
    for _ in range(30):
        _, _, _, info = env.advance(action)
    assert info["subgoals"] == {"grasped": True, "stacked": False}


def test_height_of_the_toy_counts_its_head(env):
    """Upside down the head is its lowest point, which is what has to be lifted."""
    put(env, "toy", (0.2, 0.0, 0.5), (0.0, 1.0, 0.0, 0.0))
    geoms = geoms_of(env.model, "toy")
    assert len(geoms) == 2
    lowest = min(lowest_point(env.model, env.data, geom) for geom in geoms)
    assert lowest == pytest.approx(0.5 - HALF - 0.010)
    put(env, "toy", (0.2, 0.0, 0.5), ON_ITS_SIDE)
    lowest = [lowest_point(env.model, env.data, geom) for geom in geoms]
    np.testing.assert_allclose(lowest, [0.5 - TOY_SIZE[1] / 2, 0.5 - 0.008], atol=1e-9)


def test_platform_stands_by_itself(env):
    """In ten seconds no block moves by a tenth of a millimetre, and none touches another."""
    names = ("blue_block", "yellow_block", "green_block", "purple_block")
    before = np.array([env.object_pose(name)[0] for name in names])
    hold(env, 300)
    after = np.array([env.object_pose(name)[0] for name in names])
    np.testing.assert_allclose(after, before, atol=1e-4)
    pairs = {
        tuple(sorted(env.model.geom(int(g)).name for g in pair)) for pair in env.data.contact.geom
    }
    assert pairs == {tuple(sorted((name, "table"))) for name in (*names, "toy")}
