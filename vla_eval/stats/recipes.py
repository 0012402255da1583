"""Recipes: a difference over training seeds *and* initial states, when all checkpoints share the states.

Training seeds are a sample, initial states are a sample, tasks are fixed and weigh the same. Checkpoint k
of an arm has the mean outcome y_ki in state i. The difference of state i is D_i = ȳ_·i (candidate) −
ȳ_·i (reference). It varies for three reasons: the training seed (variance σ²_a of a row), the state, for
all seeds alike (σ²_b of a column), and the rest (σ²_e: luck, and states that suit one seed). With K seeds
and N states

    Var Δ̂ = σ²_a/K + σ²_b/N + σ²_e/(KN).

More seeds do not shrink σ²_b/N, which Student's t over the seeds ignores. Three mean squares give all:

- Q, the variance of Δ̂ over states for these checkpoints, from the spread of D_i within tasks:
  σ²_b/N + σ²_e/(KN);
- S, the variance over seeds, from the spread of rows: σ²_a/K + σ²_e/(KN);
- O, what both contain, from the residuals of rows and columns: σ²_e/(KN).

The variance is V = max(Q, S + max(0, Q − O)), so never below that of the episodes, and Student's t has the
degrees of freedom of S alone. This is conservative: for fixed x the chance P(|Z| > x√u) is convex in u,
so a known part in the variance can only lower the error (Mickey and Brown 1966). Seeds that are distilled
in pairs give one row of differences each, seeds of one frozen reference as well. Independent seeds give
two samples of rows, with Welch's degrees of freedom.

If few outcomes differ, Q can be 0 by chance. So every claim also needs the betting test over the D_i
(`vla_eval.stats.bounded`), which keeps its level for these checkpoints whatever the seeds have in common.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from vla_eval.stats._numeric import Array, Interval, Ints
from vla_eval.stats.bounded import bet_interval, bet_p_above

__all__ = ["RecipeVariance", "SeedSpread", "SeedsOnStates", "recipe_df", "recipe_power"]


@dataclass(frozen=True)
class RecipeVariance:
    """The parts of the variance of a difference between recipes."""

    states: float
    """Q: over initial states, for these checkpoints."""
    seeds: float
    """S: over training seeds, with the share of the episodes in it; 0 if no side is a sample of seeds."""
    shared: float
    """O: the part that is in both."""
    df: float
    """Degrees of freedom of S; without seeds those of Q."""

    @property
    def total(self) -> float:
        """V = max(Q, S + max(0, Q − O))."""
        return max(self.states, self.seeds + max(0.0, self.states - self.shared))

    @property
    def training(self) -> float:
        """The part that the training seeds add to that of the episodes: max(0, S − O)."""
        return max(0.0, self.seeds - self.shared)


@dataclass(frozen=True)
class SeedSpread:
    """The spread of one recipe's success rate over its training seeds, all on the same states."""

    mean: float
    sd: float
    """Standard deviation of the checkpoints' rates."""
    sd_interval: Interval
    """95 % interval of that, by χ² with K − 1 degrees of freedom."""
    evaluation_sd: float
    """Standard deviation that the finite number of episodes explains, on the same states."""
    training_sd: float
    """Standard deviation that remains for the training seed; 0 if the episodes explain all."""


