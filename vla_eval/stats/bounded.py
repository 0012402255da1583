"""A mean of bounded, independent units, tested by betting: valid for any distribution.

Unit k gives x_k in [−1, 1] and counts with weight v_k (adding up to 1). Under "Σ v_k E x_k ≤ Δ" the
wealth of a portfolio that keeps a share f_k in

    W = Π (1 − f_k + f_k (1 + x_k)/(1 + Δ)),   f_k = f v_k / max v,   0 ≤ f ≤ 1,

has expectation at most 1, for any distribution of the units: with μ_k = E x_k the factors have
expectation 1 + f_k (μ_k − Δ)/(1 + Δ) ≤ exp(f_k (μ_k − Δ)/(1 + Δ)), and Σ v_k (μ_k − Δ) ≤ 0. So
min(1, 1/W) is a p-value (Markov), also for a mixture of portfolios. Units must be independent, but not
identically distributed: tasks may differ in difficulty, and states in weight. Waudby-Smith and Ramdas
2024 (JRSS B 86:1); the number of units is fixed here, so their order does not matter.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from vla_eval.stats._numeric import Array, Interval, crossing

__all__ = ["SHARES", "bet_interval", "bet_p_above", "log_wealth"]

SHARES = (0.25, 0.5, 0.75, 0.98)
"""Shares f of the mixture's portfolios, which have equal weights. Large shares are good if units hardly
vary, small shares if they vary much. All are below 1, so that one lost unit does not make W zero."""
_EDGE = 1e-9
_TOLERANCE = 1e-4
"""Largest outward rounding of an interval's limits."""


def log_wealth(x: Array, delta: float, weights: Array | None = None) -> float:
    """Return log W of the mixture against "the weighted mean is Δ or less".

    Args:
        x: (K,) values in [−1, 1].
        delta: Δ, above −1.
        weights: (K,) adding up to 1; default equal.
    """
    share = 1.0 if weights is None else weights / float(np.max(weights))
    gain = (1 + x) / (1 + delta) - 1
    logs = [float(np.sum(np.log1p(f * share * gain))) for f in SHARES]
    return float(np.logaddexp.reduce(np.array(logs) - math.log(len(SHARES))))


def bet_p_above(x: Array, delta: float, weights: Array | None = None) -> float:
    """Return the p-value of "the weighted mean is Δ or less"; arguments as in `log_wealth`."""
    return min(1.0, math.exp(-log_wealth(x, delta, weights)))


def bet_interval(x: Array, *, alpha: float, weights: Array | None = None) -> Interval:
    """Return the two-sided interval: all Δ that neither one-sided test rejects at alpha/2."""
    v = np.full(len(x), 1 / len(x)) if weights is None else weights
    estimate = float(v @ x)
    return interval_of(
        lambda delta: bet_p_above(x, delta, weights),
        lambda delta: bet_p_above(-x, -delta, weights),
        estimate=estimate,
        alpha=alpha,
    )


def interval_of(
    p_above: Callable[[float], float],
    p_below: Callable[[float], float],
    *,
    estimate: float,
    alpha: float,
) -> Interval:
    """Return {Δ: neither one-sided test rejects at alpha/2}, rounded outwards.

    Args:
        p_above: p-value of "the difference is Δ or less", rising in Δ.
        p_below: p-value of "the difference is Δ or more", falling in Δ.
        estimate: a value inside.
        alpha: two-sided.
    """
    half = alpha / 2
    lower, upper = -1.0, 1.0
    if p_above(-1 + _EDGE) <= half:
        start = min(estimate, 1 - _EDGE)
        limit = crossing(lambda d: -p_above(d), -half, (-1 + _EDGE, start), tolerance=_TOLERANCE)
        lower = max(-1.0, limit - _TOLERANCE)
    if p_below(1 - _EDGE) <= half:
        start = max(estimate, -1 + _EDGE)
        limit = crossing(p_below, half, (start, 1 - _EDGE), tolerance=_TOLERANCE)
        upper = min(1.0, limit + _TOLERANCE)
    return lower, upper
