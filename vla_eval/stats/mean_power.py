"""Power of the bets on mean differences, by simulation with a fixed seed."""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from vla_eval.stats._numeric import Array
from vla_eval.stats.bounded import SHARES

__all__ = ["power_of_means", "states_for_power"]

_SEED = 20261129
_DRAWS = 1_000
_CHUNK = 2_000_000
_MOST = 20_000
"""Largest number of states that is tried."""


def power_of_means(
    units: npt.ArrayLike, states: int, *, margin: float, alpha: float = 0.05
) -> float:
    """Return the chance that bets show "not worse by the margin" if the true difference is 0.

    States are drawn from the given differences, moved so that their mean is 0 and cut at ±1. The standard
    error is at most 1.6 points.

    Args:
        units: differences in [−1, 1], for example those of an earlier run.
        states: number of initial states.
        margin: above 0.
        alpha: one-sided.
    """
    values = np.asarray(units, np.float64)
    return _power(tuple((values - values.mean()).tolist()), states, margin, alpha)


@lru_cache(maxsize=256)
def _power(units: tuple[float, ...], states: int, margin: float, alpha: float) -> float:
    rng = np.random.default_rng([_SEED, states])
    gains = (1 + np.clip(units, -1, 1)) / (1 - margin) - 1
    growth = np.log1p(np.outer(SHARES, gains))
    rows = max(1, _CHUNK // (states * len(SHARES)))
    shown = 0
    for first in range(0, _DRAWS, rows):
        size = min(rows, _DRAWS - first)
        logs: Array = growth[:, rng.integers(0, len(units), (size, states))].sum(axis=2)
        wealth = np.logaddexp.reduce(logs - math.log(len(SHARES)), axis=0)
        shown += int((wealth >= -math.log(alpha)).sum())
    return shown / _DRAWS


def states_for_power(
    units: npt.ArrayLike, *, margin: float, alpha: float = 0.05, power: float = 0.8
) -> int | None:
    """Return about the fewest states with this power; None if it takes more than 20,000."""
    low, high = 1, 16
    while power_of_means(units, high, margin=margin, alpha=alpha) < power:
        low, high = high, 2 * high
        if high > _MOST:
            return None
    while high - low > max(1, high // 20):
        middle = (low + high) // 2
        if power_of_means(units, middle, margin=margin, alpha=alpha) < power:
            low = middle
        else:
            high = middle
    return high
