"""A wrapper around any policy, with options of its own, that passes on what the policy wants to know."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, assert_type

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from vla_eval import ActionChunk, Context, Policy, PolicyFactory
from vla_eval.environment import Observation
from vla_eval.errors import PolicySpecError
from vla_eval.keys import PolicyKey
from vla_eval.policy import Placement, WarmsUp, end_episode
from vla_eval.record import Outcome
from vla_eval.spec import build_policy, parse_options, placement_of


class Options(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    gain: float = Field(default=1.0, gt=0.0)


class Scaled:
    def __init__(self, inner: Policy, options: Options) -> None:
        self._inner, self._options = inner, options
        self.metadata = dataclasses.replace(
            inner.metadata,
            name=f"scaled {inner.metadata.name}",
            options={**inner.metadata.options, **options.model_dump()},
        )

    def infer(
        self, observations: Sequence[Observation], contexts: Sequence[Context]
    ) -> list[ActionChunk]:
        chunks = self._inner.infer(observations, contexts)
        gain = np.float32(self._options.gain)
        return [dataclasses.replace(chunk, actions=gain * chunk.actions) for chunk in chunks]

    def warm_up(self, observations: Sequence[Observation], contexts: Sequence[Context]) -> None:
        if isinstance(self._inner, WarmsUp):
            self._inner.warm_up(observations, contexts)

    def end_episode(self, key: PolicyKey, outcome: Outcome | None) -> None:
        end_episode(self._inner, key, outcome)


class ScaledFactory:
    help = "any policy with its actions multiplied by gain"

    def placement(self, target: str | None) -> Placement:
        return placement_of(_inner(target))

    def __call__(self, target: str | None, options: Mapping[str, Any]) -> Policy:
        ours = parse_options(Options, options, "scaled")
        assert_type(ours, Options)
        return Scaled(build_policy(_inner(target)), ours)


def _inner(target: str | None) -> str:
    if target is None:
        raise PolicySpecError("policy kind 'scaled' needs a policy: 'scaled:expert?gain=0.5'")
    return target


factory: PolicyFactory = ScaledFactory()
