"""Two controls that need no model: ``hold`` does nothing, ``random`` does anything."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from vla_eval.environment import Observation
from vla_eval.errors import PolicySpecError
from vla_eval.policy import ActionChunk, Context, Policy, PolicyMetadata
from vla_eval.spec import parse_options

__all__ = ["HoldFactory", "HoldPolicy", "RandomFactory", "RandomPolicy"]


class _ChunkOptions(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    chunk_size: int = Field(default=10, ge=1)


class HoldPolicy:
    """Keeps the robot where it is. Succeeds only if the task is already done at the start."""

    def __init__(self, chunk_size: int) -> None:
        self.metadata = PolicyMetadata(
            name="hold",
            method="constant",
            chunk_size=chunk_size,
            n_action_steps=chunk_size,
            privileged=True,
            trained_on=(),
        )

    def infer(
        self, observations: Sequence[Observation], contexts: Sequence[Context]
    ) -> list[ActionChunk]:
        """Return the environment's hold action, ``chunk_size`` times for each sample."""
        del observations
        return [self._hold(context) for context in contexts]

    def _hold(self, context: Context) -> ActionChunk:
        if context.env is None:
            raise PolicySpecError("policy 'hold' needs the environment at hand (worker placement)")
        action = context.env.hold_action()
        return ActionChunk(np.tile(action, (self.metadata.chunk_size, 1)))


class RandomPolicy:
    """Draws every action uniformly from the action space."""

    def __init__(self, chunk_size: int) -> None:
        self.metadata = PolicyMetadata(
            name="random",
            method="uniform",
            chunk_size=chunk_size,
            n_action_steps=chunk_size,
            trained_on=(),
        )

    def infer(
        self, observations: Sequence[Observation], contexts: Sequence[Context]
    ) -> list[ActionChunk]:
        """Return ``chunk_size`` independent uniform actions for each sample."""
        del observations
        return [self._draw(context) for context in contexts]

    def _draw(self, context: Context) -> ActionChunk:
        low, high = context.action_low, context.action_high
        shape = (self.metadata.chunk_size, low.size)
        actions = context.generator().uniform(low, high, size=shape)
        return ActionChunk(actions.astype(np.float32), nfe=1)


class HoldFactory:
    """``hold[?chunk_size=10]``."""

    help: ClassVar[str] = "stays where it is: the floor that every task must have"

    def placement(self, target: str | None) -> Literal["worker", "host"]:
        """Place it in the worker: it asks the environment for its hold action."""
        del target
        return "worker"

    def __call__(self, target: str | None, options: Mapping[str, Any]) -> Policy:
        """Build the policy; it takes no target."""
        _refuse_target("hold", target)
        return HoldPolicy(parse_options(_ChunkOptions, options, "hold").chunk_size)


class RandomFactory:
    """``random[?chunk_size=10]``."""

    help: ClassVar[str] = "uniform random actions: the other floor"

    def placement(self, target: str | None) -> Literal["worker", "host"]:
        """Place it in the host, so that it exercises the same path as large policies."""
        del target
        return "host"

    def __call__(self, target: str | None, options: Mapping[str, Any]) -> Policy:
        """Build the policy; it takes no target."""
        _refuse_target("random", target)
        return RandomPolicy(parse_options(_ChunkOptions, options, "random").chunk_size)


def _refuse_target(kind: str, target: str | None) -> None:
    if target is not None:
        raise PolicySpecError(f"policy kind '{kind}' takes no target (got '{target}')")
