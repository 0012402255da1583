"""``check_policy``: what breaks the contract is found and named, and what keeps it passes."""

from __future__ import annotations

import dataclasses
import random

import numpy as np
import pytest

import vla_eval
from vla_eval.errors import PolicySpecError
from vla_eval.policy import (
    ActionChunk,
    Blind,
    EndsEpisodes,
    Explains,
    PolicyMetadata,
    WarmsUp,
    ability,
    is_blind,
)
from vla_eval.policy_check import policy_findings
from vla_eval.spec import build_policy


@pytest.fixture
def env():
    env = vla_eval.make_env("fakes:fakes/Point-v0", {})
    yield env
    env.close()


class Good:
    """Adds the observation's mean and the episode's own noise; remembers under the key."""

    metadata = PolicyMetadata("good", "scripted", chunk_size=4, n_action_steps=2, nfe=1)

    def __init__(self):
        self.seen = {}

    def infer(self, observations, contexts):
        return [
            self.one(observation, context)
            for observation, context in zip(observations, contexts, strict=True)
        ]

    def one(self, observation, context):
        if context.chunk_index == 0:
            self.seen[context.key] = 0.0
        self.seen[context.key] += 0.01 * float(np.mean(observation["agent_pos"]))
        noise = context.generator().normal(0, 0.1, (4, context.action_low.size))
        return ActionChunk((noise + self.seen[context.key]).astype(np.float32), nfe=1)


class GlobalNoise(Good):
    def one(self, observation, context):
        random.random()
        chunk = super().one(observation, context)
        noise = np.random.normal(size=chunk.actions.shape)  # noqa: NPY002 - the fault
        return dataclasses.replace(chunk, actions=np.float32(noise))


class OneState(Good):
    """Keeps one episode's state for all."""

    def one(self, observation, context):
        if context.chunk_index == 0:
            self.last = float(np.sum(observation["agent_pos"]))
        return ActionChunk(np.full((4, context.action_low.size), self.last, np.float32), nfe=1)


class Counts(Good):
    """Never starts anew."""

    calls = 0

    def one(self, observation, context):
        self.calls += 1
        return ActionChunk(np.full((4, context.action_low.size), 0.01 * self.calls, np.float32), 1)


class Scribbles(Good):
    def one(self, observation, context):
        chunk = super().one(observation, context)
        observation["agent_pos"] += 1
        return chunk


class BatchNorm(Good):
    """Every member of a batch sees all others."""

    def infer(self, observations, contexts):
        shared = sum(float(np.sum(each["agent_pos"])) for each in observations)
        size = contexts[0].action_low.size
        return [ActionChunk(np.full((4, size), shared, np.float32), nfe=1) for _ in observations]


class One(Good):
    """Takes one observation at a time."""

    def infer(self, observations, contexts):
        return super().infer(observations[:1], contexts[:1])


class Short(Good):
    metadata = dataclasses.replace(Good.metadata, chunk_size=8, nfe=10)


class Primes(Good):
    """Its warm-up leaves something behind."""

    offset = 0.0

    def warm_up(self, observations, contexts):
        self.offset = 0.5

    def one(self, observation, context):
        chunk = super().one(observation, context)
        return dataclasses.replace(chunk, actions=chunk.actions + np.float32(self.offset))


class Forgets(Good):
    """What it does after ``end_episode`` is another thing."""

    ended = 0

    def end_episode(self, key, outcome):
        self.ended += 1

    def one(self, observation, context):
        chunk = super().one(observation, context)
        return dataclasses.replace(chunk, actions=chunk.actions + np.float32(0.1 * self.ended))


@pytest.mark.parametrize("policy", ["random", "hold", "expert", "impaired:random?stale=0.5"])
def test_our_own(policy):
    """The policies that come with the package keep the contract."""
    env = vla_eval.make_env("fakes:fakes/Point-v0", {})
    if policy == "expert":
        pytest.importorskip("mujoco")
        env = vla_eval.make_env("vla_eval_envs:so101/PickPlace-v0", {})
    vla_eval.check_policy(build_policy(policy), env)
    env.close()


def test_what_is_right(env):
    """A policy that keeps all of it passes, and every check says so."""
    vla_eval.check_policy(Good(), env)
    assert all(each.ok for each in policy_findings(Good(), env, "fakes", "Point"))


@pytest.mark.parametrize(
    ("policy", "name"),
    [
        (GlobalNoise, "randomness: draws from the global generator of random, numpy.random"),
        (GlobalNoise, "same episode again: "),
        (OneState, "two episodes at once: one changes the other"),
        (Counts, "same episode again: the same episode gives other actions"),
        (Scribbles, "observation: is changed in place"),
        (BatchNorm, "batch: a batch of two changes actions by"),
        (One, "batch: raises ValueError: "),
        (Short, "chunk_size: 4 actions; its metadata say 8"),
        (Short, "nfe: 1 function evaluations; its metadata say 10"),
        (Primes, "warm_up: changes later actions"),
        (Forgets, "end_episode: an episode that begins again is another"),
    ],
)
def test_what_is_wrong(env, policy, name):
    """Each fault is found by the check that is made for it."""
    with pytest.raises(PolicySpecError, match=name):
        vla_eval.check_policy(policy(), env)


def test_what_is_no_policy(env):
    """Something without metadata is refused in one sentence."""
    with pytest.raises(PolicySpecError, match="int is no policy: it needs 'metadata'"):
        vla_eval.check_policy(3, env)


class Wrapper:
    """Around another policy, and changes nothing."""

    def __init__(self, inner):
        self.inner = inner
        self.metadata = inner.metadata

    def infer(self, observations, contexts):
        return self.inner.infer(observations, contexts)


def test_wrappers_keep_abilities():
    """An ability is found through any number of wrappers, and only where it is."""
    primes = Primes()
    wrapped = Wrapper(Wrapper(primes))
    assert ability(wrapped, WarmsUp) is primes
    assert ability(wrapped, EndsEpisodes) is None
    assert ability(wrapped, Explains) is None
    assert ability(Good(), Blind) is None


def test_an_impaired_expert_is_blind():
    """A wrapper around a policy that needs no pictures needs none either."""
    assert is_blind(build_policy("expert"))
    assert is_blind(build_policy("impaired:expert?action_noise=0.1"))
    assert not is_blind(build_policy("impaired:random?action_noise=0.1"))
