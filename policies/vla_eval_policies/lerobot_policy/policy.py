"""LeRobot checkpoints as policies of this project."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from vla_eval.environment import Observation
from vla_eval.errors import PolicySpecError, VlaEvalError
from vla_eval.policy import ActionChunk, Context, Finding, PolicyMetadata
from vla_eval_policies.lerobot_policy.batch import Batch, add_queued, raw_batch, same_batch
from vla_eval_policies.lerobot_policy.embodiment import Binding, Wants, bind
from vla_eval_policies.lerobot_policy.loading import Loaded

if TYPE_CHECKING:
    from vla_eval_policies.flow.queue import Continuing

__all__ = ["Chunker", "Chunks", "LeRobotPolicy"]

_CALLS_TO_COMPILE = 2
"""The first call compiles, the second records a CUDA graph, where there are CUDA graphs."""


@dataclass(frozen=True)
class Chunks:
    """Output of a model for a batch."""

    actions: Any
    """Tensor (B, T, A), normalised."""
    nfe: int = 1
    prefix_ms: float = 0.0
    """Time to encode the whole batch."""
    denoise_ms: float = 0.0
    """Time of all solver steps, for the whole batch."""
    counts: Sequence[Mapping[str, int]] = ()
    """Further counts for each sample; empty: none."""


class Chunker(ABC):
    """Makes the chunks of one type of model, and describes how."""

    method: str
    chunk_size: int
    nfe: int | None = None
    solver: str | None = None
    n_obs_steps: int = 1
    """Number of consecutive observations from which a chunk is made."""
    compiled: bool = False
    """Whether its first calls compile: once for a batch of one, and once for larger batches."""
    continuing: Continuing | None = None
    """How chunks follow on from queued actions; None: they do not."""

    @abstractmethod
    def __call__(self, batch: Batch, contexts: Sequence[Context]) -> Chunks:
        """Return a chunk for every context.

        Args:
            batch: preprocessed batch with the last ``n_obs_steps`` observations of each context, the
                oldest first.
            contexts: B contexts.
        """


class LeRobotPolicy:
    """A checkpoint with its own processors.

    Observations of the same robot and size form one batch, in any order.
    """

    def __init__(
        self, loaded: Loaded, chunker: Chunker, wants: Wants, metadata: PolicyMetadata
    ) -> None:
        self.loaded = loaded
        self.wants = wants
        self.metadata = metadata
        self._chunker = chunker
        self._bindings: dict[object, Binding] = {}

    def warm_up(self, observations: Sequence[Observation], contexts: Sequence[Context]) -> None:
        """Check that checkpoint and environment fit, then infer, and compile if the options say so.

        Raises:
            PolicySpecError: they do not fit, or the model cannot be compiled on this machine.
        """
        if not self._chunker.compiled:
            self.infer(observations, contexts)
            return
        for contexts_now in {len(contexts): contexts, 1: contexts[:1]}.values():
            for _ in range(_CALLS_TO_COMPILE):
                self._compile(observations[: len(contexts_now)], contexts_now)

    def _compile(self, observations: Sequence[Observation], contexts: Sequence[Context]) -> None:
        try:
            self.infer(observations, contexts)
        except VlaEvalError:
            raise
        except Exception as error:
            reason = str(error).strip().splitlines() or [""]
            raise PolicySpecError(
                f"{self.wants.where}: torch.compile failed ({type(error).__name__}: {reason[0]}); "
                "leave the option compile out"
            ) from error

    def infer(
        self, observations: Sequence[Observation], contexts: Sequence[Context]
    ) -> list[ActionChunk]:
        """Return one chunk per observation, in order.

        Raises:
            PolicySpecError: the checkpoint does not fit the environment.
        """
        groups: dict[object, list[int]] = {}
        for i, (observation, context) in enumerate(zip(observations, contexts, strict=True)):
            groups.setdefault(same_batch(observation, context), []).append(i)
        chunks: dict[int, ActionChunk] = {}
        for members in groups.values():
            seen = [observations[i] for i in members]
            inferred = self._infer_alike(seen, [contexts[i] for i in members])
            chunks.update(zip(members, inferred, strict=True))
        return [chunks[i] for i in range(len(observations))]

    def explain(self, observation: Observation, context: Context) -> list[Finding]:
        """Return findings about the model's inputs; raises PolicySpecError if they do not fit."""
        from vla_eval_policies.lerobot_policy.explain import explain

        return explain(self.loaded, self.binding(observation, context), observation, context)

    def example(self, seed: int) -> tuple[Observation, Context]:
        """Return an observation of random pictures and a state of zeros, to measure latency."""
        from vla_eval_policies.lerobot_policy.embodiment import example

        return example(self.wants, seed)

    def binding(self, observation: Observation, context: Context) -> Binding:
        """Return the mapping from such observations to batches; raises PolicySpecError."""
        kind = same_batch(observation, context)
        if kind not in self._bindings:
            self._bindings[kind] = bind(self.wants, observation, context)
        return self._bindings[kind]

    def _infer_alike(
        self, observations: Sequence[Observation], contexts: Sequence[Context]
    ) -> list[ActionChunk]:
        import torch

        binding = self.binding(observations[0], contexts[0])
        with torch.inference_mode():
            seen, whose = self._with_history(observations, contexts)
            raw = raw_batch(binding, seen, whose)
            if self._chunker.continuing is not None:
                add_queued(raw, contexts, (self._chunker.chunk_size, self.wants.action))
            batch = self.loaded.preprocess(raw)
            made = self._chunker(batch, contexts)
            actions: NDArray[np.float32] = (
                self.loaded.postprocess(made.actions).to("cpu", torch.float32).numpy()
            )
        if self._chunker.continuing is not None:
            self._chunker.continuing.complete(actions, contexts)
        return [
            ActionChunk(
                chunk,
                nfe=made.nfe,
                prefix_ms=made.prefix_ms,
                denoise_ms=made.denoise_ms,
                counts=counted,
            )
            for chunk, counted in zip(actions, made.counts or [{}] * len(actions), strict=True)
        ]

    def _with_history(
        self, observations: Sequence[Observation], contexts: Sequence[Context]
    ) -> tuple[list[Observation], list[Context]]:
        """Return the last ``n_obs_steps`` observations of each context, and the context of each.

        An episode with fewer observations is filled up with copies of its first.
        """
        earlier = self._chunker.n_obs_steps - 1
        seen: list[Observation] = []
        for observation, context in zip(observations, contexts, strict=True):
            history = list(context.history)[-earlier:] if earlier else []
            if len(history) < min(earlier, context.step):
                raise PolicySpecError(
                    f"{self.wants.where} looks back {earlier} control steps, but whoever drives it "
                    "does not pass them on; run it in process"
                )
            row = [*history, observation]
            seen += [row[0]] * (earlier + 1 - len(row)) + row
        return seen, [context for context in contexts for _ in range(earlier + 1)]
