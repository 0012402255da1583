"""How repeats of states were judged until they were attacked: the wrong method that bars must catch.

Tango's score of the pooled pairs over √VIF, the VIF being 1 where no pair is discordant; Student's t
below 50 states; and the exact test of the pooled pairs as a guard, which takes them for independent.
"""

from __future__ import annotations

import math

import numpy as np

from vla_eval.stats import (
    ClusteredPairs,
    ClusteredRate,
    exact_p_noninferior,
    tango_z,
    wilson_interval,
)
from vla_eval.stats._numeric import z_quantile
from vla_eval.stats.exact import rejection_probability

_FEW = 50
ALPHA = 0.05


def vif(data: ClusteredPairs) -> float:
    """Return the variance inflation factor, at least 1; 1 where no pair is discordant."""
    independent = float((data.wins + data.losses).sum()) / data.n - data.difference**2
    if independent <= 0:
        return 1.0
    return max(1.0, data.standard_error**2 * data.n / independent)


def score(data: ClusteredPairs, delta: float) -> float:
    """Return Tango's score of the pooled pairs over √VIF."""
    won, lost = int(data.wins.sum()), int(data.losses.sum())
    return tango_z(won, lost, data.n, delta) / math.sqrt(vif(data))


def covers(data: ClusteredPairs, delta: float, *, alpha: float = 2 * ALPHA) -> bool:
    """Whether the two-sided interval, by inversion of the score, holds a difference."""
    return abs(score(data, delta)) <= _critical(len(data.pairs), 1 - alpha / 2)


def certifies(data: ClusteredPairs, *, margin: float, alpha: float = ALPHA) -> bool:
    """Whether "not worse by the margin" was certified."""
    if score(data, -margin) <= _critical(len(data.pairs), 1 - alpha):
        return False
    won, lost = int(data.wins.sum()), int(data.losses.sum())
    return exact_p_noninferior(won, lost, data.n, margin=margin) <= alpha


def error(states: int, repeats: int, margin: float) -> float:
    """Return the largest error at the margin over the nuisance parameter, repeats being copies."""
    border = np.full(states + 1, -1)
    for won in range(states + 1):
        passed = [
            certifies(_copies(states, repeats, won, lost), margin=margin)
            for lost in range(states + 1 - won)
        ]
        border[won] = sum(passed) - 1
        if not all(passed[: border[won] + 1]):
            raise AssertionError("a table passes that has more lost states than one that does not")
    top = (1 - margin) / 2
    grid = np.concatenate([np.linspace(0, top, 3000), np.geomspace(1e-6, top, 500)])
    return float(rejection_probability(border, grid, grid + margin).max())


def rate_interval(data: ClusteredRate, *, alpha: float = 0.05) -> tuple[float, float]:
    """Return one arm's interval of the counts over a VIF that is 1 where all or none succeed."""
    p, k = data.rate, len(data.episodes)
    inflation = 1.0
    if 0 < p < 1:
        between = float(np.sum((data.successes - data.episodes * p) ** 2))
        inflation = max(1.0, k / (k - 1) * between / (data.n * p * (1 - p)))
    return wilson_interval(data.successes.sum() / inflation, data.n / inflation, alpha=alpha)


def _copies(states: int, repeats: int, won: int, lost: int) -> ClusteredPairs:
    number = np.arange(states)
    return ClusteredPairs(
        np.full(states, repeats),
        np.where(number < won, repeats, 0),
        np.where(number >= states - lost, repeats, 0),
    )


def _critical(states: int, p: float) -> float:
    if states >= _FEW:
        return z_quantile(p)
    from scipy.special import stdtrit

    return float(stdtrit(states - 1, p))
