"""Merges: what becomes of the queued actions when a new chunk arrives.

Old and new actions are aligned by the control step that they are meant for. Queued actions beyond the
new chunk's end are dropped.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

__all__ = ["Merge", "Queued", "average", "crossfade", "ensemble", "replacing"]


@dataclass(frozen=True)
class Queued:
    """One action in the queue."""

    action: Any
    """float32 (A,)."""
    chunk: int
    """Number of the inference that it comes from, from 0; of a mixture, the newest."""
    asked_at: int
    """Tick of that inference's observation."""
    index: int
    """Place in its chunk."""
    predictions: tuple[Any, ...] = ()
    """All predictions for this control step, oldest first; only `ensemble` keeps them."""


type Merge = Callable[[Sequence[Queued], Sequence[Queued]], list[Queued]]
"""(queued actions, new actions) to the new queue; both begin with the next control step."""


def replacing(old: Sequence[Queued], new: Sequence[Queued]) -> list[Queued]:
    """Return the new actions ("naive asynchronous")."""
    del old
    return list(new)


def average(old_weight: float, switches: Sequence[int] = ()) -> Merge:
    """Return the weighted mean where both chunks speak; LeRobot's client uses 0.3 old and 0.7 new.

    Args:
        old_weight: weight of the queued action, in [0, 1].
        switches: dimensions that know two values only, such as a gripper that opens or closes; they
            are taken from the newer chunk.
    """
    return _mixing(lambda _place, _rest: old_weight, switches)


def crossfade(switches: Sequence[int] = ()) -> Merge:
    """Return a fade from the queued actions to the new ones, linear over the r actions that overlap.

    The p-th of them has weight (r − p)/(r + 1) on the queued action: the soft mask of real-time chunking
    (arXiv 2506.07339, linear schedule) beyond the delay. It needs one inference and no gradient.
    """
    return _mixing(lambda place, rest: (rest - place) / (rest + 1), switches)


def _mixing(weight: Callable[[int, int], float], switches: Sequence[int]) -> Merge:
    taken_new = list(switches)

    def merge(old: Sequence[Queued], new: Sequence[Queued]) -> list[Queued]:
        rest = min(len(old), len(new))
        mixed = []
        for place in range(rest):
            share = weight(place, rest)
            ours, theirs = np.asarray(new[place].action), np.asarray(old[place].action)
            action = (share * theirs + (1 - share) * ours).astype(ours.dtype)
            action[taken_new] = ours[taken_new]
            mixed.append(replace(new[place], action=action))
        return mixed + list(new[rest:])

    return merge


def ensemble(coefficient: float, switches: Sequence[int] = ()) -> Merge:
    """Return temporal ensembling: the mean over all chunks with a prediction for a control step.

    Weights are exp(−c i), with i = 0 for the oldest prediction (ACT, arXiv 2304.13705, c = 0.01).

    Args:
        coefficient: c; 0 weighs all alike.
        switches: as for `average`.
    """
    taken_new = list(switches)

    def merge(old: Sequence[Queued], new: Sequence[Queued]) -> list[Queued]:
        merged = []
        for place, item in enumerate(new):
            earlier = old[place].predictions if place < len(old) else ()
            predictions = (*earlier, item.action)
            weights = np.array([math.exp(-coefficient * i) for i in range(len(predictions))])
            mean = np.tensordot(weights / weights.sum(), np.stack(predictions), axes=1)
            action = mean.astype(np.asarray(item.action).dtype)
            action[taken_new] = np.asarray(item.action)[taken_new]
            merged.append(replace(item, action=action, predictions=predictions))
        return merged

    return merge
