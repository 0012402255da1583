"""Published statistics that decide nothing in the evaluator: what its own are held against."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from eprocess import mixture

from vla_eval.stats import ClusteredPairs, PairedTable
from vla_eval.stats._numeric import Array, Interval, crossing, invert, z_quantile
from vla_eval.stats.proportions import wilson_interval


def newcombe_paired_interval(table: PairedTable, *, alpha: float = 0.05) -> Interval:
    """Return Newcombe's square-and-add interval, a cross-check of Tango's.

    Newcombe 1998 (Statistics in Medicine 17:2635), method 10: Wilson limits l, u of both rates,
    combined with the correlation φ, whose numerator is reduced by N/2 when positive.
    """
    ones, others = table.n11 + table.n10, table.n11 + table.n01
    p1, p2 = ones / table.n, others / table.n
    l1, u1 = wilson_interval(ones, table.n, alpha=alpha)
    l2, u2 = wilson_interval(others, table.n, alpha=alpha)
    scale = math.sqrt(ones * (table.n - ones)) * math.sqrt(others * (table.n - others))
    numerator = float(table.n11 * table.n00 - table.n10 * table.n01)
    if numerator > 0:
        numerator = max(numerator - table.n / 2, 0.0)
    phi = numerator / scale if scale else 0.0

    def reach(a: float, b: float) -> float:
        return math.sqrt(max(0.0, a * a - 2 * phi * a * b + b * b))

    return p1 - p2 - reach(p1 - l1, u2 - p2), p1 - p2 + reach(u1 - p1, p2 - l2)


def bonett_price_interval(table: PairedTable, *, alpha: float = 0.05) -> Interval:
    """Return Bonett and Price's interval, a cross-check: Wald on (n10 + 1, n01 + 1, N + 2).

    Bonett and Price 2012 (Journal of Educational and Behavioral Statistics 37:479).
    """
    p10, p01 = (table.n10 + 1) / (table.n + 2), (table.n01 + 1) / (table.n + 2)
    half = math.sqrt((p10 + p01 - (p10 - p01) ** 2) / (table.n + 2)) * z_quantile(1 - alpha / 2)
    return max(-1.0, p10 - p01 - half), min(1.0, p10 - p01 + half)


def obuchowski_z(data: ClusteredPairs, delta: float = 0.0) -> float:
    """Return √((K−1)/K) Σe_k / √Σe_k², with e_k = d_k − n_k Δ (Obuchowski 1998)."""
    e = _residuals(data, delta)
    k = len(e)
    return math.sqrt((k - 1) / k) * _ratio(float(e.sum()), float(np.sum(e**2)))


def yang_z(data: ClusteredPairs, delta: float = 0.0) -> float:
    """Return √((K−1)/K) Σe_k / √(½ Σ[(d_k − n_k Δ̂)² + e_k²]) (Yang, Sun and Hardin 2010)."""
    e = _residuals(data, delta)
    k = len(e)
    variance = 0.5 * float(np.sum(_residuals(data, data.difference) ** 2 + e**2))
    return math.sqrt((k - 1) / k) * _ratio(float(e.sum()), variance)


def durkalski_z(data: ClusteredPairs, delta: float = 0.0) -> float:
    """Return Σ(e_k/n_k) / √Σ(e_k/n_k)²: clusters weigh the same (Durkalski 2003)."""
    e = _residuals(data, delta) / data.pairs
    return _ratio(float(e.sum()), float(np.sum(e**2)))


def clustered_interval(
    data: ClusteredPairs,
    statistic: Callable[[ClusteredPairs, float], float],
    *,
    alpha: float = 0.05,
) -> Interval:
    """Return the interval that a statistic of clustered pairs gives by inversion."""
    critical = z_quantile(1 - alpha / 2)
    return invert(lambda delta: statistic(data, delta), critical, estimate=data.difference)


def _residuals(data: ClusteredPairs, delta: float) -> Array:
    return np.asarray(data.wins - data.losses - data.pairs * delta, dtype=np.float64)


def _ratio(numerator: float, variance: float) -> float:
    if variance <= 0:
        return 0.0 if numerator == 0 else math.copysign(math.inf, numerator)
    return numerator / math.sqrt(variance)


def growth_optimal_bet(p10: float, p01: float, *, margin: float) -> tuple[float, float]:
    """Return the bet under which wealth grows fastest, and its growth of log W a pair.

    λ* = argmax E log(1 + λ (D + margin)) when pairs are won with p10 and lost with p01; log(1/α)
    over the growth is about the number of pairs to a certificate.

    Raises:
        ValueError: the expected difference is not above −margin, so that no bet grows.
    """
    if p10 - p01 <= -margin:
        raise ValueError("at this difference no bet on non-inferiority grows")
    ties = 1 - p10 - p01

    def slope(bet: float) -> float:
        return (
            p10 * (1 + margin) / (1 + bet * (1 + margin))
            + ties * margin / (1 + bet * margin)
            - p01 * (1 - margin) / (1 - bet * (1 - margin))
        )

    bet = crossing(slope, 0.0, (0.0, (1 - 1e-9) / (1 - margin)))
    growth = (
        p10 * math.log1p(bet * (1 + margin))
        + ties * math.log1p(bet * margin)
        + p01 * math.log1p(-bet * (1 - margin))
    )
    return bet, growth


def log_wealth(n10: int, n01: int, n: int, *, margin: float, design: float | None = None) -> float:
    """Return log W of the bets in closed form from the counts: their order does not matter."""
    bets, log_weights = mixture(margin, design)
    logs = (
        n10 * np.log1p(bets * (1 + margin))
        + n01 * np.log1p(bets * (margin - 1))
        + (n - n10 - n01) * np.log1p(bets * margin)
    )
    return float(np.logaddexp.reduce(log_weights + logs))
