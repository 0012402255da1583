"""What every task has to satisfy, SO-101 and LIBERO alike; one parameter for each task.

The fast lane runs all tasks but LIBERO's, of which it takes two; the slow lane runs the rest.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

from vla_eval.catalog import Task, suites
from vla_eval.environment import EvalEnv, make_env

STEPS = 30
FAST = {("libero_spatial", 0), ("libero_10", 3)}
ALLOWED_WARNINGS = (
    # Joint targets in degrees are what LeRobot's robots take; normalising them is the policy's part.
    "not normalised",
    "symmetric and normalized",
)


def parameters() -> Iterator[Any]:
    for suite in suites():
        for position, task in enumerate(suite.tasks):
            slow = suite.name.startswith("libero") and (suite.name, position) not in FAST
            marks = [pytest.mark.slow] if slow else []
            yield pytest.param(task, id=f"{suite.name}/{task.name}", marks=marks)


@pytest.fixture(scope="module", params=list(parameters()))
def task(request) -> Task:
    if "libero" in request.param.env_id and not os.environ.get("VLA_EVAL_LIBERO_ASSETS"):
        pytest.skip("VLA_EVAL_LIBERO_ASSETS is not set")
    return request.param


@pytest.fixture(scope="module")
def env(task) -> Iterator[EvalEnv]:
    env = make_env(task.env_id, {"image_size": 64})
    yield env
    env.close()


def start(env: EvalEnv, state: int = 1, seed: int = 3) -> tuple[Any, dict[str, Any]]:
    return env.reset(seed=seed, options={"init_state": state})


def actions(env: EvalEnv) -> np.ndarray:
    """Return small moves around holding still, so that episodes last; float32 (STEPS, A)."""
    rng = np.random.default_rng(0)
    low, high = env.action_space.low, env.action_space.high
    moves = env.hold_action() + rng.normal(0, 0.02, (STEPS, low.size)) * (high - low)
    return np.clip(moves, low, high).astype(np.float32)


def rollout(env: EvalEnv) -> list[Any]:
    observation, info = start(env)
    return [observation, info, *(env.step(action) for action in actions(env))]


def assert_equal(left: Any, right: Any) -> None:
    assert type(left) is type(right)
    if isinstance(left, dict):
        assert left.keys() == right.keys()
        for key in left:
            assert_equal(left[key], right[key])
    elif isinstance(left, list | tuple):
        assert len(left) == len(right)
        for one, other in zip(left, right, strict=True):
            assert_equal(one, other)
    else:
        np.testing.assert_array_equal(left, right)


def test_gymnasium_s_checker_is_content(task):
    """check_env passes, with no warning but the listed ones."""
    env = gymnasium.make(task.env_id, image_size=64, disable_env_checker=True)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        check_env(env.unwrapped, skip_render_check=True)
    env.close()
    unlisted = [
        str(each.message)
        for each in caught
        if not any(allowed in str(each.message) for allowed in ALLOWED_WARNINGS)
        and not issubclass(each.category, DeprecationWarning)
    ]
    assert not unlisted


def test_catalogue_and_environment_agree(task, env):
    """Instruction, time limit and the number of initial states are what the catalogue says."""
    assert env.task_description == task.instruction
    spec = gymnasium.spec(task.env_id.partition(":")[2])
    assert spec.max_episode_steps == task.max_steps
    start(env, state=task.init_states - 1)
    with pytest.raises(ValueError, match=str(task.init_states - 1)):
        start(env, state=task.init_states)


def test_reset_says_what_the_contract_promises(task, env):
    """Spaces contain what they should; info carries the promised keys; two cameras at least."""
    observation, info = start(env)
    assert env.observation_space.contains(observation)
    assert info.keys() >= {
        "is_success", "score", "subgoals", "task", "scene_hash", "init_state", "provenance",
    }  # fmt: skip
    assert info["is_success"] is False
    assert (info["score"], info["init_state"], info["task"]) == (0.0, 1, task.instruction)
    assert info["subgoals"]
    assert len(info["scene_hash"]) == 64
    assert len(observation["pixels"]) >= 2
    assert env.action_space.contains(env.hold_action())
    assert len(env.metadata["action_names"]) == env.action_space.shape[0]
    assert len(env.metadata["state_names"]) == observation["agent_pos"].size


def test_no_picture_is_constant(env):
    """Every camera sees something."""
    observation, _ = start(env)
    for name, picture in observation["pixels"].items():
        assert picture.dtype == np.uint8
        assert picture.std() > 5, name


def test_same_key_same_episode(task, env):
    """Another environment, same key, same actions: everything is exactly equal, step by step."""
    other = make_env(task.env_id, {"image_size": 64})
    expected = rollout(other)
    other.close()
    assert_equal(rollout(env), expected)
    assert_equal(rollout(env), expected)


def test_initial_states_vary(task, env):
    """Different initial states are different scenes."""
    states = range(min(task.init_states, 8))
    assert len({start(env, state)[1]["scene_hash"] for state in states}) == len(states)


def test_observations_share_no_memory(env):
    """An observation stays what it was when the environment goes on."""
    first, _ = start(env)
    kept = {name: picture.copy() for name, picture in first["pixels"].items()}
    state = first["agent_pos"].copy()
    for action in actions(env)[:3]:
        second, *_ = env.step(action)
    for name, picture in first["pixels"].items():
        assert not np.shares_memory(picture, second["pixels"][name])
        np.testing.assert_array_equal(picture, kept[name])
    np.testing.assert_array_equal(first["agent_pos"], state)


def test_observing_changes_nothing(env):
    """Looking at the scene, or not, gives the same physics."""
    start(env)
    for action in actions(env):
        env.step(action)
    looked = env.observe()["agent_pos"]
    start(env)
    for action in actions(env):
        env.advance(action)
    np.testing.assert_array_equal(env.observe()["agent_pos"], looked)


@pytest.mark.parametrize("bad", ["nan", "shape"])
def test_bad_actions_are_refused(env, bad):
    """What is not finite or has another shape raises ValueError."""
    start(env)
    action = env.hold_action()
    with pytest.raises(ValueError, match="action"):
        env.advance(action[:-1] if bad == "shape" else np.full_like(action, np.nan))
