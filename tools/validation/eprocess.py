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

from vla_eval.stats._numeric import Array

__all__ = ["Bets", "mixture"]

_BETS = 24
_SMALLEST = 0.02


@dataclass(frozen=True)
class Bets:
    """A mixture of constant bets, fixed before the first episode."""

    margin: float
    design: float | None = None
    """A bet for the expected case; it gets half of the money."""

    def __post_init__(self) -> None:
        """Refuse bets that could ruin."""
        if not 0 <= self.margin < 1:
            raise ValueError(f"margin {self.margin} is not in [0, 1)")
        if self.design is not None and not 0 <= self.design < 1 / (1 - self.margin):
            raise ValueError(f"a bet of {self.design} can lose more than everything")

    def path(self, differences: npt.ArrayLike) -> Array:
        """Return log W after each of a sequence of differences in [−1, 1].

        With strata, give the mean of one pair of every task: task after task would not be valid.

        Raises:
            ValueError: a difference outside [−1, 1].
        """
        d = np.asarray(differences, dtype=np.float64)
        if d.size and np.abs(d).max() > 1:
            raise ValueError("differences must lie in [−1, 1]")
        bets, log_weights = mixture(self.margin, self.design)
        steps = np.log1p(bets[:, None] * (d[None, :] + self.margin))
        return np.asarray(
            np.logaddexp.reduce(log_weights[:, None] + np.cumsum(steps, axis=1), axis=0)
        )


def mixture(shift: float, design: float | None) -> tuple[Array, Array]:
    """Return bets in [0.02, 0.9/(1 − shift)], log-spaced, and the logs of their weights."""
    top = max(_SMALLEST, 0.9 / (1 - shift))
    bets: Array = np.exp(np.linspace(math.log(_SMALLEST), math.log(top), _BETS))
    weights: Array = np.full(_BETS, 1 / _BETS)
    if design is not None:
        bets, weights = np.append(bets, design), np.append(weights / 2, 0.5)
    return bets, np.log(weights)
