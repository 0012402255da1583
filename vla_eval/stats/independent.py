"""Two success rates from different episodes: published and third-party numbers.

Miettinen and Nurminen 1985 (Statistics in Medicine 4:213). We have our own code because statsmodels
0.15 has a wrong coefficient in the cubic and raises an error at 100 % (its issue #10269).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from vla_eval.stats._numeric import Array, Interval, invert, normal_sf, z_quantile

__all__ = [
    "RatePair",
    "miettinen_nurminen_interval",
    "miettinen_nurminen_p_noninferior",
    "miettinen_nurminen_scores",
    "miettinen_nurminen_z",
    "newcombe_disagreement",
    "newcombe_interval",
    "restricted_rates",
    "stratified_independent_interval",
    "stratified_independent_z",
]

type RatePair = tuple[float, int, float, int]
"""(x1, n1, x2, n2): successes (or summed scores) and episodes of the candidate, then of the reference."""


def restricted_rates(
    x1: npt.ArrayLike, n1: npt.ArrayLike, x2: npt.ArrayLike, n2: npt.ArrayLike, d: npt.ArrayLike
) -> tuple[Array, Array]:
    """Return the maximum-likelihood rates (p1, p2) under p1 − p2 = d; the arguments broadcast.

    p2 is a root of N p³ + L2 p² + L1 p + L0, computed by the trigonometric formula.
    """
    a, m1, b, m2, delta = (np.asarray(value, dtype=np.float64) for value in (x1, n1, x2, n2, d))
    l3, c = m1 + m2, a + b
    l2 = (m1 + 2 * m2) * delta - l3 - c
    l1 = (m2 * delta - l3 - 2 * b) * delta + c
    l0 = b * delta * (1 - delta)
    q = l2**3 / (27 * l3**3) - l1 * l2 / (6 * l3**2) + l0 / (2 * l3)
    root = np.sqrt(np.maximum(0.0, l2**2 / (9 * l3**2) - l1 / (3 * l3)))
    p = np.where(q < 0, -root, root)
    cosine = np.where(p == 0, 1.0, q / np.where(p == 0, 1.0, p) ** 3)
    angle = (math.pi + np.arccos(np.minimum(cosine, 1.0))) / 3  # p has q's sign: not below 0
    p2 = 2 * p * np.cos(angle) - l2 / (3 * l3)
    p2 = np.clip(p2, np.maximum(0.0, -delta), np.minimum(1.0, 1 - delta))
    return np.clip(p2 + delta, 0.0, 1.0), p2


def miettinen_nurminen_scores(
    x1: npt.ArrayLike,
    n1: npt.ArrayLike,
    x2: npt.ArrayLike,
    n2: npt.ArrayLike,
    d: npt.ArrayLike,
    *,
    corrected: bool = True,
) -> Array:
    """Return Miettinen and Nurminen's scores; the arguments, as in `miettinen_nurminen_z`, broadcast.

    If the variance is 0, the score is 0 for a numerator of 0, and infinite otherwise.
    """
    a, m1, b, m2, delta = (np.asarray(value, dtype=np.float64) for value in (x1, n1, x2, n2, d))
    variance = _variance(a, m1, b, m2, delta, corrected=corrected)
    numerator = a / m1 - b / m2 - delta
    known = variance > 1e-15
    certain = np.where(np.abs(numerator) < 1e-12, 0.0, np.copysign(np.inf, numerator))
    return np.where(known, numerator / np.sqrt(np.where(known, variance, 1.0)), certain)


def _variance(x1: Array, n1: Array, x2: Array, n2: Array, d: Array, *, corrected: bool) -> Array:
    p1, p2 = restricted_rates(x1, n1, x2, n2, d)
    n = n1 + n2
    variance = p1 * (1 - p1) / n1 + p2 * (1 - p2) / n2
    return np.asarray(variance * n / (n - 1) if corrected else variance)


def miettinen_nurminen_z(
    x1: float, n1: float, x2: float, n2: float, d: float, *, corrected: bool = True
) -> float:
    """Return the score statistic for the hypothesis that the rates differ by ``d``.

    z(d) = (x1/n1 − x2/n2 − d) / √{[p1(1 − p1)/n1 + p2(1 − p2)/n2] N/(N − 1)}, with p1 and p2 the
    maximum-likelihood rates under p1 − p2 = d.

    Args:
        x1: successes of the candidate.
        n1: episodes of the candidate; not an integer if divided by a variance inflation factor.
        x2: successes of the reference.
        n2: episodes of the reference.
        d: difference under the hypothesis, in [−1, 1].
        corrected: whether to use N/(N − 1); without it, this is the test of Mee and of Farrington and
            Manning.
    """
    return float(miettinen_nurminen_scores(x1, n1, x2, n2, d, corrected=corrected))


def miettinen_nurminen_interval(
    x1: float, n1: float, x2: float, n2: float, *, alpha: float = 0.05, corrected: bool = True
) -> Interval:
    """Return the two-sided score interval for candidate minus reference.

    Args:
        x1: successes of the candidate.
        n1: episodes of the candidate.
        x2: successes of the reference.
        n2: episodes of the reference.
        alpha: two-sided.
        corrected: see `miettinen_nurminen_z`.

    Raises:
        ValueError: the counts are impossible.
    """
    if not (0 <= x1 <= n1 and 0 <= x2 <= n2 and min(n1, n2) > 0):
        raise ValueError(f"{x1}/{n1} and {x2}/{n2} are no success rates")
    return invert(
        lambda d: miettinen_nurminen_z(x1, n1, x2, n2, d, corrected=corrected),
        z_quantile(1 - alpha / 2),
        estimate=x1 / n1 - x2 / n2,
    )


def miettinen_nurminen_p_noninferior(
    x1: float, n1: int, x2: float, n2: int, *, margin: float
) -> float:
    """Return the one-sided p-value of "the candidate is worse by the margin or more"."""
    return normal_sf(miettinen_nurminen_z(x1, n1, x2, n2, -margin))


def newcombe_interval(x1: float, n1: int, x2: float, n2: int, *, alpha: float = 0.05) -> Interval:
    """Return Newcombe's hybrid-score interval (1998, method 10; statsmodels): a cross-check."""
    from statsmodels.stats.proportion import confint_proportions_2indep

    lower, upper = confint_proportions_2indep(
        x1, n1, x2, n2, method="newcomb", compare="diff", alpha=alpha
    )
    return float(lower), float(upper)


