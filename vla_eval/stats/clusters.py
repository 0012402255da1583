"""Clustered pairs: several runs of the same initial state are not independent pairs.

Cluster k has n_k pairs, in b_k of which only the candidate succeeded and in c_k only the reference;
d_k = b_k − c_k, N = Σ n_k, Δ̂ = Σ d_k / N, K clusters. Pooling such pairs raises the error of a
5 % test to 7–10 % (statistics.md §2.4). Our own test is Tango's score divided by √VIF; Obuchowski
1998 (Statistics in Medicine 17:1495), Durkalski 2003 and Yang, Sun and Hardin 2010 cross-check it.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from vla_eval.stats._numeric import Array, Interval, Ints, invert, normal_sf, z_quantile
from vla_eval.stats.paired import tango_z
from vla_eval.stats.proportions import wilson_interval

__all__ = ["ClusteredPairs", "ClusteredRate"]

_FEW = 50
"""With fewer clusters Student's t replaces the normal distribution."""


@dataclass(frozen=True)
class ClusteredPairs:
    """Counts of each cluster: pairs, pairs won by the candidate, pairs won by the reference."""

    pairs: Ints
    wins: Ints
    losses: Ints

    def __post_init__(self) -> None:
        """Refuse shapes and counts that cannot be."""
        shapes = {self.pairs.shape, self.wins.shape, self.losses.shape}
        if len(shapes) != 1 or self.pairs.ndim != 1 or len(self.pairs) < 2:
            raise ValueError("pairs, wins and losses must be vectors of one length, at least 2")
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
        """Robust standard error of the difference: √(K/(K−1) Σ(d_k − n_k Δ̂)²) / N."""
        k = len(self.pairs)
        return (
            math.sqrt(k / (k - 1) * float(np.sum(self._residuals(self.difference) ** 2))) / self.n
        )

    @property
    def vif(self) -> float:
        """Variance inflation factor, at least 1: robust variance over that of independent pairs.

        [K/(K−1) Σ(d_k − n_k Δ̂)²] / (N [(n10 + n01)/N − Δ̂²])
        """
        independent = float((self.wins + self.losses).sum()) / self.n - self.difference**2
        if independent <= 0:
            return 1.0
        return max(1.0, self.standard_error**2 * self.n / independent)

    def tango_z(self, delta: float) -> float:
        """Return Tango's score of the pooled table, divided by √VIF."""
        pooled = tango_z(int(self.wins.sum()), int(self.losses.sum()), self.n, delta)
        return pooled / math.sqrt(self.vif)

    def interval(self, *, alpha: float = 0.05) -> Interval:
        """Return the two-sided interval; with fewer than 50 clusters by Student's t."""
        return self._inverted(self.tango_z, self._quantile(1 - alpha / 2))

    def p_noninferior(self, *, margin: float) -> float:
        """Return the one-sided p-value of "the candidate is worse by the margin or more"."""
        z = self.tango_z(-margin)
        if len(self.pairs) >= _FEW:
            return normal_sf(z)
        from scipy.special import stdtr

        return float(stdtr(len(self.pairs) - 1, -z))

    def obuchowski_z(self, delta: float = 0.0) -> float:
        """Return √((K−1)/K) Σe_k / √Σe_k², with e_k = d_k − n_k Δ."""
        e = self._residuals(delta)
        k = len(e)
        return math.sqrt((k - 1) / k) * _ratio(float(e.sum()), float(np.sum(e**2)))

    def yang_z(self, delta: float = 0.0) -> float:
        """Return √((K−1)/K) Σe_k / √(½ Σ[(d_k − n_k Δ̂)² + e_k²]), with e_k = d_k − n_k Δ."""
        e = self._residuals(delta)
        k = len(e)
        variance = 0.5 * float(np.sum(self._residuals(self.difference) ** 2 + e**2))
        return math.sqrt((k - 1) / k) * _ratio(float(e.sum()), variance)

    def durkalski_z(self, delta: float = 0.0) -> float:
        """Return Σ(e_k/n_k) / √Σ(e_k/n_k)², with e_k = d_k − n_k Δ: clusters weigh the same."""
        e = self._residuals(delta) / self.pairs
        return _ratio(float(e.sum()), float(np.sum(e**2)))

    def obuchowski_interval(self, *, alpha: float = 0.05) -> Interval:
        """Return the interval that Obuchowski's statistic gives by inversion."""
        return self._inverted(self.obuchowski_z, z_quantile(1 - alpha / 2))

    def yang_interval(self, *, alpha: float = 0.05) -> Interval:
        """Return the interval that the statistic of Yang, Sun and Hardin gives by inversion."""
        return self._inverted(self.yang_z, z_quantile(1 - alpha / 2))

    def _residuals(self, delta: float) -> Array:
        return np.asarray(self.wins - self.losses - self.pairs * delta, dtype=np.float64)

    def _quantile(self, p: float) -> float:
        if len(self.pairs) >= _FEW:
            return z_quantile(p)
        from scipy.special import stdtrit

        return float(stdtrit(len(self.pairs) - 1, p))

    def _inverted(self, statistic: Callable[[float], float], critical: float) -> Interval:
        return invert(statistic, critical, estimate=self.difference)


@dataclass(frozen=True)
class ClusteredRate:
    """One success rate from several episodes of each initial state."""

    episodes: Ints
    """(K,) of each cluster."""
    successes: Ints
    """(K,)"""

    def __post_init__(self) -> None:
        """Refuse shapes and counts that cannot be."""
        if self.episodes.ndim != 1 or self.episodes.shape != self.successes.shape:
            raise ValueError("episodes and successes must be vectors of one length")
        if len(self.episodes) < 2 or np.any(self.episodes < 1) or np.any(self.successes < 0):
            raise ValueError("two clusters or more expected, each with episodes")
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
        """Variance inflation factor, at least 1: [K/(K−1) Σ(x_k − n_k p̂)²] / (N p̂ (1 − p̂))."""
        p, k = self.rate, len(self.episodes)
        if p in (0.0, 1.0):
            return 1.0
        between = float(np.sum((self.successes - self.episodes * p) ** 2))
        return max(1.0, k / (k - 1) * between / (self.n * p * (1 - p)))

    @property
    def effective(self) -> tuple[float, float]:
        """Return (successes, episodes), both divided by the variance inflation factor."""
        return float(self.successes.sum()) / self.vif, self.n / self.vif

    def interval(self, *, alpha: float = 0.05) -> Interval:
        """Return Wilson's two-sided interval of the effective counts."""
        return wilson_interval(*self.effective, alpha=alpha)


def _ratio(numerator: float, variance: float) -> float:
    if variance <= 0:
        return 0.0 if numerator == 0 else math.copysign(math.inf, numerator)
    return numerator / math.sqrt(variance)
