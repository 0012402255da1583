"""Paired means: partial credit in [0, 1], and latency ratios from whole process runs."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from vla_eval.stats._numeric import Array, Interval

__all__ = ["LatencyRatio", "PairedScores", "latency_ratio"]

_ENOUGH = 50
_PLENTY = 400
_STRICTER = 0.8
"""Factor of alpha below 400 pairs, because skewed scores raise the size of a 5 % test to 5.7 %."""


@dataclass(frozen=True)
class PairedScores:
    """Differences of partial credit, candidate minus reference, one for each independent unit."""

    differences: Array

    @classmethod
    def of(
        cls,
        candidate: npt.ArrayLike,
        reference: npt.ArrayLike,
        *,
        clusters: Sequence[object] | None = None,
    ) -> PairedScores:
        """Build from scores in [0, 1] of the same episodes.

        Args:
            candidate: scores of the candidate.
            reference: scores of the reference, in the same order.
            clusters: cluster of each episode (repeats of one initial state form a cluster);
                differences are averaged within a cluster, and clusters have equal weights.

        Raises:
            ValueError: there are no pairs, the lengths differ, or scores are outside [0, 1].
        """
        new, old = np.asarray(candidate, np.float64), np.asarray(reference, np.float64)
        if new.shape != old.shape or new.ndim != 1 or new.size == 0:
            raise ValueError("two vectors of the same length expected, at least one pair")
        if min(new.min(), old.min()) < 0 or max(new.max(), old.max()) > 1:
            raise ValueError("scores must lie in [0, 1]")
        differences = new - old
        if clusters is None:
            return cls(differences)
        if len(clusters) != new.size:
            raise ValueError("a cluster for every pair expected")
        numbers = {name: i for i, name in enumerate(dict.fromkeys(clusters))}
        index = np.array([numbers[name] for name in clusters])
        return cls(np.bincount(index, weights=differences) / np.bincount(index))

    @property
    def difference(self) -> float:
        """Mean difference."""
        return float(self.differences.mean())

    @property
    def enough(self) -> bool:
        """Whether there are 50 units, which the t test on bounded, skewed scores needs."""
        return self.differences.size >= _ENOUGH

    def effective_alpha(self, alpha: float) -> float:
        """Return the alpha of certificates: 0.8 alpha below 400 units, otherwise alpha."""
        return _STRICTER * alpha if self.differences.size < _PLENTY else alpha

    def interval(self, *, alpha: float = 0.05, corrected: bool = True) -> Interval:
        """Return the two-sided interval by Student's t, within [−1, 1].

        If all differences are equal, t would give a width of 0. Then the interval allows for units
        with other differences that were not observed: with confidence 1 − α/2 their share is less
        than 1 − (α/2)^(1/N).

        Args:
            alpha: two-sided.
            corrected: whether to use `effective_alpha`.
        """
        level = self.effective_alpha(alpha) if corrected else alpha
        n, mean = self.differences.size, self.difference
        if n < 2 or np.ptp(self.differences) == 0:
            unseen = 1 - (level / 2) ** (1 / n)
            return mean - unseen * (1 + mean), mean + unseen * (1 - mean)
        from scipy.special import stdtrit

        error = float(self.differences.std(ddof=1)) / math.sqrt(n)
        half = float(stdtrit(n - 1, 1 - level / 2)) * error
        return max(-1.0, mean - half), min(1.0, mean + half)

    def noninferior(self, *, margin: float, alpha: float = 0.05) -> bool:
        """Whether the mean score is not worse by the margin, one-sided, with `effective_alpha`."""
        return self.interval(alpha=2 * alpha)[0] > -margin


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