def newcombe_disagreement(x1: float, n1: int, x2: float, n2: int, *, alpha: float = 0.05) -> float:
    """Return the largest distance between the limits of Miettinen–Nurminen and of Newcombe.

    Above 0.005 the sample is so small that the choice of the method matters, and callers warn.
    """
    ours = miettinen_nurminen_interval(x1, n1, x2, n2, alpha=alpha)
    theirs = newcombe_interval(x1, n1, x2, n2, alpha=alpha)
    return max(abs(a - b) for a, b in zip(ours, theirs, strict=True))


def stratified_independent_z(
    strata: Sequence[RatePair], d: float, *, weights: Sequence[float] | None = None
) -> float:
    """Return the stratified score for one common difference, with fixed weights.

    z(d) = (Σ w_h (p̂1h − p̂2h) − d) / √Σ w_h² V_h(d), with V_h the variance at the restricted rates
    of stratum h (Miettinen and Nurminen 1985, §Stratification, with the correction of each stratum).

    Args:
        strata: counts of each stratum (task).
        d: difference under the hypothesis.
        weights: weights of the strata, adding up to 1; default equal.
    """
    x1, n1, x2, n2 = np.asarray(strata, dtype=np.float64).T
    w = np.full(len(strata), 1 / len(strata)) if weights is None else np.asarray(weights)
    numerator = float(w @ (x1 / n1 - x2 / n2)) - d
    delta = np.asarray(d, dtype=np.float64)
    variance = float(w**2 @ _variance(x1, n1, x2, n2, delta, corrected=True))
    if variance <= 1e-15:
        return 0.0 if abs(numerator) < 1e-12 else math.copysign(math.inf, numerator)
    return numerator / math.sqrt(variance)


def stratified_independent_interval(
    strata: Sequence[RatePair], *, alpha: float = 0.05, weights: Sequence[float] | None = None
) -> Interval:
    """Return the two-sided interval, by inversion of `stratified_independent_z`."""
    w = [1 / len(strata)] * len(strata) if weights is None else list(weights)
    estimate = sum(
        weight * (x1 / n1 - x2 / n2) for weight, (x1, n1, x2, n2) in zip(w, strata, strict=True)
    )
    return invert(
        lambda d: stratified_independent_z(strata, d, weights=w),
        z_quantile(1 - alpha / 2),
        estimate=estimate,
    )
