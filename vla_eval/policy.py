"""The policy contract: observations in, action chunks out, batch first."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from vla_eval.environment import EvalEnv, Observation
from vla_eval.errors import PolicySpecError
from vla_eval.keys import EpisodeKey

__all__ = ["ActionChunk", "Context", "Placement", "Policy", "PolicyFactory", "PolicyMetadata"]


@dataclass(frozen=True)
class ActionChunk:
    """What a policy returns for one observation."""

    actions: NDArray[np.float32]
    """float32 (T, A): T consecutive actions in the environment's action space."""
    nfe: int = 0
    """Number of function evaluations: forward passes of the action expert for this chunk."""
    prefix_ms: float = 0.0
    """Time for what does not depend on the solver step: images, instruction, state."""
    denoise_ms: float = 0.0
    """Time for the solver's steps."""
    batch: int = 1
    """How many observations were in this inference; the policy host fills it in."""
    infer_ms: float | None = None
    """Wall time of the inference alone; the policy host fills it in, since a worker would count the
    time in the queue too."""


@dataclass(frozen=True)
class Context:
    """What a policy may know besides the observation."""

    key: EpisodeKey
    step: int
    """Control steps executed so far in this episode."""
    chunk_index: int
    """Inferences made so far in this episode."""
    instruction: str
    action_low: NDArray[np.float32]
    """float32 (A,)."""
    action_high: NDArray[np.float32]
    """float32 (A,)."""
    env: EvalEnv | None = None
    """The simulator itself; only for policies whose metadata say ``privileged``."""

    def generator(self, stream: str = "policy") -> np.random.Generator:
        """Return this chunk's generator; see :meth:`EpisodeKey.generator`."""
        return self.key.generator(self.chunk_index, stream)


@dataclass(frozen=True)
class PolicyMetadata:
    """Identifies a policy. Two runs may be continued or compared as the same arm only if equal."""

    name: str
    method: str
    """How a chunk is generated: ``fm``, ``snapflow``, ``scripted`` …"""
    chunk_size: int
    n_action_steps: int
    """Execution horizon: how many actions of a chunk are executed before the next inference."""
    privileged: bool = False
    """Reads the simulator's state. Such a policy runs inside the worker."""
    nfe: int | None = None
    solver: str | None = None
    weights_sha256: str | None = None
    dtype: str | None = None
    device: str | None = None
    options: Mapping[str, str | int | float | bool | None] = field(default_factory=dict)
    """Everything else that changes actions: noise levels, thresholds …"""

    def __post_init__(self) -> None:
        """Refuse what could not be stored and compared: NaN, NumPy scalars, nested values."""
        for name, value in self.options.items():
            plain = value is None or type(value) in (str, int, float, bool)
            if not plain or (type(value) is float and not math.isfinite(value)):
                raise PolicySpecError(
                    f"PolicyMetadata of '{self.name}': option '{name}' is {value!r}; "
                    "plain str, int, float, bool or None are expected"
                )
        if self.chunk_size < 1 or self.n_action_steps < 1:
            raise PolicySpecError(
                f"PolicyMetadata of '{self.name}': chunk_size and n_action_steps must be at least 1"
            )


class Policy(Protocol):
    """Anything that turns observations into action chunks.

    One instance serves many episodes, interleaved: state that belongs to an episode is kept under
    ``context.key`` and starts anew when ``context.chunk_index`` is 0. All randomness comes from
    ``context.generator()``.
    """

    @property
    def metadata(self) -> PolicyMetadata:
        """What this policy is; constant over its life."""

    def infer(
        self, observations: Sequence[Observation], contexts: Sequence[Context]
    ) -> Sequence[ActionChunk]:
        """Return one chunk per observation, in order."""


Placement = Literal["worker", "host"]


class PolicyFactory(Protocol):
    """What the entry-point group ``vla_eval.policies`` names: a class or object of this shape."""

    help: str
    """One line for ``vlaeval list policies``."""

    def placement(self, target: str | None) -> Placement:
        """Return where the policy runs, before it is built.

        ``worker``: one instance in every worker. ``host``: one instance in a process of its own,
        which batches over the workers; for policies that are large or sit on an accelerator.
        """

    def __call__(self, target: str | None, options: Mapping[str, Any]) -> Policy:
        """Build the policy of ``KIND[:TARGET][?key=value&…]``; raises PolicySpecError."""
