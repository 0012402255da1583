"""The scripted expert as a policy: what it is, what it refuses, and how often it succeeds."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace

import numpy as np
import pytest

from vla_eval.errors import PolicySpecError, UsageError
from vla_eval.keys import EpisodeKey
from vla_eval.policy import Context, Policy
from vla_eval_envs.so101.pick_place import PickPlace
from vla_eval_policies.experts.policy import ExpertFactory, ExpertPolicy

MAX_STEPS = 600


@pytest.fixture
def env() -> Iterator[PickPlace]:
    made = PickPlace(image_size=8)
    yield made
    made.close()


def key_of(index: int, task: str = "PickPlace") -> EpisodeKey:
    return EpisodeKey("so101", task, index, 0, 0)


def context_of(env: PickPlace, key: EpisodeKey, step: int, chunk_index: int) -> Context:
    space = env.action_space
    return Context(
        key=key,
        step=step,
        chunk_index=chunk_index,
        instruction=env.task_description,
        action_low=space.low,
        action_high=space.high,
        env=env,
    )


class Episode:
    """An episode that can be advanced one chunk at a time."""

    def __init__(self, env: PickPlace, index: int, *, noise: float = 0.0) -> None:
        self.env, self.key, self.noise = env, key_of(index), noise
        env.reset(options={"init_state": index})
        self.steps = self.chunks = 0
        self.executed: list[np.ndarray] = []
        self.info: dict = {"is_success": False}
        self.generator = np.random.default_rng(index)

    def run_chunk(self, policy: Policy) -> None:
        context = context_of(self.env, self.key, self.steps, self.chunks)
        (chunk,) = policy.infer([{}], [context])
        self.chunks += 1
        span = context.action_high - context.action_low
        for action in chunk.actions:
            disturbed = action + self.noise * span * self.generator.standard_normal(6)
            _, terminated, _, self.info = self.env.advance(disturbed.astype(np.float32))
            self.executed.append(action)
            self.steps += 1
            if terminated:
                break

    @property
    def over(self) -> bool:
        return self.info["is_success"] or self.steps >= MAX_STEPS

    def run(self, policy: Policy) -> bool:
        while not self.over:
            self.run_chunk(policy)
        return bool(self.info["is_success"])


def test_longer_chunks_begin_with_the_same_actions(env):
    """With ``chunk=16`` ten actions are still executed; the others bridge a delay. The default is as before."""
    short, long = ExpertFactory()(None, {}), ExpertFactory()(None, {"chunk": 16})
    env.reset(options={"init_state": 0})
    context = context_of(env, key_of(0), 0, 0)
    (ten,), (sixteen,) = (policy.infer([{}], [context]) for policy in (short, long))
    np.testing.assert_array_equal(sixteen.actions[:10], ten.actions)
    assert (len(ten.actions), len(sixteen.actions)) == (10, 16)
    assert (long.metadata.chunk_size, long.metadata.n_action_steps) == (16, 10)
    assert (short.metadata.chunk_size, short.metadata.options) == (10, {"pace": "normal"})
    with pytest.raises(PolicySpecError, match="chunk"):
        ExpertFactory()(None, {"chunk": 9})


def successes(env: PickPlace, indices: range) -> int:
    policy = ExpertFactory()(None, {})
    return sum(Episode(env, index).run(policy) for index in indices)


def test_expert_succeeds(env):
    """At least 19 of the first 20 frozen states."""
    assert successes(env, range(20)) >= 19


@pytest.mark.slow
def test_expert_succeeds_on_a_hundred_states(env):
    """At least 95 of 100 other frozen states."""
    assert successes(env, range(100, 200)) >= 95


def test_expert_is_identified(env):
    """It is privileged, scripted, and says how many actions it gives; they are in the space."""
    policy = ExpertFactory()(None, {})
    metadata = policy.metadata
    assert (metadata.name, metadata.method, metadata.privileged) == ("expert", "scripted", True)
    assert metadata.chunk_size == metadata.n_action_steps == 10
    env.reset(options={"init_state": 0})
    (chunk,) = policy.infer([{}], [context_of(env, key_of(0), 0, 0)])
    assert chunk.actions.shape == (10, 6)
    assert chunk.actions.dtype == np.float32
    assert all(env.action_space.contains(action) for action in chunk.actions)
    assert ExpertFactory().placement(None) == "worker"


def test_expert_is_deterministic(env):
    """The same key gives the same actions, by a fresh policy and by a used one."""
    used = ExpertFactory()(None, {})
    executed = []
    for policy in (used, used, ExpertFactory()(None, {})):
        episode = Episode(env, 3)
        episode.run(policy)
        executed.append(np.array(episode.executed))
    np.testing.assert_array_equal(executed[0], executed[1])
    np.testing.assert_array_equal(executed[0], executed[2])


def test_interleaved_episodes_do_not_mix(env):
    """Two episodes through one policy, chunk by chunk, act as each does alone."""
    alone = Episode(env, 1)
    alone.run(ExpertFactory()(None, {}))
    other = PickPlace(image_size=8)
    policy = ExpertFactory()(None, {})
    first, second = Episode(env, 1), Episode(other, 2)
    while not (first.over and second.over):
        for episode in (first, second):
            if not episode.over:
                episode.run_chunk(policy)
    other.close()
    assert first.info["is_success"]
    assert second.info["is_success"]
    np.testing.assert_array_equal(first.executed, alone.executed)


def test_memory_is_bounded(env):
    """Old episodes are forgotten, however many begin."""
    policy = ExpertPolicy()
    env.reset(options={"init_state": 0})
    for index in range(100):
        policy.infer([{}], [context_of(env, key_of(index), 0, 0)])
    assert len(policy._episodes) <= 64


def test_expert_tries_again_after_losing_the_block(env):
    """A block that is taken out of the hand and put elsewhere is fetched again."""
    policy = ExpertFactory()(None, {})
    episode = Episode(env, 0)
    while not episode.info["is_success"] and not episode.info.get("score"):
        episode.run_chunk(policy)
    start = int(env.model.joint("block").qposadr[0])
    env.data.qpos[start : start + 7] = [0.20, -0.05, 0.015, 1, 0, 0, 0]
    assert episode.run(policy)


def test_expert_replans_when_the_block_moves_before_the_grasp(env):
    """A block that is pushed aside on the way down is followed."""
    policy = ExpertFactory()(None, {})
    episode = Episode(env, 0)
    for _ in range(2):
        episode.run_chunk(policy)
    start = int(env.model.joint("block").qposadr[0])
    env.data.qpos[start : start + 2] = [0.25, -0.04]
    assert episode.run(policy)


def test_expert_copes_with_noise(env):
    """With 1 % noise on every action (2 degrees of pan) it still succeeds 9 times in 10."""
    policy = ExpertFactory()(None, {})
    assert sum(Episode(env, index, noise=0.01).run(policy) for index in range(10)) >= 9


def test_block_out_of_reach_fails_without_an_error(env):
    """There is nothing to plan; the expert stays, and the episode runs out."""
    policy = ExpertFactory()(None, {})
    episode = Episode(env, 0)
    start = int(env.model.joint("block").qposadr[0])
    env.data.qpos[start : start + 2] = [0.60, 0.0]
    env.advance(env.hold_action())
    for _ in range(5):
        episode.run_chunk(policy)
    assert not episode.info["is_success"]


def test_task_without_expert_is_refused(env):
    """The error names the task and the nearest that has one."""
    policy = ExpertFactory()(None, {})
    env.reset(seed=0)
    with pytest.raises(UsageError, match=r"no expert for the task 'so101/PickPlac'.*did you mean"):
        policy.infer([{}], [context_of(env, key_of(0, "PickPlac"), 0, 0)])


def test_expert_needs_its_own_environment(env):
    """Neither no simulator nor another task's will do."""
    policy = ExpertFactory()(None, {})
    blind = context_of(env, key_of(0), 0, 0)
    with pytest.raises(UsageError, match="worker placement"):
        policy.infer([{}], [Context(**{**vars(blind), "env": None})])
    other = SimpleNamespace(unwrapped="something else")
    with pytest.raises(UsageError, match="cannot act in"):
        policy.infer([{}], [Context(**{**vars(blind), "env": other})])


def test_targets_and_options_are_refused():
    """Neither exists; the error says so."""
    with pytest.raises(PolicySpecError, match="takes no target"):
        ExpertFactory()("somewhere", {})
    with pytest.raises(PolicySpecError, match="no option 'speed'"):
        ExpertFactory()(None, {"speed": "2"})
    with pytest.raises(PolicySpecError, match="options: pace: "):
        ExpertFactory()(None, {"pace": "hasty"})
