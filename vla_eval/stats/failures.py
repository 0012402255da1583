"""The ratio of two failure rates, which shows what a difference hides near a success rate of 1.

At a success rate of 98 % a margin of 5 points permits 3.5 times the failures.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from vla_eval.stats._numeric import Interval, crossing, z_quantile
from vla_eval.stats.paired import PairedTable

__all__ = ["failure_ratio_independent", "failure_ratio_paired"]

_LOG_BOUND = math.log(1e9)


def failure_ratio_paired(
    table: PairedTable, *, alpha: float = 0.05, inflation: float = 1.0
) -> Interval:
    """Return the score interval of (1 − p_candidate) / (1 − p_reference) from paired episodes.

    Nam and Blackwelder 2002 (Statistics in Medicine 21:689). With f1 = n01 + n00 and f2 = n10 + n00
    failures and θ the ratio, z(θ) = (f1 − θ f2) / √(N θ (q1 + q2)), where q1 and q2, the restricted
    estimates of "only the candidate fails" and "only the reference fails", obey f1 = θ f2.

    Args:
        table: counts of pairs.
        alpha: two-sided.
        inflation: variance inflation factor by which the counts are divided, if pairs are repeats.

    Returns:
        (lower, upper); upper is infinite if the reference has no failure, and without any failure
        the interval is (0, inf).
    """
    n, ours, theirs = table.n, table.n01, table.n10

    def statistic(ratio: float) -> float:
        p1, p2 = (table.n00 + ours) / n, (table.n00 + theirs) / n
        root = (p1 - ratio**2 * p2) ** 2 + 4 * ratio**2 * ours * theirs / n**2
        q2 = ratio**2 * (p2 + 2 * ours / n) - p1 + math.sqrt(root)
        q2 = max(0.0, q2 / (2 * ratio * (ratio + 1)))
        q1 = max(0.0, ratio * q2 - (ratio - 1) * (1 - table.n11 / n))
        return _standardised(p1 - ratio * p2, inflation * ratio * (q1 + q2) / n)

    return _ratio_interval(statistic, table.n00 + ours, table.n00 + theirs, alpha)


def failure_ratio_independent(
    x1: float, n1: int, x2: float, n2: int, *, alpha: float = 0.05
) -> Interval:
    """Return Miettinen and Nurminen's score interval of the ratio of failure rates, unpaired.

    Statistics in Medicine 4:213 (1985): z(θ) = (f1 − θ f2) / √([q1(1 − q1)/n1 + θ² q2(1 − q2)/n2]
    N/(N − 1)), q1 = θ q2, and q2 the smaller root of
    N θ q² − (n1 θ + x1 + n2 + x2 θ) q + x1 + x2 = 0, with x the failures.

    Args:
        x1: successes of the candidate.
        n1: episodes of the candidate.
        x2: successes of the reference.
        n2: episodes of the reference.
        alpha: two-sided.
    """
    f1, f2, n = n1 - x1, n2 - x2, n1 + n2

    def statistic(ratio: float) -> float:
        b = n1 * ratio + f1 + n2 + f2 * ratio
        root = math.sqrt(max(0.0, b * b - 4 * n * ratio * (f1 + f2)))
        q2 = min(1.0, 2 * (f1 + f2) / (b + root))
        q1 = min(1.0, ratio * q2)
        variance = q1 * (1 - q1) / n1 + ratio**2 * q2 * (1 - q2) / n2
        return _standardised(f1 / n1 - ratio * f2 / n2, variance * n / (n - 1))

    return _ratio_interval(statistic, f1, f2, alpha)


def _standardised(numerator: float, variance: float) -> float:
    if variance <= 0:
        return 0.0 if numerator == 0 else math.copysign(math.inf, numerator)
    return numerator / math.sqrt(variance)


def _ratio_interval(
    statistic: Callable[[float], float], f1: float, f2: float, alpha: float
) -> Interval:
    """Invert a test of the ratio on the log scale; a limit is exactly 0 or infinite if f1 or f2 is 0."""
    z = z_quantile(1 - alpha / 2)

    def of_log(log_ratio: float) -> float:
        return statistic(math.exp(log_ratio))

    bounds = (-_LOG_BOUND, _LOG_BOUND)
    lower = math.exp(crossing(of_log, z, bounds)) if f1 else 0.0
    upper = math.exp(crossing(of_log, -z, bounds)) if f2 else math.inf
    return lower, upper
