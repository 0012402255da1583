"""Paired means: measures from 0 to 1, and latency ratios from whole process runs."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from vla_eval.stats._numeric import Array, Interval
from vla_eval.stats.bounded import bet_p_above, interval_of
from vla_eval.stats.exact import exact_p_above

__all__ = ["LatencyRatio", "MeanDifferences", "latency_ratio"]

_SAME = 1e-12
"""Largest difference of weights that are taken for equal."""


@dataclass(frozen=True)
class MeanDifferences:
    """Differences of a measure from 0 to 1, candidate minus reference: one for each independent unit.

    A unit is an initial state; its difference is the mean over its repeats, which may depend on each
    other in any way. Two tests keep their level for every distribution:

    - bets (`vla_eval.stats.bounded`);
    - the exact unconditional test of K pairs, after rounding every unit down to −1, 0 or 1: the rounded
      mean lies below the true one. It has more power if most differences are whole, as those of scores
      are; it has none if all are small, as those of times are.

    Student's t keeps no level: at a margin of 10 points it errs in 37 % instead of 5 % with 10 units, and in
    7 % with 200, if differences are small but for a rare −1.
    """

    units: Array
    """(K,) in [−1, 1]."""
    weights: Array
    """(K,) adding up to 1."""
    exact: bool = False
    """Whether the exact test joins the bets: the smaller p-value counts, doubled (Bonferroni). With unequal
    weights it does not."""

    @classmethod
    def of(cls, units: npt.ArrayLike, *, exact: bool = False) -> MeanDifferences:
        """Build from units of equal weight; raise ValueError if there are none, or one is outside [−1, 1]."""
        values = np.asarray(units, np.float64)
        if values.ndim != 1 or not values.size or np.max(np.abs(values)) > 1:
            raise ValueError("a vector of differences in [-1, 1] expected, at least one")
        return cls(values, np.full(values.size, 1 / values.size), exact)

    @property
    def difference(self) -> float:
        """Weighted mean."""
        return float(self.units @ self.weights)

    @property
    def spread(self) -> float:
        """Weighted standard deviation of the units."""
        return math.sqrt(float(self.weights @ (self.units - self.difference) ** 2))

    def interval(self, *, alpha: float) -> Interval:
        """Return the two-sided interval: the differences that neither one-sided test rejects."""
        return interval_of(self.p_above, self.p_below, estimate=self.difference, alpha=alpha)

    def p_above(self, delta: float) -> float:
        """Return the one-sided p-value of "the mean difference is Δ or less"."""
        bets = bet_p_above(self.units, delta, self.weights)
        if not self.exact or np.ptp(self.weights) > _SAME:
            return bets
        won, lost = int(np.sum(self.units >= 1)), int(np.sum(self.units < 0))
        return min(1.0, 2 * min(bets, exact_p_above(won, lost, len(self.units), delta=delta)))

    def p_below(self, delta: float) -> float:
        """Return the one-sided p-value of "the mean difference is Δ or more"."""
        return MeanDifferences(-self.units, self.weights, self.exact).p_above(-delta)


@dataclass(frozen=True)
class LatencyRatio:
    """Latency of the candidate divided by that of the reference; below 1 is faster."""

    ratio: float
    interval: Interval
    runs: int
    quantile: float

    @property
    def enough(self) -> bool:
        """Whether there are five process runs, which the interval needs; ten are better."""
        return self.runs >= 5

    @property
    def faster(self) -> bool:
        """Whether the whole interval is below 1."""
        return self.interval[1] < 1


def latency_ratio(
    candidate: Sequence[npt.ArrayLike],
    reference: Sequence[npt.ArrayLike],
    *,
    quantile: float = 0.5,
    alpha: float = 0.05,
) -> LatencyRatio:
    """Return exp(mean over runs of log(candidate's quantile / reference's)), with its interval.

    Student's t on one log ratio for each pair of process runs (interleaved A/B, without warm-up).
    Chunks of the same process depend on each other: an interval from single chunks covers 62 % instead
    of 95 %.

    Args:
        candidate: chunk latencies of each process run, in any unit.
        reference: the same for the reference, in the order of the candidate's runs.
        quantile: quantile of the latencies in a run; 0.5, 0.95, 0.99 …
        alpha: two-sided.

    Raises:
        ValueError: there are fewer than two runs, the numbers of runs differ, or latencies are not
            positive and finite.
    """
    if len(candidate) != len(reference) or len(candidate) < 2:
        raise ValueError("two or more process runs of each arm expected, in pairs")
    logs = np.log(_quantiles(candidate, quantile)) - np.log(_quantiles(reference, quantile))
    from scipy.special import stdtrit

    k, mean = logs.size, float(logs.mean())
    half = float(stdtrit(k - 1, 1 - alpha / 2)) * float(logs.std(ddof=1)) / math.sqrt(k)
    return LatencyRatio(math.exp(mean), (math.exp(mean - half), math.exp(mean + half)), k, quantile)


def _quantiles(runs: Sequence[npt.ArrayLike], quantile: float) -> Array:
    values = [np.asarray(run, dtype=np.float64).ravel() for run in runs]
    for latencies in values:
        if latencies.size == 0 or not np.all(np.isfinite(latencies)) or latencies.min() <= 0:
            raise ValueError("every process run needs latencies that are positive and finite")
    return np.array([np.quantile(latencies, quantile) for latencies in values])
