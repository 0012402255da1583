"""A wrapper that makes any policy worse by a declared amount: a true contrast for tests.

``impaired:expert?action_noise=0.1&stale=0.2`` wraps ``expert``. Options that the wrapper does not
know belong to the policy inside: ``impaired:hold?chunk_size=5&stale=0.1``.
"""

from __future__ import annotations

import dataclasses
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import Any, Literal
from urllib.parse import urlencode

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from vla_eval.environment import Observation
from vla_eval.errors import PolicySpecError
from vla_eval.keys import PolicyKey
from vla_eval.policy import (
    ActionChunk,
    Context,
    Policy,
    PolicyMetadata,
    end_episode,
)
from vla_eval.record import Outcome
from vla_eval.spec import build_policy, parse_options, placement_of

__all__ = ["ImpairedFactory", "ImpairedPolicy", "Impairment"]

_EPISODES_REMEMBERED = 1024


class Impairment(BaseModel):
    """Strength of the impairment."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    action_noise: float = Field(default=0.0, ge=0.0)
    """Standard deviation of Gaussian noise on every action, as a fraction of each dimension's range."""
    stale: float = Field(default=0.0, ge=0.0, le=1.0)
    """Probability that a chunk is replaced by the episode's previous chunk."""


class ImpairedPolicy:
    """Wraps a policy: adds noise to its actions, repeats old chunks, and keeps its other abilities."""

    def __init__(self, inner: Policy, impairment: Impairment) -> None:
        self.inner = inner
        self._impairment = impairment
        self._previous: OrderedDict[PolicyKey, ActionChunk] = OrderedDict()
        self.metadata: PolicyMetadata = dataclasses.replace(
            inner.metadata,
            name=f"impaired {inner.metadata.name}",
            options={**inner.metadata.options, **impairment.model_dump()},
        )

    def infer(
        self, observations: Sequence[Observation], contexts: Sequence[Context]
    ) -> list[ActionChunk]:
        """Return the inner policy's chunks, impaired with random numbers of the episode's stream."""
        chunks = self.inner.infer(observations, contexts)
        return [
            self._impair(chunk, context) for chunk, context in zip(chunks, contexts, strict=True)
        ]

    def end_episode(self, key: PolicyKey, outcome: Outcome | None) -> None:
        """Forget the episode's chunk, and tell the inner policy."""
        self._previous.pop(key, None)
        end_episode(self.inner, key, outcome)

    def _impair(self, fresh: ActionChunk, context: Context) -> ActionChunk:
        generator = context.generator("impairment")
        # Drawn in every call, so that neither option changes the random numbers of the other.
        is_stale = generator.random() < self._impairment.stale
        previous = self._previous.get(context.key) if context.chunk_index > 0 else None
        chunk = previous if is_stale and previous is not None else fresh
        self._remember(context.key, chunk)
        if self._impairment.action_noise == 0.0:
            return chunk
        scale = self._impairment.action_noise * (context.action_high - context.action_low)
        noisy = chunk.actions + scale * generator.standard_normal(chunk.actions.shape)
        noisy = np.clip(noisy, context.action_low, context.action_high)
        return dataclasses.replace(chunk, actions=np.asarray(noisy, np.float32))

    def _remember(self, key: PolicyKey, chunk: ActionChunk) -> None:
        self._previous[key] = chunk
        self._previous.move_to_end(key)
        if len(self._previous) > _EPISODES_REMEMBERED:
            self._previous.popitem(last=False)


class ImpairedFactory:
    """``impaired:SPEC[?action_noise=…&stale=…]``."""

    help = "any policy made worse: action_noise=σ (share of the range), stale=p (repeats a chunk)"

    def placement(self, target: str | None) -> Literal["worker", "host"]:
        """Return the placement of the inner policy."""
        return placement_of(_inner(target))

    def __call__(self, target: str | None, options: Mapping[str, Any]) -> Policy:
        """Build the inner policy from the target and from the options that the wrapper does not know."""
        ours = {name: value for name, value in options.items() if name in Impairment.model_fields}
        theirs = {name: value for name, value in options.items() if name not in ours}
        inner = _inner(target) + (f"?{urlencode(theirs)}" if theirs else "")
        return ImpairedPolicy(build_policy(inner), parse_options(Impairment, ours, "impaired"))


def _inner(target: str | None) -> str:
    if target is None:
        raise PolicySpecError(
            "policy kind 'impaired' needs a policy to impair, for example "
            "'impaired:expert?action_noise=0.1'"
        )
    return target
