"""The trace of an episode: its executed actions, and the inference that each of them came from."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["STALLED", "Trace", "Tracer"]

STALLED = -1
"""Source of an action that no inference gave: the robot stalled."""


@dataclass(frozen=True, eq=False)
class Trace:
    """What an episode did, step by step."""

    actions: NDArray[np.float32]
    """Executed actions (steps, A), in order, as sent to the simulator: after clipping."""
    clipped: NDArray[np.bool_]
    """Whether the policy's action had an entry outside of the action space, (steps,)."""
    source: NDArray[np.int32]
    """Index of the inference that each action came from, (steps,); of a mixture, the newest one;
    `STALLED` where the robot stalled."""
    observed: NDArray[np.int32]
    """Control step whose observation each inference saw, (inferences,), from 0; an inference in flight at
    the end is included."""

    @property
    def actions_sha256(self) -> str:
        """Hash of the actions, as a record holds it."""
        return hashlib.sha256(self.actions.astype("<f4").tobytes()).hexdigest()

    def answer(self, shown: int) -> int | None:
        """Return the first control step whose action comes from an observation of ``shown`` or later."""
        seen = np.append(self.observed, STALLED)  # a stalled step has the last entry
        steps = np.flatnonzero(seen[self.source] >= shown)
        return int(steps[0]) if steps.size else None


class Tracer:
    """Collects the trace of one attempt.

    Args:
        action_dim: A, number of an action's entries.
    """

    def __init__(self, action_dim: int) -> None:
        self._action_dim = action_dim
        self._actions: list[NDArray[np.float32]] = []
        self._clipped: list[bool] = []
        self._source: list[int] = []
        self._observed: list[int] = []

    def ask(self, step: int) -> None:
        """Note that an inference looks at the observation of a control step."""
        self._observed.append(step)

    def act(self, action: NDArray[np.float32], *, source: int, clipped: bool) -> None:
        """Note an executed action, float32 (A,)."""
        self._actions.append(action)
        self._source.append(source)
        self._clipped.append(clipped)

    def trace(self) -> Trace:
        """Return the trace so far."""
        return Trace(
            np.array(self._actions, np.float32).reshape(-1, self._action_dim),
            np.array(self._clipped, np.bool_),
            np.array(self._source, np.int32),
            np.array(self._observed, np.int32),
        )
