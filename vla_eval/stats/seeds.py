"""Training seeds: inference from checkpoints to the recipe that trained them.

Rows are checkpoints, columns are tasks. Tasks are fixed, training seeds are a sample. With two to five
seeds, bootstrap intervals cover 56–88 % instead of 95 % (docs/statistics.md, "Training seeds"). So this
module uses Student's t on checkpoint means, with a variance of at least the binomial's.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from vla_eval.stats._numeric import Array, Interval

__all__ = [
    "Checkpoints",
    "NoiseFloor",
    "SeedInference",
    "compare_distilled",
    "compare_methods",
    "compare_with_frozen",
    "noise_floor",
    "rerun_sd",
]


@dataclass(frozen=True)
class Checkpoints:
    """Checkpoints of one recipe, each evaluated on the same tasks."""

    successes: Array
    """Number of successes, (checkpoints, tasks)."""
    episodes: Array
    """Number of episodes, (checkpoints, tasks)."""

    @classmethod
    def of(cls, successes: npt.ArrayLike, episodes: npt.ArrayLike) -> Checkpoints:
        """Build from lists; a vector means one task, and episodes broadcast.

        Raises:
            ValueError: a task has fewer than 2 episodes, or more successes than episodes.
        """
        counts = np.asarray(successes, dtype=np.float64)
        counts = counts[:, None] if counts.ndim == 1 else counts
        runs = np.asarray(episodes, dtype=np.float64)
        runs = runs[:, None] if runs.shape == counts.shape[:1] != counts.shape[1:] else runs
        sizes = np.broadcast_to(runs, counts.shape)
        if np.any(sizes < 2) or np.any(counts < 0) or np.any(counts > sizes):
            raise ValueError("every task needs two episodes, and no more successes than episodes")
        return cls(counts, sizes)

    @property
    def k(self) -> int:
        """Number of checkpoints."""
        return len(self.successes)

    @property
    def means(self) -> Array:
        """Success rate of each checkpoint, with equal weights of the tasks."""
        return np.asarray((self.successes / self.episodes).mean(axis=1))

    @property
    def binomial_variances(self) -> Array:
        """Binomial variance of each checkpoint's mean: Σ_t p̂_t (1 − p̂_t) / (T² (n_t − 1)).

        It would be 0 for a checkpoint that always or never fails; there p̂ is (x + ½)/(n + 1).
        """
        rates = self.successes / self.episodes
        certain = np.all((rates == 0) | (rates == 1), axis=1, keepdims=True)
        rates = np.where(certain, (self.successes + 0.5) / (self.episodes + 1), rates)
        within = rates * (1 - rates) / (self.episodes - 1)
        return np.asarray(within.sum(axis=1) / rates.shape[1] ** 2)


@dataclass(frozen=True)
class SeedInference:
    """A difference between recipes, with its Student's t distribution."""

    difference: float
    standard_error: float
    df: float

    def interval(self, *, alpha: float = 0.05) -> Interval:
        """Return the two-sided 1 − alpha interval."""
        from scipy.special import stdtrit

        half = float(stdtrit(self.df, 1 - alpha / 2)) * self.standard_error
        return self.difference - half, self.difference + half

    def p_noninferior(self, *, margin: float) -> float:
        """Return the one-sided p-value of "the candidate is worse by the margin or more"."""
        from scipy.special import stdtr

        if self.standard_error == 0:
            return 0.0 if self.difference > -margin else 1.0
        return float(stdtr(self.df, -(self.difference + margin) / self.standard_error))


def compare_methods(
    candidate: Checkpoints, reference: Checkpoints, *, floor: bool = True
) -> SeedInference:
    """Compare two recipes with independent training seeds: pooled t with binomial floor.

    SE = √(max(s², w) (1/K1 + 1/K2)), df = K1 + K2 − 2, with s² the pooled variance of checkpoint
    means and w the mean binomial variance.

    Args:
        candidate: at least one checkpoint.
        reference: at least one checkpoint; both together at least three.
        floor: whether the variance is at least the binomial's. Without this floor the interval is
            exact under normality, but may be far too short.

    Raises:
        ValueError: there are two checkpoints or fewer, which leaves no degree of freedom.
    """
    df = candidate.k + reference.k - 2
    if df < 1:
        raise ValueError("one checkpoint an arm says nothing about the recipe: train more seeds")
    spread = sum(
        float(np.sum((arm.means - arm.means.mean()) ** 2)) for arm in _both(candidate, reference)
    )
    binomial = np.concatenate([arm.binomial_variances for arm in _both(candidate, reference)])
    variance = max(spread / df, float(binomial.mean()) if floor else 0.0)
    error = math.sqrt(variance * (1 / candidate.k + 1 / reference.k))
    return SeedInference(_difference(candidate, reference), error, df)


