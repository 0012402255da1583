"""The LIBERO expert in real episodes. Needs LIBERO's assets; skipped where there are none."""

from __future__ import annotations

import os

import pytest

from vla_eval.errors import UsageError
from vla_eval.keys import EpisodeKey
from vla_eval.policy import Context
from vla_eval_envs.so101.pick_place import PickPlace
from vla_eval_policies.experts.libero.scene import LiberoScene
from vla_eval_policies.experts.policy import ExpertFactory

needs_assets = pytest.mark.skipif(
    not os.environ.get("VLA_EVAL_LIBERO_ASSETS"), reason="VLA_EVAL_LIBERO_ASSETS is not set"
)
LIMITS = {"libero_spatial": 220, "libero_object": 280, "libero_goal": 300, "libero_10": 520}


def run(suite: str, task: int, states: range) -> int:
    """Return how many episodes of a task succeed within the suite's time limit."""
    from vla_eval_envs.libero.env import LiberoEnv

    env, policy = LiberoEnv(suite, task, image_size=8), ExpertFactory()(None, {})
    try:
        return sum(_episode(env, policy, EpisodeKey(suite, str(task), i, 7, 0)) for i in states)
    finally:
        env.close()


def _episode(env, policy, key: EpisodeKey) -> bool:
    _, info = env.reset(seed=key.env_seed, options={"init_state": key.init_state})
    steps = chunks = 0
    while not info["is_success"] and steps < LIMITS[key.suite]:
        space = env.action_space
        context = Context(key, steps, chunks, env.task_description, space.low, space.high, env=env)
        (chunk,) = policy.infer([{}], [context])
        chunks += 1
        for action in chunk.actions:
            _, terminated, _, info = env.advance(action)
            steps += 1
            if terminated or steps >= LIMITS[key.suite]:
                break
    return bool(info["is_success"])


@needs_assets
def test_a_grocery_goes_into_the_basket():
    """Goal and shapes are all that the expert knows of the task."""
    assert run("libero_object", 7, range(1)) == 1


def test_another_simulator_is_refused_in_one_sentence():
    """The expert reads LIBERO's simulator and no other."""
    env = PickPlace(image_size=8)
    with pytest.raises(UsageError, match="needs a LIBERO environment"):
        LiberoScene(env)


@needs_assets
@pytest.mark.slow
@pytest.mark.parametrize("task", [0, 2, 4, 6])
@pytest.mark.parametrize("suite", LIMITS)
def test_every_suite_is_solved(suite, task):
    """The first two states of four tasks of every suite."""
    assert run(suite, task, range(2)) == 2
