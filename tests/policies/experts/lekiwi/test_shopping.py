"""The scripted expert of the LeKiwi tasks: how often it succeeds, and when things go wrong."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from vla_eval.errors import UsageError
from vla_eval.keys import EpisodeKey
from vla_eval.policy import Context
from vla_eval_envs.lekiwi.catalog import suites
from vla_eval_envs.lekiwi.items import ITEMS
from vla_eval_envs.lekiwi.shopping import Shopping
from vla_eval_policies.experts.lekiwi.shopping import ShoppingExpert
from vla_eval_policies.experts.policy import ExpertFactory

MAX_STEPS = 900
TASK_OF = {
    str(task.kwargs["item"]): task.name for task in suites()[0].tasks if "item" in task.kwargs
}


@pytest.fixture(params=ITEMS)
def env(request) -> Iterator[Shopping]:
    made = Shopping(item=request.param, image_size=8)
    made._cameras.picture = lambda data, camera: None
    yield made
    made.close()


def run(
    env: Shopping, index: int, *, noise: float = 0.0, chunk: int = 10, pace: str = "normal"
) -> int:
    """Run an episode; return its steps, or 0 if it failed."""
    policy = ExpertFactory()(None, {"pace": pace})
    key = EpisodeKey("lekiwi", TASK_OF[env.item], index, 0, 0)
    env.reset(options={"init_state": index})
    space, generator = env.action_space, np.random.default_rng(index)
    step = chunks = 0
    while step < MAX_STEPS:
        context = Context(key, step, chunks, env.task_description, space.low, space.high, env)
        (answer,) = policy.infer([{}], [context])
        chunks += 1
        for action in answer.actions[:chunk]:
            assert space.contains(action)
            off = noise * (space.high - space.low) * generator.standard_normal(9)
            _, terminated, _, _ = env.advance((action + off).astype(np.float32))
            step += 1
            if terminated:
                return step
    return 0


def test_expert_succeeds(env):
    """In the first four frozen states, in less than half the time limit."""
    assert all(0 < run(env, index) < 450 for index in range(4))


@pytest.mark.slow
def test_expert_succeeds_on_a_hundred_states(env):
    """At least 97 of the 100 certification states."""
    assert sum(run(env, index) > 0 for index in range(100, 200)) >= 97


@pytest.mark.parametrize("pace", ["slow", "fast"])
def test_expert_has_other_paces(env, pace):
    """Slow takes longer and fast takes less time than normal."""
    usual, other = run(env, 5), run(env, 5, pace=pace)
    assert other > 1.3 * usual if pace == "slow" else 0 < other < usual


def test_expert_succeeds_with_other_horizons(env):
    """Asked anew after every third action, it does the same job."""
    assert run(env, 6, chunk=3) > 0


def test_expert_copes_with_noise(env):
    """With 0.2 % noise on every action (0.4 degrees of pan) it still succeeds."""
    assert sum(run(env, index, noise=0.002) > 0 for index in range(3)) == 3


def test_expert_is_deterministic(env):
    """The same key gives the same episode."""
    first = run(env, 7)
    end = env.data.qpos.copy()
    assert run(env, 7) == first
    np.testing.assert_array_equal(env.data.qpos, end)


def test_expert_fetches_an_item_that_was_moved(env):
    """Taken out of the hand and put back on the stand, it is fetched again."""
    env.reset(options={"init_state": 8})
    place, _ = env.object_pose(env.item)
    expert, step = ShoppingExpert(env), 0
    while not env.subgoals["grasped"]:
        for action in expert.actions(step, 5):
            env.advance(action)
            step += 1
    for action in expert.actions(step, 40):  # the base has driven back
        env.advance(action)
        step += 1
    env._put(env.item, tuple(place), 0.1)
    over = False
    while step < MAX_STEPS and not over:
        for action in expert.actions(step, 10):
            _, over, _, _ = env.advance(action)
            step += 1
            if over:
                break
    assert over


def test_item_out_of_reach_fails_without_an_error(env):
    """On the floor behind the robot: it stays where it is."""
    env.reset(options={"init_state": 0})
    env._put(env.item, (-0.6, 0.6, 0.06), 0.0)
    expert = ShoppingExpert(env)
    for step in range(0, 60, 10):
        for action in expert.actions(step, 10):
            _, over, _, _ = env.advance(action)
    assert not over
    assert np.abs(env.base_pose()[:2]).max() < 0.2


def test_expert_needs_its_own_environment():
    """Another task's will not do."""

    class Other:
        unwrapped = "something else"

    with pytest.raises(UsageError, match="cannot act in"):
        ShoppingExpert(Other())