@dataclass(frozen=True)
class SeedsOnStates:
    """Mean outcomes of the checkpoints of two recipes on the same initial states."""

    candidate: Array
    """Mean outcome of each checkpoint in each state, (K, N), in [0, 1]."""
    reference: Array
    """The same for the reference, (L, N)."""
    tasks: Ints
    """Number of each state's task, (N,), from 0 without gaps."""
    paired: bool = False
    """Whether row k of both belongs together: student k was trained from teacher k."""

    def __post_init__(self) -> None:
        """Refuse shapes that cannot be, and tasks with one state."""
        shapes = {self.candidate.shape[1:], self.reference.shape[1:], self.tasks.shape}
        if len(shapes) != 1 or not len(self.candidate) or not len(self.reference):
            raise ValueError("every checkpoint needs an outcome in every state")
        if self.paired and len(self.candidate) != len(self.reference):
            raise ValueError("as many candidate as reference checkpoints expected, in pairs")
        if not self.tasks.size or np.min(np.bincount(self.tasks)) < 2:
            raise ValueError("every task needs two states")

    @cached_property
    def weights(self) -> Array:
        """Weight of each state, (N,), adding up to 1: tasks weigh the same."""
        sizes = np.bincount(self.tasks)
        return np.asarray(1.0 / (len(sizes) * sizes[self.tasks]))

    @cached_property
    def by_state(self) -> Array:
        """D, the difference in each state, (N,)."""
        return np.asarray(self.candidate.mean(axis=0) - self.reference.mean(axis=0))

    @property
    def difference(self) -> float:
        """Mean difference, candidate minus reference; rounded, so that parity is 0 and not -1e-17."""
        return round(float(self.weights @ self.by_state), 12) + 0.0

    @cached_property
    def rows(self) -> tuple[Array, ...]:
        """Samples of seeds, each (k, N): differences of pairs, or the sides that have several seeds."""
        if self.paired:
            return (self.candidate - self.reference,) if len(self.candidate) > 1 else ()
        return tuple(side for side in (self.candidate, self.reference) if len(side) > 1)

    @cached_property
    def variance(self) -> RecipeVariance:
        """The parts of the variance of the difference."""
        parts = [self._parts(rows) for rows in self.rows]
        spreads = [(seeds, len(rows)) for (seeds, _), rows in zip(parts, self.rows, strict=True)]
        df = float(self.tasks.size - int(self.tasks.max()) - 1)
        return RecipeVariance(
            states=self._squares(self.by_state),
            seeds=sum(seeds for seeds, _ in parts),
            shared=sum(shared for _, shared in parts),
            df=min(df, recipe_df(spreads)) if spreads else df,
        )

    def _parts(self, rows: Array) -> tuple[float, float]:
        """Return the variance of the mean of these rows over seeds, and the episodes' part of it."""
        k = len(rows)
        seeds = float(np.var(rows @ self.weights, ddof=1)) / k
        rest = rows - rows.mean(axis=0)
        return seeds, sum(self._squares(row) for row in rest) / (k - 1) / k

    def _squares(self, values: Array) -> float:
        """Return the variance of the weighted mean of the states' values, tasks fixed."""
        sizes = np.bincount(self.tasks)
        means = np.bincount(self.tasks, weights=values) / sizes
        inflated = (sizes / (sizes - 1))[self.tasks]
        return float(np.sum(self.weights**2 * inflated * (values - means[self.tasks]) ** 2))

    def t_interval(self, alpha: float) -> Interval:
        """Return Student's two-sided 1 − alpha interval, within [−1, 1]."""
        from scipy.special import stdtrit

        half = float(stdtrit(self.variance.df, 1 - alpha / 2)) * math.sqrt(self.variance.total)
        return max(-1.0, self.difference - half), min(1.0, self.difference + half)

    def interval(self, alpha: float) -> Interval:
        """Return the hull of Student's interval and the bets', so that it holds what either keeps."""
        low, high = bet_interval(self.by_state, alpha=alpha, weights=self.weights)
        t_low, t_high = self.t_interval(alpha)
        return min(low, t_low), max(high, t_high)

    def p_above(self, delta: float) -> float:
        """Return the one-sided p-value of "the difference is Δ or less": the larger of both tests'."""
        return max(self.t_p_above(delta), bet_p_above(self.by_state, delta, self.weights))

    def p_below(self, delta: float) -> float:
        """Return the one-sided p-value of "the difference is Δ or more"."""
        return self.swapped().p_above(-delta)

    def t_p_above(self, delta: float) -> float:
        """Return Student's one-sided p-value of "the difference is Δ or less"."""
        from scipy.special import stdtr

        error = math.sqrt(self.variance.total)
        if error == 0:
            return 0.0 if self.difference > delta else 1.0
        return float(stdtr(self.variance.df, (delta - self.difference) / error))

    def swapped(self) -> SeedsOnStates:
        """Return the same with candidate and reference exchanged."""
        return SeedsOnStates(self.reference, self.candidate, self.tasks, self.paired)

    def of_task(self, task: int) -> SeedsOnStates:
        """Return the states of one task."""
        chosen = self.tasks == task
        return SeedsOnStates(
            self.candidate[:, chosen],
            self.reference[:, chosen],
            np.zeros(int(chosen.sum()), dtype=np.int64),
            self.paired,
        )

    def spread(self, rows: Array, *, alpha: float = 0.05) -> SeedSpread | None:
        """Split the spread of checkpoints over training seeds; None for one checkpoint.

        The part of the episodes is that of checkpoints on the *same* states, which is smaller than
        the binomial one: what a state does to all seeds alike moves no seed against another.
        """
        from scipy.special import chdtri

        k = len(rows)
        if k < 2:
            return None
        seeds, shared = (part * k for part in self._parts(rows))
        low, high = (
            math.sqrt((k - 1) * seeds / float(chdtri(k - 1, p))) for p in (alpha / 2, 1 - alpha / 2)
        )
        return SeedSpread(
            mean=float((rows @ self.weights).mean()),
            sd=math.sqrt(seeds),
            sd_interval=(low, high),
            evaluation_sd=math.sqrt(shared),
            training_sd=math.sqrt(max(0.0, seeds - shared)),
        )


def recipe_df(spreads: list[tuple[float, int]]) -> float:
    """Return the degrees of freedom of a sum of variances over seeds (Welch and Satterthwaite).

    Args:
        spreads: for each sample of seeds the variance of its mean, and its number of seeds.
    """
    most = min(k - 1 for _, k in spreads)
    total = sum(variance for variance, _ in spreads)
    parts = sum(variance**2 / (k - 1) for variance, k in spreads)
    return total**2 / parts if parts > 0 else float(most)


def recipe_power(variance: float, df: float, *, margin: float, alpha: float) -> float:
    """Return the power of Student's test at parity, by the noncentral t distribution.

    It leaves out the betting test, so it is an upper bound where few outcomes differ.

    Args:
        variance: of the estimated difference.
        df: degrees of freedom over seeds.
        margin: as a fraction.
        alpha: one-sided.
    """
    from scipy.special import nctdtr, stdtrit

    if variance == 0:
        return 1.0
    return 1 - float(nctdtr(df, margin / math.sqrt(variance), stdtrit(df, 1 - alpha)))
