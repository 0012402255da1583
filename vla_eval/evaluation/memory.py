"""Policies in the memory of a training process."""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from vla_eval.environment import Observation
from vla_eval.errors import PolicySpecError
from vla_eval.evaluation.undisturbed import weights_sha256
from vla_eval.policy import ActionChunk, Context, Placement, Policy, PolicyMetadata, is_policy

__all__ = ["MemoryFactory", "memory_policy", "memory_spec"]


class MemoryFactory:
    """The policy kind ``memory``: names such a policy in a run folder; none can be built from its name."""

    help = "a policy in a training process; made by vla_eval.evaluate alone"

    def placement(self, target: str | None) -> Placement:
        """Place it in the host, which is the training process itself."""
        del target
        return "host"

    def __call__(self, target: str | None, options: Mapping[str, Any]) -> Policy:
        """Refuse: the weights are gone with their process."""
        del target, options
        raise PolicySpecError(
            "policy kind 'memory' stands for a policy that was in the memory of a training process, and "
            "cannot be built again; run the checkpoint of that step instead"
        )


def memory_spec(step: int | None) -> str:
    """Return the spec of a policy in memory."""
    return "memory:policy" if step is None else f"memory:policy?step={step}"


def memory_policy(policy: Any, *, module: Any, metadata: PolicyMetadata | None) -> Policy:
    """Return what the caller passed as a policy whose identity holds its weights and code.

    Args:
        policy: a policy, or a callable (a torch module too) that takes observations and contexts and
            returns a chunk for each: an `ActionChunk`, or actions (T, A) as array or tensor.
        module: the torch module with the policy's weights; None: there is none.
        metadata: description of a callable.

    Raises:
        PolicySpecError: neither a policy nor a callable with metadata, or one that needs the simulator.
    """
    if is_policy(policy):
        infer, known = policy.infer, policy.metadata
    elif callable(policy) and metadata is not None:
        infer, known = policy, metadata
    else:
        raise PolicySpecError(
            f"a {type(policy).__name__} is no policy: pass an object with 'metadata' and 'infer', or a "
            "callable (observations, contexts) -> chunks together with metadata=PolicyMetadata(…)"
        )
    if known.privileged:
        raise PolicySpecError(
            f"policy '{known.name}' reads the simulator's state, so it cannot stay in this process; "
            "pass its spec as a text"
        )
    identity = replace(
        known,
        weights_sha256=weights_sha256(module) if module is not None else known.weights_sha256,
        options={**known.options, "source_sha256": _source_sha256(policy)},
    )
    return _InMemory(policy, infer, identity)


class _InMemory:
    """A policy of the caller's with an identity of its own; it keeps the caller's optional abilities."""

    def __init__(
        self,
        inner: Any,
        infer: Callable[[Sequence[Observation], Sequence[Context]], Sequence[Any]],
        metadata: PolicyMetadata,
    ) -> None:
        self.inner = inner
        self.metadata = metadata
        self._infer = infer

    def infer(
        self, observations: Sequence[Observation], contexts: Sequence[Context]
    ) -> list[ActionChunk]:
        """Return one chunk per observation, in order."""
        return [self._chunk(made) for made in self._infer(observations, contexts)]

    def _chunk(self, made: Any) -> ActionChunk:
        if isinstance(made, ActionChunk):
            return made
        array = made.detach().float().cpu().numpy() if hasattr(made, "detach") else made
        return ActionChunk(np.asarray(array, np.float32), nfe=self.metadata.nfe or 0)


def _source_sha256(policy: Any) -> str | None:
    """Hash the file that defines a policy or function; None if there is no such file."""
    thing = policy if inspect.isroutine(policy) else type(policy)
    try:
        file = inspect.getsourcefile(thing)
        return hashlib.sha256(Path(file).read_bytes()).hexdigest() if file else None
    except (OSError, TypeError):
        return None
