"""Clustered pairs: several runs of the same initial state are not independent pairs.

Cluster k is an initial state with n_k pairs. In b_k of them only the candidate succeeded, in c_k only
the reference; d_k = b_k − c_k, N = Σ n_k, Δ̂ = Σ d_k / N, K clusters. States are independent, and the
repeats of a state may depend on each other in any way. Two tests keep their level then:

- ``worst-repeat``: a state counts as lost if any of its repeats is lost, and as won only if all are
  won. The recoded mean lies below the true one, so the exact unconditional test of K pairs holds.
- ``bets``: betting on the states' mean differences (`vla_eval.stats.bounded`), which has more power if
  repeats are nearly independent.

``both`` takes the smaller p-value, doubled (Bonferroni). The common method of dividing Tango's score by
√VIF errs in up to 36 % instead of 5 %, because the estimated VIF is 1 if no pair is discordant.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np

from vla_eval.stats._numeric import Array, Interval, Ints
from vla_eval.stats.bounded import bet_p_above, interval_of
from vla_eval.stats.exact import exact_p_above
from vla_eval.stats.proportions import wilson_interval

__all__ = ["CLUSTER_TESTS", "ClusterTest", "ClusteredPairs", "ClusteredRate"]

ClusterTest = Literal["worst-repeat", "bets", "both"]
CLUSTER_TESTS: tuple[ClusterTest, ...] = ("worst-repeat", "bets", "both")


@dataclass(frozen=True)
class ClusteredPairs:
    """Counts of each cluster: pairs, pairs won by the candidate, pairs won by the reference."""

    pairs: Ints
    wins: Ints
    losses: Ints

    def __post_init__(self) -> None:
        """Refuse shapes and counts that cannot be."""
        shapes = {self.pairs.shape, self.wins.shape, self.losses.shape}
        if len(shapes) != 1 or self.pairs.ndim != 1 or not len(self.pairs):
            raise ValueError("pairs, wins and losses must be vectors of one length, at least 1")
        if np.any(self.wins < 0) or np.any(self.losses < 0) or np.any(self.pairs < 1):
            raise ValueError("negative counts, or a cluster without pairs")
        if np.any(self.wins + self.losses > self.pairs):
            raise ValueError("a cluster has more discordant pairs than pairs")

    @property
    def n(self) -> int:
        """Pairs in all clusters."""
        return int(self.pairs.sum())

    @property
    def difference(self) -> float:
        """Success rate of the candidate minus that of the reference."""
        return float((self.wins - self.losses).sum()) / self.n

    @property
    def standard_error(self) -> float:
        """Robust standard error of the difference: √(K/(K−1) Σ(d_k − n_k Δ̂)²) / N; K > 1."""
        k = len(self.pairs)
        if k == 1:
            return math.inf
        return (
            math.sqrt(k / (k - 1) * float(np.sum(self._residuals(self.difference) ** 2))) / self.n
        )

    @cached_property
    def vif(self) -> float:
        """Variance inflation factor, at least 1: robust variance over that of independent pairs.

        [K/(K−1) Σ(d_k − n_k Δ̂)²] / (N [(n10 + n01)/N − Δ̂²]), after adding one state that is won in
        all repeats and one that is lost in all. So without a discordant pair it is the number of
        repeats instead of 1. It is descriptive; no verdict uses it.
        """
        repeats = round(self.n / len(self.pairs))
        more = ClusteredPairs(
            np.append(self.pairs, [repeats, repeats]),
            np.append(self.wins, [repeats, 0]),
            np.append(self.losses, [0, repeats]),
        )
        independent = float((more.wins + more.losses).sum()) / more.n - more.difference**2
        ratio = more.standard_error**2 * more.n / independent
        return min(float(self.pairs.max()), max(1.0, ratio))

    @property
    def equal(self) -> bool:
        """Whether all states have the same number of repeats."""
        return bool(np.all(self.pairs == self.pairs[0]))

    def swapped(self) -> ClusteredPairs:
        """Return the counts with the arms exchanged."""
        return ClusteredPairs(self.pairs, self.losses, self.wins)

    def p_above(self, delta: float, *, test: ClusterTest = "both") -> float:
        """Return the one-sided p-value of "the difference is Δ or less".

        With unequal numbers of repeats ``both`` is ``bets``, weighted by these numbers.

        Args:
            delta: Δ in (−1, 1), candidate minus reference.
            test: see the module.

        Raises:
            ValueError: the test is ``worst-repeat``, but the numbers of repeats are unequal.
        """
        if test == "bets" or (test == "both" and not self.equal):
            means = (self.wins - self.losses) / self.pairs
            return bet_p_above(means, delta, None if self.equal else self.pairs / self.n)
        if not self.equal:
            raise ValueError("'worst-repeat' needs the same number of repeats of every state")
        if test == "worst-repeat":
            won = int(np.sum(self.wins == self.pairs))
            lost = int(np.sum(self.losses > 0))
            return exact_p_above(won, lost, len(self.pairs), delta=delta)
        p_values = [self.p_above(delta, test="worst-repeat"), self.p_above(delta, test="bets")]
        return min(1.0, 2 * min(p_values))

    def p_below(self, delta: float, *, test: ClusterTest = "both") -> float:
        """Return the one-sided p-value of "the difference is Δ or more"; see `p_above`."""
        return self.swapped().p_above(-delta, test=test)

    def p_noninferior(self, *, margin: float, test: ClusterTest = "both") -> float:
        """Return the one-sided p-value of "the candidate is worse by the margin or more"."""
        return self.p_above(-margin, test=test)

    def p_different(self, *, test: ClusterTest = "both") -> float:
        """Return the two-sided p-value of "the arms succeed equally often"."""
        return min(1.0, 2 * min(self.p_above(0.0, test=test), self.p_below(0.0, test=test)))

    def interval(self, *, alpha: float = 0.05, test: ClusterTest = "both") -> Interval:
        """Return the two-sided interval: the differences that neither one-sided test rejects."""
        return interval_of(
            lambda delta: self.p_above(delta, test=test),
            lambda delta: self.p_below(delta, test=test),
            estimate=self.difference,
            alpha=alpha,
        )

    def _residuals(self, delta: float) -> Array:
        return np.asarray(self.wins - self.losses - self.pairs * delta, dtype=np.float64)


@dataclass(frozen=True)
class ClusteredRate:
    """One success rate from several episodes of each initial state."""

    episodes: Ints
    """Number of episodes in each cluster, (K,)."""
    successes: Ints
    """Number of successes in each cluster, (K,)."""

    def __post_init__(self) -> None:
        """Refuse shapes and counts that cannot be."""
        if self.episodes.ndim != 1 or self.episodes.shape != self.successes.shape:
            raise ValueError("episodes and successes must be vectors of one length")
        if not len(self.episodes) or np.any(self.episodes < 1) or np.any(self.successes < 0):
            raise ValueError("one cluster or more expected, each with episodes")
        if np.any(self.successes > self.episodes):
            raise ValueError("a cluster has more successes than episodes")

    @property
    def n(self) -> int:
        """Episodes in all clusters."""
        return int(self.episodes.sum())

    @property
    def rate(self) -> float:
        """Success rate over all episodes."""
        return float(self.successes.sum()) / self.n

    @property
    def vif(self) -> float:
        """Variance inflation factor: [K/(K−1) Σ(x_k − n_k p̂)²] / (N p̂ (1 − p̂)), at least 1.

        It is computed after adding one state that always succeeds and one that never does, and is at
        most the largest number of repeats: 100 successes of 25 states are worth 25 episodes, not 100.
        """
        repeats = round(self.n / len(self.episodes))
        episodes = np.append(self.episodes, [repeats, repeats])
        successes = np.append(self.successes, [repeats, 0])
        k, n = len(episodes), float(episodes.sum())
        p = float(successes.sum()) / n
        between = float(np.sum((successes - episodes * p) ** 2))
        ratio = k / (k - 1) * between / (n * p * (1 - p))
        return min(float(self.episodes.max()), max(1.0, ratio))

    @property
    def effective(self) -> tuple[float, float]:
        """Return (successes, episodes), both divided by the variance inflation factor."""
        return float(self.successes.sum()) / self.vif, self.n / self.vif

    def interval(self, *, alpha: float = 0.05) -> Interval:
        """Return Wilson's two-sided interval of the effective counts."""
        return wilson_interval(*self.effective, alpha=alpha)
