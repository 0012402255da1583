"""Chunks that continue the actions which are still queued when their inference begins.

In asynchronous virtual time the robot executes queued actions while the policy thinks. There are two
ways to make a chunk follow on from them: guidance of the sampler (``rtc=…``, any flow-matching
checkpoint), and a network that was trained to complete chunks (``max_delay`` of its training). Without
queued actions both are exactly the ordinary sampler.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vla_eval.errors import PolicySpecError
from vla_eval.policy import Context
from vla_eval_policies.flow.network import FlowNetwork
from vla_eval_policies.methods import Draw, Field, Method
from vla_eval_policies.methods.committed import Committed, first
from vla_eval_policies.methods.rtc import PASSES_PER_EVALUATION, Decay, Guided, soft_mask

__all__ = ["Completion", "Continuing", "Guidance", "Queue", "queue_of"]


@dataclass(frozen=True)
class Queue:
    """The queued actions of a batch, as part of its new chunks."""

    actions: Tensor
    """(B, H, D), normalised with the new states. Beyond the queued actions the last one is repeated."""
    real: Tensor
    """bool (D,); False for the dimensions that only pad."""
    queued: tuple[int, ...]
    """Numbers n of queued actions, at most H."""
    delay: tuple[int, ...]
    """d, expected delays in control steps."""

    @property
    def committed(self) -> tuple[int, ...]:
        """Numbers of queued actions that will be executed before the chunk can be used."""
        return tuple(min(pair) for pair in zip(self.queued, self.delay, strict=True))

    def repeat(self, copies: int) -> Queue:
        """Return the queues with each one ``copies`` times in a row."""
        return replace(
            self,
            actions=self.actions.repeat_interleave(copies, 0),
            queued=tuple(np.repeat(self.queued, copies).tolist()),
            delay=tuple(np.repeat(self.delay, copies).tolist()),
        )


def queue_of(contexts: Sequence[Context], network: FlowNetwork, state: Tensor) -> Queue | None:
    """Return the queued actions of a batch; None if there are none.

    Chunks are relative to ``agent_pos``, so actions of earlier chunks get the new state as their origin.

    Args:
        contexts: B contexts.
        network: has the scales of actions and states.
        state: (B, S), the new observations' ``agent_pos``.
    """
    config = network.config
    queued = tuple(
        0 if context.left_over is None else min(len(context.left_over), config.chunk_size)
        for context in contexts
    )
    if not any(queued):
        return None
    rows = np.zeros((len(contexts), config.chunk_size, config.action_size), np.float32)
    for row, context, count in zip(rows, contexts, queued, strict=True):
        if count:
            assert context.left_over is not None  # noqa: S101 - it was counted
            row[:] = context.left_over[np.minimum(np.arange(len(row)), count - 1)]
    return Queue(
        actions=network.normalise(torch.from_numpy(rows).to(state), state),
        real=torch.arange(config.padded_actions, device=state.device) < config.action_size,
        queued=queued,
        delay=tuple(context.expected_delay for context in contexts),
    )


class Continuing:
    """How chunks follow on from the queue; this base ignores it."""

    reads_queue: ClassVar[bool] = False
    differentiates: ClassVar[bool] = False
    """Whether sampling differentiates the network."""
    passes_per_evaluation: ClassVar[int] = 1
    """Cost of an evaluation of the network, in forward passes."""

    @property
    def options(self) -> Mapping[str, str | int | float]:
        """Its part of the policy's identity."""
        return {}

    def sample(self, method: Method, field: Field, draw: Draw, nfe: int, queue: Queue) -> Tensor:
        """Return chunks (B, H, D) that continue the queued actions."""
        del queue
        return method.sample(field, draw, nfe)

    def complete(self, actions: NDArray[np.float32], contexts: Sequence[Context]) -> None:
        """Change sampled chunks (B, H, A), in the environment's units, where the queue decides them."""


@dataclass(frozen=True)
class Guidance(Continuing):
    """Guides the sampler towards the queued actions; see :mod:`vla_eval_policies.methods.rtc`."""

    decay: Decay
    beta: float

    reads_queue: ClassVar[bool] = True
    differentiates: ClassVar[bool] = True
    passes_per_evaluation: ClassVar[int] = PASSES_PER_EVALUATION

    @property
    def options(self) -> Mapping[str, str | int | float]:
        """Its part of the policy's identity."""
        return {"rtc": self.decay, "beta": self.beta}

    def sample(self, method: Method, field: Field, draw: Draw, nfe: int, queue: Queue) -> Tensor:
        """Walk the guided field."""
        weights = soft_mask(queue.actions.shape[1], queue.queued, queue.delay, self.decay)
        weights = weights.to(queue.actions)[..., None] * queue.real
        return method.sample(Guided(field, queue.actions, weights, self.beta), draw, nfe)


@dataclass(frozen=True)
class Completion(Continuing):
    """Lets a network complete chunks of which it was trained to know the first actions."""

    max_delay: int
    """Largest number of known actions that it was trained for."""

    reads_queue: ClassVar[bool] = True

    @property
    def options(self) -> Mapping[str, str | int | float]:
        """Its part of the policy's identity."""
        return {"max_delay": self.max_delay}

    def sample(self, method: Method, field: Field, draw: Draw, nfe: int, queue: Queue) -> Tensor:
        """Sample the rest of the chunks; raises PolicySpecError for too many known actions."""
        if (most := max(queue.committed)) > self.max_delay:
            raise PolicySpecError(
                f"{most} queued actions will be executed during an inference, and the policy was trained "
                f"to continue at most {self.max_delay}: train one with training.max_delay = {most}, or "
                "add naive=true to ignore the queue"
            )
        if most == 0:
            return method.sample(field, draw, nfe)
        known = first(queue.actions, queue.committed)
        return known.put_into(method.sample(Committed(field, known), draw, nfe))

    def complete(self, actions: NDArray[np.float32], contexts: Sequence[Context]) -> None:
        """Put the known actions into the chunks, bit for bit."""
        for chunk, context in zip(actions, contexts, strict=True):
            if context.left_over is not None:
                known = context.left_over[: min(context.expected_delay, len(chunk))]
                chunk[: len(known)] = known