def compare_with_frozen(
    candidate: Checkpoints, reference: Checkpoints, *, floor: bool = True
) -> SeedInference:
    """Compare a recipe with one frozen reference checkpoint: Satterthwaite's t.

    SE² = max(s², w)/K + v, with v the binomial variance of the reference's mean, and
    df = SE⁴ / [(max(s², w)/K)² / (K − 1)]. The result holds only for this reference checkpoint. A t
    test on candidate minus reference would ignore that all differences share the reference's noise.

    Raises:
        ValueError: there are fewer than two candidate checkpoints, or not exactly one reference.
    """
    if candidate.k < 2 or reference.k != 1:
        raise ValueError("two or more candidate checkpoints and one reference checkpoint expected")
    least = float(candidate.binomial_variances.mean()) if floor else 0.0
    between = max(float(candidate.means.var(ddof=1)), least) / candidate.k
    variance = between + float(reference.binomial_variances[0])
    df = variance**2 / (between**2 / (candidate.k - 1)) if between else math.inf
    return SeedInference(_difference(candidate, reference), math.sqrt(variance), df)


def compare_distilled(
    candidate: Checkpoints, reference: Checkpoints, *, floor: bool = True
) -> SeedInference:
    """Compare students with their own teachers, row by row: Student's t on K − 1 differences.

    SE² = max(s_d², w1 + w2)/K. A few differences can be equal by chance, so their variance also has the
    binomial floor; this is conservative if the arms ran the same episodes.

    Raises:
        ValueError: there are fewer than two rows, or the arms have different lengths.
    """
    if candidate.k != reference.k or candidate.k < 2:
        raise ValueError("as many students as teachers expected, at least two")
    differences = candidate.means - reference.means
    variance = float(differences.var(ddof=1))
    if floor:
        least = candidate.binomial_variances.mean() + reference.binomial_variances.mean()
        variance = max(variance, float(least))
    return SeedInference(
        float(differences.mean()), math.sqrt(variance / candidate.k), candidate.k - 1
    )


@dataclass(frozen=True)
class NoiseFloor:
    """The parts of the spread of checkpoint means."""

    sd: float
    """Standard deviation of checkpoint means."""
    sd_interval: Interval
    binomial_sd: float
    """Standard deviation explained by the finite number of episodes."""
    training_sd: float
    """Standard deviation that remains for the training seed; 0 if the binomial explains all."""


def noise_floor(checkpoints: Checkpoints, *, alpha: float = 0.05) -> NoiseFloor:
    """Split the spread of checkpoint means: σ²_train = max(0, s² − w), with a χ² interval on s.

    Raises:
        ValueError: there is only one checkpoint, from which no spread can be estimated.
    """
    if checkpoints.k < 2:
        raise ValueError("the spread over training seeds cannot be estimated from one checkpoint")
    from scipy.special import chdtri

    df = checkpoints.k - 1
    variance = float(checkpoints.means.var(ddof=1))
    binomial = float(checkpoints.binomial_variances.mean())
    low, high = (
        math.sqrt(df * variance / float(chdtri(df, p))) for p in (alpha / 2, 1 - alpha / 2)
    )
    return NoiseFloor(
        math.sqrt(variance),
        (low, high),
        math.sqrt(binomial),
        math.sqrt(max(0.0, variance - binomial)),
    )


def rerun_sd(state_rates: npt.ArrayLike) -> float:
    """Return the standard deviation of a suite mean over repeated runs of the same states.

    √(E[p_i (1 − p_i)] / n) for n states with success probabilities p_i, at most the binomial's.
    """
    rates = np.asarray(state_rates, dtype=np.float64)
    return math.sqrt(float(np.mean(rates * (1 - rates))) / rates.size)


def _both(candidate: Checkpoints, reference: Checkpoints) -> tuple[Checkpoints, Checkpoints]:
    return candidate, reference


def _difference(candidate: Checkpoints, reference: Checkpoints) -> float:
    return float(candidate.means.mean() - reference.means.mean())
