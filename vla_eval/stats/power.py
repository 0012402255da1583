"""Exact power and sample size of non-inferiority, paired and unpaired.

Exact power is a sum over all tables. It does not rise steadily with N, so a sample size here is the N
from which on the power stays at the target or above (docs/statistics.md, "Sample sizes").
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from vla_eval.stats._numeric import Ints, z_quantile
from vla_eval.stats.design import PairedCase, pairs_by_formula
from vla_eval.stats.exact import (
    binomial_pmf,
    largest_losses,
    rejection_probability,
    worst_rejection_probability,
)
from vla_eval.stats.independent import miettinen_nurminen_scores

__all__ = [
    "episodes_per_arm",
    "guarded_critical_score",
    "pairs_needed",
    "power_independent",
    "power_paired",
    "smallest_margin",
]


def power_paired(
    n: int, case: PairedCase, *, margin: float, alpha: float = 0.05, guard: bool = False
) -> float:
    """Return the exact power of Tango's test with n pairs: a sum over all tables.

    Args:
        n: number of pairs.
        case: the true probabilities.
        margin: above 0.
        alpha: one-sided.
        guard: also require the exact unconditional test, as a certificate does.
    """
    z = z_quantile(1 - alpha)
    z = guarded_critical_score(n, margin=margin, alpha=alpha) if guard else z
    losses = largest_losses(z, n, delta=-margin)
    return float(rejection_probability(losses, max(0.0, case.p10), max(0.0, case.p01))[0])


def guarded_critical_score(n: int, *, margin: float, alpha: float = 0.05) -> float:
    """Return the score from which on both Tango's and the exact test pass, with n pairs.

    The exact p-value falls as the score rises, so the exact test amounts to a higher critical score. It
    is infinite if no table passes.
    """
    nominal = z_quantile(1 - alpha)

    def passes(z: float) -> bool:
        losses = largest_losses(z, n, delta=-margin)
        return worst_rejection_probability(losses, margin) <= alpha

    if passes(nominal):
        return nominal
    low, high = nominal, nominal + 2
    while not passes(high):
        low, high = high, high + 2
        if high > 40:
            return math.inf
    for _ in range(30):
        middle = (low + high) / 2
        low, high = (low, middle) if passes(middle) else (middle, high)
    return high


def pairs_needed(
    case: PairedCase,
    *,
    margin: float,
    alpha: float = 0.05,
    power: float = 0.8,
    guard: bool = False,
) -> int:
    """Return the number of pairs from which on the exact power stays at the target or above."""
    guess = pairs_by_formula(case, margin=margin, alpha=alpha, power=power)

    def reaches(n: int) -> bool:
        if power_paired(n, case, margin=margin, alpha=alpha) < power:
            return False
        return not guard or _reaches_guarded(n, case, margin=margin, alpha=alpha, power=power)

    return _stays(reaches, guess)


def _reaches_guarded(
    n: int, case: PairedCase, *, margin: float, alpha: float, power: float
) -> bool:
    """Whether the power suffices with the exact test.

    This searches for the highest critical score with enough power, and checks its size once: the power
    is cheap to compute, and the size is expensive.
    """
    p10, p01 = max(0.0, case.p10), max(0.0, case.p01)
    low = z_quantile(1 - alpha)
    high = low + 3
    for _ in range(16):
        middle = (low + high) / 2
        losses = largest_losses(middle, n, delta=-margin)
        enough = float(rejection_probability(losses, p10, p01)[0]) >= power
        low, high = (middle, high) if enough else (low, middle)
    return worst_rejection_probability(largest_losses(low, n, delta=-margin), margin) <= alpha


def smallest_margin(
    n: int, case: PairedCase, *, alpha: float = 0.05, power: float = 0.8, guard: bool = False
) -> float:
    """Return the smallest margin, to 0.0005, that n pairs certify with the given power.

    Raises:
        ValueError: even a margin of 0.5 cannot be certified.
    """
    low, high = 0, 1000  # in half thousandths; low fails, high suffices

    def reaches(step: int) -> bool:
        margin = step / 2000
        return power_paired(n, case, margin=margin, alpha=alpha, guard=guard) >= power

    if not reaches(high):
        raise ValueError(f"{n} pairs certify nothing with a power of {power:g}")
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if reaches(middle) else (middle, high)
    return high / 2000


def power_independent(
    n: int, p_candidate: float, p_reference: float, *, margin: float, alpha: float = 0.05
) -> float:
    """Return the exact power of Miettinen and Nurminen's test with n episodes in each arm."""
    from scipy.special import bdtr

    z, x2 = z_quantile(1 - alpha), np.arange(n + 1)
    low: Ints = np.full(n + 1, -1)  # does not pass
    high: Ints = np.full(n + 1, n + 1)  # passes
    while np.any(high - low > 1):
        middle = np.clip((low + high) // 2, 0, n)
        passes = miettinen_nurminen_scores(middle, n, x2, n, -margin) >= z
        unsettled = high - low > 1
        high = np.where(unsettled & passes, middle, high)
        low = np.where(unsettled & ~passes, middle, low)
    below = np.where(high > 0, bdtr(np.maximum(high - 1.0, 0.0), n, p_candidate), 0.0)
    return float(binomial_pmf(x2, n, p_reference) @ (1 - below))


def episodes_per_arm(
    p_candidate: float,
    p_reference: float,
    *,
    margin: float,
    alpha: float = 0.05,
    power: float = 0.8,
) -> int:
    """Return the episodes per arm from which on the unpaired power stays at the target or above."""
    case = PairedCase(p_reference, p_candidate - p_reference)
    guess = pairs_by_formula(case, margin=margin, alpha=alpha, power=power)

    def reaches(n: int) -> bool:
        return power_independent(n, p_candidate, p_reference, margin=margin, alpha=alpha) >= power

    return _stays(reaches, guess)


def _stays(reaches: Callable[[int], bool], guess: int) -> int:
    """Return the N from which on ``reaches`` holds, by a search down from well above the guess."""
    n = math.ceil(1.03 * guess) + 40
    while not reaches(n):
        n = math.ceil(1.1 * n)
    while n > 1 and reaches(n - 1):
        n -= 1
    return n
