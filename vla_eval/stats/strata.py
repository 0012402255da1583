"""Paired differences over tasks: the stratified score, and Cochran's test for published rates.

With the same number of pairs in every task, the pooled Tango test has the same estimate and is slightly
conservative. So the pooled test is the default. The stratified test is for sensitivity analysis and for
unequal numbers of pairs (Nam 2006, Biometrical Journal; docs/statistics.md, "Pairs").
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from vla_eval.stats._numeric import Interval, invert, z_quantile
from vla_eval.stats.paired import PairedTable, restricted_losses

__all__ = [
    "Heterogeneity",
    "heterogeneity",
    "stratified_paired_interval",
    "stratified_paired_z",
]


def stratified_paired_z(
    strata: Sequence[PairedTable], delta: float, *, weights: Sequence[float] | None = None
) -> float:
    """Return the stratified score for one common difference.

    z(Δ) = (Σ w_h Δ̂_h − Δ) / √(Σ w_h² [2 q̃_h + Δ(1 − Δ)] / n_h), q̃_h as in Tango's score.

    Args:
        strata: the table of each task, with at least one pair.
        delta: difference under the hypothesis.
        weights: weights of the strata, adding up to 1; default equal.
    """
    w = _weights(strata, weights)
    wins, losses, pairs = np.array([(t.n10, t.n01, t.n) for t in strata], dtype=np.float64).T
    d = np.asarray(delta, dtype=np.float64)
    variances = (2 * restricted_losses(wins, losses, pairs, d) + d * (1 - d)) / pairs
    variance = float(np.asarray(w) ** 2 @ variances)
    numerator = float(np.asarray(w) @ ((wins - losses) / pairs)) - delta
    if variance <= 0:
        return 0.0 if abs(numerator) < 1e-12 else math.copysign(math.inf, numerator)
    return numerator / math.sqrt(variance)


def stratified_paired_interval(
    strata: Sequence[PairedTable], *, alpha: float = 0.05, weights: Sequence[float] | None = None
) -> Interval:
    """Return the two-sided interval, by inversion of `stratified_paired_z`."""
    w = _weights(strata, weights)
    estimate = sum(weight * table.difference for weight, table in zip(w, strata, strict=True))
    return invert(
        lambda delta: stratified_paired_z(strata, delta, weights=w),
        z_quantile(1 - alpha / 2),
        estimate=estimate,
    )


def _weights(strata: Sequence[PairedTable], weights: Sequence[float] | None) -> list[float]:
    if not strata or any(table.n == 0 for table in strata):
        raise ValueError("every stratum needs pairs")
    w = [1 / len(strata)] * len(strata) if weights is None else list(weights)
    if len(w) != len(strata) or abs(sum(w) - 1) > 1e-9 or min(w) < 0:
        raise ValueError("weights must be as many as strata, not negative, and add up to 1")
    return w


@dataclass(frozen=True)
class Heterogeneity:
    """Result of Cochran's test of equal differences."""

    q: float
    df: int
    p: float


def heterogeneity(differences: npt.ArrayLike, variances: npt.ArrayLike) -> Heterogeneity:
    """Test whether differences are equal: Q = Σ (Δ̂_h − Δ̄)² / v_h, χ² with H − 1 degrees.

    Δ̄ is the mean weighted by 1/v_h (Cochran 1954).

    Raises:
        ValueError: there are fewer than two differences, or a variance is not positive.
    """
    from scipy.special import chdtrc

    d, v = np.asarray(differences, dtype=np.float64), np.asarray(variances, dtype=np.float64)
    if d.shape != v.shape or d.size < 2 or np.any(v <= 0):
        raise ValueError("two or more differences expected, each with a positive variance")
    mean = float(np.sum(d / v) / np.sum(1 / v))
    q = float(np.sum((d - mean) ** 2 / v))
    return Heterogeneity(q, d.size - 1, float(chdtrc(d.size - 1, q)))
