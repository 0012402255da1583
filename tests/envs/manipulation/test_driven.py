"""What holds for every task in which something moves by itself: levels, level 0, and experts."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from vla_eval_envs.manipulation.simulator import mujoco
from vla_eval_envs.so101.pick_belt import PickBelt
from vla_eval_envs.so101.pick_jump import PickJump
from vla_eval_envs.so101.pick_place import PickPlace
from vla_eval_envs.so101.pick_push import PickPush
from vla_eval_envs.so101.place_moving import PlaceMoving
from vla_eval_policies.experts.so101.pick_belt import PickBeltExpert
from vla_eval_policies.experts.so101.pick_jump import PickJumpExpert
from vla_eval_policies.experts.so101.pick_push import PickPushExpert
from vla_eval_policies.experts.so101.place_moving import PlaceMovingExpert


@dataclass(frozen=True)
class Moving:
    """A task, its expert, its level's argument, the declared levels and the highest possible one."""

    task: Any
    expert: Any
    argument: str
    levels: tuple[int, ...]
    most: int

    def make(self, level: object, image_size: int = 8) -> Any:
        env = self.task(image_size=image_size, **{self.argument: level})
        if image_size == 8:
            env._cameras.picture = lambda data, camera: None
        return env


TASKS = (
    Moving(PickBelt, PickBeltExpert, "speed_cmps", (0, 2, 4, 8), 20),
    Moving(PlaceMoving, PlaceMovingExpert, "speed_cmps", (0, 2, 4, 8), 20),
    Moving(PickJump, PickJumpExpert, "jump_cm", (0, 2, 4), 5),
    Moving(PickPush, PickPushExpert, "push_n", (0, 10, 20, 30), 30),
)
EACH = pytest.mark.parametrize("moving", TASKS, ids=lambda moving: moving.task.__name__)
EACH_LEVEL = pytest.mark.parametrize(
    ("moving", "level"),
    [
        pytest.param(moving, level, id=f"{moving.task.__name__}-{level}")
        for moving in TASKS
        for level in moving.levels
    ],
)


def acts(env: Any, expert: Any, limit: int = 600) -> Iterator[Any]:
    """Yield the expert's actions until they have been executed in an episode that is over."""
    for step in range(0, limit, 10):
        for action in expert.actions(step, 10):
            yield action
            if env.score == 1.0:
                return


def solves(moving: Moving, env: Any, state: int) -> bool:
    env.reset(options={"init_state": state})
    for action in acts(env, moving.expert(env)):
        env.advance(action)
    return bool(env.score == 1.0)


@EACH
def test_level_zero_is_pick_place_bit_for_bit(moving):
    """A whole episode of the expert: every position, velocity and subgoal is that of the static task."""
    env, static = moving.make(0), PickPlace(image_size=8)
    env.reset(options={"init_state": 3})
    static.reset(options={"init_state": 3})
    static.data.qpos[:] = env.data.qpos
    mujoco.mj_forward(static.model, static.data)
    static.subgoals = static._watch(fresh=True)
    for action in acts(env, moving.expert(env)):
        result, other = env.advance(action), static.advance(action)
        np.testing.assert_array_equal(env.data.qpos, static.data.qpos)
        np.testing.assert_array_equal(env.data.qvel, static.data.qvel)
        assert result[:2] == other[:2]
        assert result[3]["subgoals"] == other[3]["subgoals"]
        assert "events" not in result[3]
    assert static.score == 1.0
    static.close()
    env.close()


@pytest.mark.parametrize(
    "moving", TASKS[1:], ids=lambda moving: moving.task.__name__
)  # the belt is seen at rest, too
def test_level_zero_looks_like_pick_place_and_has_its_hash(moving):
    """At the same pose of the block: the same model, the same scene hash, the same pictures."""
    env, static = moving.make(0, 64), PickPlace(image_size=64)
    static._states = [{name: state[name] for name in static._states[0]} for state in env._states]
    observation, info = env.reset(options={"init_state": 3})
    other, static_info = static.reset(options={"init_state": 3})
    assert info["scene_hash"] == static_info["scene_hash"]
    assert info["provenance"] == static_info["provenance"]
    for name, picture in observation["pixels"].items():
        np.testing.assert_array_equal(picture, other["pixels"][name])
    static.close()
    env.close()


@EACH_LEVEL
def test_experts_succeed_at_every_declared_level(moving, level):
    """On three certification states."""
    env = moving.make(level)
    assert all(solves(moving, env, state) for state in range(100, 103))
    env.close()


@pytest.mark.slow
@EACH_LEVEL
def test_experts_succeed_on_a_hundred_states(moving, level):
    """At least 97 of the 100 development states at every declared level."""
    env = moving.make(level)
    assert sum(solves(moving, env, state) for state in range(100)) >= 97
    env.close()


@EACH
def test_other_levels_are_refused(moving):
    """A level is a whole number, from 0 to the highest one."""
    for wrong in (-1, moving.most + 1, 1.0, True, "1"):
        with pytest.raises(ValueError, match=rf"{moving.argument} must be an integer in 0\.\."):
            moving.make(wrong)
    moving.make(moving.most).close()


@EACH
def test_the_solver_is_as_exact_as_without_driven_parts(moving):
    """Their mass does not enter the inertia that MuJoCo's accuracy is relative to."""
    env, static = moving.make(moving.levels[-1]), PickPlace(image_size=8)
    assert env.model.stat.meaninertia == pytest.approx(static.model.stat.meaninertia, rel=1e-2)
    env.close()
    static.close()
