"""Power of the tests on mean differences, by simulation with a fixed seed."""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from vla_eval.stats._numeric import Array
from vla_eval.stats.bounded import SHARES
from vla_eval.stats.cluster_power import most_losses

__all__ = ["power_of_means", "states_for_power"]

_SEED = 20261129
_DRAWS = 1_000
_CHUNK = 2_000_000
_MOST = 20_000
"""Largest number of states that is tried; with the exact test, a tenth of it."""


def power_of_means(
    units: npt.ArrayLike, states: int, *, margin: float, alpha: float = 0.05, exact: bool = False
) -> float:
    """Return the chance that the tests of `MeanDifferences` show "not worse by the margin".

    The standard error is at most 1.6 points.

    Args:
        units: differences in [−1, 1], from which states are drawn with equal chances.
        states: number of initial states.
        margin: above 0.
        alpha: one-sided.
        exact: whether the exact test joins the bets.
    """
    return _power(tuple(np.asarray(units, np.float64).tolist()), states, margin, alpha, exact=exact)


@lru_cache(maxsize=256)
def _power(
    units: tuple[float, ...], states: int, margin: float, alpha: float, *, exact: bool
) -> float:
    rng = np.random.default_rng([_SEED, states])
    growth = np.log1p(np.outer(SHARES, (1 + np.array(units)) / (1 - margin) - 1))
    level = alpha / 2 if exact else alpha
    rows = max(1, _CHUNK // (states * len(SHARES)))
    shown = 0
    for first in range(0, _DRAWS, rows):
        drawn = rng.integers(0, len(units), (min(rows, _DRAWS - first), states))
        logs: Array = growth[:, drawn].sum(axis=2)
        passes = np.logaddexp.reduce(logs, axis=0) - math.log(len(SHARES)) >= -math.log(level)
        if exact:
            values = np.array(units)[drawn]
            won, lost = (values >= 1).sum(axis=1), (values < 0).sum(axis=1)
            passes |= lost <= most_losses(states, margin, level)[won]
        shown += int(passes.sum())
    return shown / _DRAWS


def states_for_power(
    units: npt.ArrayLike,
    *,
    margin: float,
    alpha: float = 0.05,
    exact: bool = False,
    power: float = 0.8,
) -> int | None:
    """Return about the fewest states with this power; None if it takes too many to be computed."""

    def enough(states: int) -> bool:
        return power_of_means(units, states, margin=margin, alpha=alpha, exact=exact) >= power

    low, high, most = 1, 16, _MOST // 10 if exact else _MOST
    while not enough(high):
        low, high = high, 2 * high
        if high > most:
            return None
    while high - low > max(1, high // 20):
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return high
