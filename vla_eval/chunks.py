"""Checks of a policy's reply: chunks, counts and times within the contract."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from vla_eval.errors import InvalidActionError
from vla_eval.policy import ActionChunk

__all__ = ["check_chunk", "check_reply"]

_MOST = 10**9
"""Largest count and largest time in ms that a policy may report for one chunk."""


def check_reply(reply: object, samples: int) -> list[ActionChunk]:
    """Return the chunks of ``infer``'s reply if the reply keeps the contract.

    Raises:
        TypeError: the reply is not a sequence of ActionChunk.
        ValueError: the number of chunks is wrong, or their times or counts are out of range.
    """
    if not isinstance(reply, Sequence) or not all(
        isinstance(chunk, ActionChunk) for chunk in reply
    ):
        raise TypeError(
            f"infer returned {type(reply).__name__}; expected a list of {samples} ActionChunk"
        )
    if len(reply) != samples:
        raise ValueError(f"infer returned {len(reply)} chunks for {samples} observations")
    for chunk in reply:
        times = (chunk.prefix_ms, chunk.denoise_ms)
        if not 0 <= chunk.nfe <= _MOST or not all(0 <= time <= _MOST for time in times):
            raise ValueError(f"infer returned nfe={chunk.nfe}, times {times} ms")
        for name, count in chunk.counts.items():
            if type(count) is not int or not 0 <= count <= _MOST:
                raise ValueError(f"infer counted {name!r} as {count!r}; a whole number is expected")
    return list(reply)


def check_chunk(chunk: ActionChunk, low: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the chunk's actions, float32 (T, A).

    Raises:
        InvalidActionError: wrong shape, not numbers, empty, or an entry that is not finite.
    """
    try:
        actions = np.asarray(chunk.actions)
    except ValueError:
        raise InvalidActionError("actions are no rectangular array") from None
    if actions.ndim != 2 or actions.shape[0] < 1 or actions.shape[1] != low.size:
        raise InvalidActionError(
            f"actions have shape {actions.shape}; expected (T, {low.size}) with T >= 1"
        )
    if actions.dtype.kind not in "fiu":
        raise InvalidActionError(f"actions have type {actions.dtype}; expected float32")
    finite = np.isfinite(actions)
    if not finite.all():
        row, column = np.argwhere(~finite)[0]
        raise InvalidActionError(
            f"action {row} of the chunk has {actions[row, column]} in dimension {column}"
        )
    return actions.astype(np.float32)
