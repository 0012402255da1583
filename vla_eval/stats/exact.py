"""The exact unconditional test of a paired difference: the guard behind every verdict.

Hsueh, Liu and Chen 2001 (Biometrics 57:478): order the tables by Tango's score. The p-value is the
probability of a score at least as high, maximised over the nuisance parameter q. The maximum lies on
the boundary of the hypothesis, because for a fixed chance to win, the probability falls with the chance
to lose. For independent pairs the size of this test is always at most alpha. Tango's test alone reaches
7.2 % (25 pairs at 10 points, where no pair is discordant: .9^25), and 6 % from 50 pairs on.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from vla_eval.stats._numeric import Array, Ints
from vla_eval.stats.paired import tango_scores, tango_z

__all__ = [
    "binomial_pmf",
    "check_table",
    "exact_p_above",
    "exact_p_noninferior",
    "largest_losses",
    "largest_on",
    "nuisance_grid",
    "rejection_probability",
    "worst_rejection_probability",
]

_TIE = 1e-9
"""Scores closer than this are equal up to rounding."""
_GRID = 200
_FINE = 11
_PEAKS = 4
_REFINEMENTS = 2
_CELLS = 4_000_000
"""Number of probabilities held in memory at a time."""


def exact_p_noninferior(n10: int, n01: int, n: int, *, margin: float) -> float:
    """Return the exact one-sided p-value of "the candidate is worse by the margin or more".

    Args:
        n10: pairs in which only the candidate succeeded.
        n01: pairs in which only the reference succeeded.
        n: all pairs.
        margin: at least 0; with 0 this is the exact test of superiority.

    Raises:
        ValueError: the counts are impossible, or the margin is outside [0, 1).
    """
    if not 0 <= margin < 1:
        raise ValueError(f"margin {margin} is not in [0, 1)")
    return exact_p_above(n10, n01, n, delta=-margin)


@lru_cache(maxsize=8192)
def exact_p_above(n10: int, n01: int, n: int, *, delta: float) -> float:
    """Return the exact one-sided p-value of "the difference is Δ or less".

    Args:
        n10: pairs in which only the candidate succeeded.
        n01: pairs in which only the reference succeeded.
        n: all pairs.
        delta: Δ in (−1, 1), candidate minus reference.

    Raises:
        ValueError: the counts are impossible, or the difference is outside (−1, 1).
    """
    check_table(n10, n01, n, delta)
    critical = largest_losses(tango_z(n10, n01, n, delta), n, delta=delta)
    return worst_rejection_probability(critical, -delta)


def check_table(n10: int, n01: int, n: int, delta: float) -> None:
    """Raise ValueError if the counts are impossible, or the difference is outside (−1, 1)."""
    if n < 1 or n10 < 0 or n01 < 0 or n10 + n01 > n:
        raise ValueError(f"n10={n10}, n01={n01} cannot be in n={n} pairs")
    if not -1 < delta < 1:
        raise ValueError(f"difference {delta} is not in (-1, 1)")


def largest_losses(z: float, n: int, *, delta: float) -> Ints:
    """Return J: for every n10 = 0 … n the largest n01 whose score is at least z, or −1.

    The score decreases in n01, so {n01 ≤ J(n10)} is the set of tables with a score of at least z.
    """
    wins: Ints = np.arange(n + 1)
    low: Ints = np.full(n + 1, -1)
    high: Ints = n - wins + 1  # outside the set; low is inside it, or −1
    while np.any(high - low > 1):
        open_ = high - low > 1
        middle = np.maximum((low + high) // 2, 0)
        inside = tango_scores(wins, middle, n, delta) >= z - _TIE
        low, high = np.where(open_ & inside, middle, low), np.where(open_ & ~inside, middle, high)
    return low


def rejection_probability(losses: Ints, p10: npt.ArrayLike, p01: npt.ArrayLike) -> Array:
    """Return P(n01 ≤ J(n10)) for each pair of probabilities: Σ_i Bin(i; n, p10) BinCDF(J(i)).

    Given n10 = i, n01 is binomial with n − i trials and probability p01 / (1 − p10).

    Args:
        losses: J, from `largest_losses`.
        p10: probabilities that only the candidate succeeds.
        p01: probabilities that only the reference succeeds.
    """
    from scipy.special import bdtr

    n = len(losses) - 1
    first, second = np.broadcast_arrays(np.atleast_1d(p10), np.atleast_1d(p01))
    # Farther from the mean every weight is below 1e-24 (Bernstein's inequality).
    reach = 10 * np.sqrt(n * first * (1 - first)) + 40
    width = int(min(n + 1, np.ceil(2 * reach.max()) + 2))
    if first.size > 1 and first.size * width > _CELLS:
        half = first.size // 2
        parts = ((first[:half], second[:half]), (first[half:], second[half:]))
        return np.concatenate([rejection_probability(losses, *part) for part in parts])
    fewest = np.clip(np.floor(n * first - reach), 0, n + 1 - width).astype(np.int64)
    wins = fewest[:, None] + np.arange(width)
    weight = binomial_pmf(wins, n, first[:, None])
    # Most of these terms have a negligible weight, too, and are skipped.
    row, column = np.nonzero((weight > 1e-16) & (losses[wins] >= 0))
    won = wins[row, column]
    given = np.minimum(1.0, second[row] / np.maximum(1 - first[row], 1e-300))
    below = bdtr(losses[won].astype(np.float64), n - won, given)
    total = np.bincount(row, weights=weight[row, column] * below, minlength=len(first))
    return np.minimum(1.0, total)


def binomial_pmf(k: npt.ArrayLike, n: npt.ArrayLike, p: npt.ArrayLike) -> Array:
    """Return binomial probabilities; faster to import and to compute than those of scipy.stats."""
    from scipy.special import gammaln, xlog1py, xlogy

    x, trials, rate = (np.asarray(value, dtype=np.float64) for value in (k, n, p))
    choose = gammaln(trials + 1) - gammaln(x + 1) - gammaln(trials - x + 1)
    return np.asarray(np.exp(choose + xlogy(x, rate) + xlog1py(trials - x, -rate)))


def worst_rejection_probability(losses: Ints, margin: float) -> float:
    """Return the largest probability of {n01 ≤ J(n10)} at difference −margin.

    The maximum is over q, the smaller of the chances to win and to lose, in [0, (1 − abs(margin))/2];
    a negative margin is a difference above 0. The curve has up to some hundred peaks. A logarithmic
    grid finds the peaks close to 0, an even grid the others (which a logarithmic grid alone misses),
    and finer grids refine the highest points.
    """
    won, lost = max(0.0, -margin), max(0.0, margin)
    return largest_on(
        lambda q: rejection_probability(losses, q + won, q + lost),
        nuisance_grid((1 - abs(margin)) / 2),
    )


def nuisance_grid(top: float) -> Array:
    """Return points of [0, top] between which a curve of rejection probabilities has no hidden peak."""
    grid: Array = np.concatenate(
        [np.geomspace(1e-5, top, _GRID), np.arange(1, _GRID) * (top / _GRID), [0.0]]
    )
    grid.sort()
    return grid


def largest_on(curve: Callable[[Array], Array], grid: Array) -> float:
    """Return the largest value of a curve: on a sorted grid, and on finer grids at its highest points."""
    values = curve(grid)
    highest = float(values.max())
    for start in _peaks(values):
        low, high = grid[max(0, start - 1)], grid[min(len(grid) - 1, start + 1)]
        for _ in range(_REFINEMENTS):
            fine: Array = low + (high - low) * np.arange(_FINE) / (_FINE - 1)
            refined = curve(fine)
            best = int(np.argmax(refined))
            highest = max(highest, float(refined[best]))
            low, high = fine[max(0, best - 1)], fine[min(_FINE - 1, best + 1)]
    return highest


def _peaks(values: Array) -> list[int]:
    """Return the indices of the highest local maxima."""
    padded = np.concatenate([[-1.0], values, [-1.0]])
    local = np.flatnonzero((values >= padded[:-2]) & (values >= padded[2:]) & (values > 0))
    return [int(i) for i in local[np.argsort(-values[local])][:_PEAKS]]
