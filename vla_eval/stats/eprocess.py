"""Betting on non-inferiority: valid at any time, however often one looks.

D_t = +1, 0 or −1 when pair t is won, tied or lost (or any score difference in [−1, 1]). Under
"the difference is −margin or less" the wealth W_t = Π (1 + λ (D_s + margin)), 0 ≤ λ < 1/(1 − margin),
is a supermartingale, so P(W ever reaches 1/α) ≤ α (Ville). Waudby-Smith and Ramdas 2024 (JRSS B
86:1); every admissible test of a bounded mean is one like this. For runs without a largest number
of episodes; within a fixed budget `SequentialPlan` certifies far more often (docs/statistics.md, "Looks").
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from vla_eval.stats._numeric import Array, Interval, crossing

__all__ = ["Bets", "confidence_sequence", "growth_optimal_bet"]

_BETS = 24
_SMALLEST = 0.02


@dataclass(frozen=True)
class Bets:
    """A mixture of constant bets, fixed before the first episode."""

    margin: float
    design: float | None = None
    """A bet for the expected case (`growth_optimal_bet`); it gets half of the money."""

    def __post_init__(self) -> None:
        """Refuse bets that could ruin."""
        if not 0 <= self.margin < 1:
            raise ValueError(f"margin {self.margin} is not in [0, 1)")
        if self.design is not None and not 0 <= self.design < 1 / (1 - self.margin):
            raise ValueError(f"a bet of {self.design} can lose more than everything")

    def log_wealth(self, n10: int, n01: int, n: int) -> float:
        """Return log W, in closed form from the counts: their order does not matter."""
        return _log_wealth(n10, n01, n, shift=self.margin, design=self.design)

    def log_wealth_against(self, n10: int, n01: int, n: int) -> float:
        """Return log W of the mirrored bets: on "worse by more than the margin"."""
        return _log_wealth(n01, n10, n, shift=-self.margin, design=None)

    def p(self, n10: int, n01: int, n: int) -> float:
        """Return an anytime-valid p-value of non-inferiority, min(1, 1/W), at these counts."""
        return min(1.0, math.exp(-self.log_wealth(n10, n01, n)))

    def path(self, differences: npt.ArrayLike) -> Array:
        """Return log W after each of a sequence of differences in [−1, 1].

        With strata, give the mean of one pair of every task: task after task would not be valid.

        Raises:
            ValueError: a difference outside [−1, 1].
        """
        d = np.asarray(differences, dtype=np.float64)
        if d.size and np.abs(d).max() > 1:
            raise ValueError("differences must lie in [−1, 1]")
        bets, log_weights = _mixture(self.margin, self.design)
        steps = np.log1p(bets[:, None] * (d[None, :] + self.margin))
        return np.asarray(
            np.logaddexp.reduce(log_weights[:, None] + np.cumsum(steps, axis=1), axis=0)
        )


def confidence_sequence(n10: int, n01: int, n: int, *, alpha: float = 0.05) -> Interval:
    """Return an interval that holds at all times together: {Δ: neither wealth reaches 2/α}.

    Args:
        n10: pairs in which only the candidate succeeded.
        n01: pairs in which only the reference succeeded.
        n: all pairs.
        alpha: two-sided.
    """
    target = math.log(2 / alpha)
    estimate = (n10 - n01) / n

    def for_higher(delta: float) -> float:
        return _log_wealth(n10, n01, n, shift=-delta, design=None)

    def for_lower(delta: float) -> float:
        return -_log_wealth(n01, n10, n, shift=delta, design=None)

    edge = 1 - 1e-9  # at ±1 a bet can lose everything
    lower = crossing(for_higher, target, (-edge, estimate)) if n01 < n else -1.0
    upper = crossing(for_lower, -target, (estimate, edge)) if n10 < n else 1.0
    return lower, upper


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


def _mixture(shift: float, design: float | None) -> tuple[Array, Array]:
    """Return bets in [0.02, 0.9/(1 − shift)], log-spaced, and the logs of their weights."""
    top = max(_SMALLEST, 0.9 / (1 - shift))
    bets: Array = np.exp(np.linspace(math.log(_SMALLEST), math.log(top), _BETS))
    weights: Array = np.full(_BETS, 1 / _BETS)
    if design is not None:
        bets, weights = np.append(bets, design), np.append(weights / 2, 0.5)
    return bets, np.log(weights)


def _log_wealth(wins: int, losses: int, n: int, *, shift: float, design: float | None) -> float:
    bets, log_weights = _mixture(shift, design)
    logs = (
        wins * np.log1p(bets * (1 + shift))
        + losses * np.log1p(bets * (shift - 1))
        + (n - wins - losses) * np.log1p(bets * shift)
    )
    return float(np.logaddexp.reduce(log_weights + logs))
