"""A policy of a user's own: it inherits nothing, and fits where one is expected."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, assert_type

import numpy as np

from vla_eval import ActionChunk, Context, EpisodeKey, Policy, PolicyFactory, PolicyMetadata
from vla_eval.environment import Observation
from vla_eval.policy import EndsEpisodes, Placement, WarmsUp
from vla_eval.spec import build_policy


class Stay:
    metadata = PolicyMetadata("stay", method="demo", chunk_size=10, n_action_steps=10)

    def infer(
        self, observations: Sequence[Observation], contexts: Sequence[Context]
    ) -> list[ActionChunk]:
        assert_type(contexts[0].generator(), np.random.Generator)
        return [
            ActionChunk(np.tile(observation["agent_pos"], (10, 1)).astype(np.float32), nfe=1)
            for observation in observations
        ]


class Computed:
    """Its metadata depend on what it was built with."""

    def __init__(self, chunk_size: int) -> None:
        self._chunk_size = chunk_size

    @property
    def metadata(self) -> PolicyMetadata:
        return PolicyMetadata("computed", "demo", self._chunk_size, n_action_steps=1)

    def infer(
        self, observations: Sequence[Observation], contexts: Sequence[Context]
    ) -> tuple[ActionChunk, ...]:
        return ()


class Factory:
    help = "stays where it is"

    def placement(self, target: str | None) -> Placement:
        return "host" if target else "worker"

    def __call__(self, target: str | None, options: Mapping[str, Any]) -> Stay:
        return Stay()


policy: Policy = Stay()
computed: Policy = Computed(5)
factory: PolicyFactory = Factory()
made: Policy = factory(None, {"chunk_size": 5})


def optional_methods(policy: Policy, key: EpisodeKey) -> None:
    if isinstance(policy, WarmsUp):
        policy.warm_up([], [])
    if isinstance(policy, EndsEpisodes):
        policy.end_episode(key, "success")


built = build_policy("random?chunk_size=3")
assert_type(built, Policy)
