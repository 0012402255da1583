"""Judging methods for the pairs of two arms: one method gives the verdict and every interval shown.

=============== ============================================== ==================================
method          condition                                      statistics
=============== ============================================== ==================================
`TangoExact`    every state once                               Tango's interval, the exact test
`Repeats`       ``cluster = "initial-state"``, states repeated tests that hold for any dependence
`Weighted`      ``strata = "task"``, with ``weights`` or with stratified score, bets with weights
                tasks of unequal sizes
`AtLook`        ``stopping`` other than ``fixed``              the repeated interval of the look
`Resized`       ``resize``                                     Tango's interval, the exact test of the design
`Means`         ``measure`` other than success                 bets, and for scores the exact test too
=============== ============================================== ==================================

Without ``weights``, ``strata`` has no effect on tasks of equal sizes: pairs and tasks weigh the same then.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from vla_eval.judging import ledger
from vla_eval.judging.ledger import Outcome
from vla_eval.protocol import Analysis
from vla_eval.stats import (
    Agreement,
    ClusteredPairs,
    ClusterTest,
    Guards,
    Judgement,
    PairedTable,
    ResizeRule,
    SequentialPlan,
    bet_p_above,
    exact_p_above,
    failure_ratio_paired,
    judge,
    mcnemar_p,
    repeated_interval,
    stratified_paired_interval,
    tasks_agree,
)
from vla_eval.stats._numeric import Array, Interval, crossing, normal_sf
from vla_eval.stats.bounded import bet_interval, log_wealth

__all__ = [
    "AtLook",
    "JudgingMethod",
    "Repeats",
    "TangoExact",
    "Weighted",
    "judge_between",
    "judging",
]


_LARGEST_E = 1e300


@dataclass(frozen=True)
class JudgingMethod(ABC):
    """The pairs of two arms, with the method that judges them."""

    outcomes: tuple[Outcome, ...]

    name = ""
    """Name of the method in front of an interval."""

    @cached_property
    def table(self) -> PairedTable:
        """Counts of pairs."""
        return ledger.table(self.outcomes)

    @property
    def difference(self) -> float:
        """Mean of the protocol's measure, candidate minus reference; success rates unless it has one."""
        return self.table.difference

    @abstractmethod
    def interval(self, alpha: float) -> Interval:
        """Return the two-sided 1 − alpha interval of the difference."""

    @abstractmethod
    def p_above(self, delta: float) -> float:
        """Return the one-sided p-value of "the difference is Δ or less", by a test that keeps its level."""

    @abstractmethod
    def p_below(self, delta: float) -> float:
        """Return the one-sided p-value of "the difference is Δ or more"."""

    def log_e_above(self, delta: float) -> float:
        """Return the log of the e-value against "the difference is Δ or less": wealth by betting on states."""
        means, weights = self._units
        return log_wealth(means, delta, weights)

    def e_value(self, delta: float) -> float:
        """Return the e-value against "the difference is Δ or less", at most 1e300."""
        return math.exp(min(math.log(_LARGEST_E), self.log_e_above(delta)))

    def log_e_below(self, delta: float) -> float:
        """Return the log of the e-value against "the difference is Δ or more"."""
        means, weights = self._units
        return log_wealth(-means, -delta, weights)

    @cached_property
    def _units(self) -> tuple[Array, Array | None]:
        """Mean differences of the K states, (K,), and their weights if these are unequal, (K,)."""
        data = ledger.clusters(self.outcomes)
        means = (data.wins - data.losses) / data.pairs
        return means, None if data.equal else data.pairs / data.n

    def level(self, alpha: float) -> float:
        """Return the level in use for a two-sided level; at a look it is smaller."""
        return alpha

    def judge(self, margin: float, alpha: float) -> Judgement:
        """Return the verdict at one-sided level alpha, from the interval and a test for each claim."""
        return judge_between(self, self, margin, alpha)

    def p_different(self) -> float:
        """Return the two-sided p-value of "the arms succeed equally often"."""
        return min(1.0, 2 * min(self.p_above(0.0), self.p_below(0.0)))

    @property
    def inflation(self) -> float:
        """Variance inflation by repeats of initial states; 1 without repeats."""
        return 1.0

    def failure_ratio(self, alpha: float = 0.05) -> Interval:
        """Return the interval of the candidate's failure rate over the reference's."""
        return failure_ratio_paired(self.table, alpha=self.level(alpha), inflation=self.inflation)

    def by_task(self) -> dict[str, JudgingMethod]:
        """Return the same method on each task's pairs."""
        tasks = ledger.by_task(self.outcomes)
        return {name: self._of(tuple(outcomes)) for name, outcomes in tasks.items()}

    @abstractmethod
    def _of(self, outcomes: tuple[Outcome, ...]) -> JudgingMethod:
        """Return the method for some of the pairs."""

    @property
    def states(self) -> dict[str, Array]:
        """Mean paired difference of each initial state, (K_h,) for each task."""
        return ledger.states_by_task(self.outcomes)

    def agreement(self) -> Agreement | None:
        """Test whether the tasks agree; None with fewer than two tasks."""
        tasks = list(self.states.values())
        return tasks_agree(tasks, seed=ledger.seed_of(self.outcomes)) if len(tasks) > 1 else None


@dataclass(frozen=True)
class TangoExact(JudgingMethod):
    """Method for independent pairs: Tango's interval and the exact test."""

    name = "Tango"

    def interval(self, alpha: float) -> Interval:
        """Return Tango's score interval."""
        return self.table.interval(alpha=alpha)

    def p_above(self, delta: float) -> float:
        """Apply the exact unconditional test."""
        return exact_p_above(self.table.n10, self.table.n01, self.table.n, delta=delta)

    def p_below(self, delta: float) -> float:
        """Apply the exact unconditional test with the arms exchanged."""
        return exact_p_above(self.table.n01, self.table.n10, self.table.n, delta=-delta)

    def p_different(self) -> float:
        """Return McNemar's mid-p."""
        return mcnemar_p(self.table)

    def _of(self, outcomes: tuple[Outcome, ...]) -> JudgingMethod:
        return TangoExact(outcomes)


@dataclass(frozen=True)
class Repeats(JudgingMethod):
    """Method for several repeats of each initial state."""

    test: ClusterTest = "both"

    name = "by state"

    @cached_property
    def clusters(self) -> ClusteredPairs:
        """Pairs, wins and losses in each state."""
        return ledger.clusters(self.outcomes)

    def interval(self, alpha: float) -> Interval:
        """Return the interval of the differences that the test does not reject."""
        return self.clusters.interval(alpha=alpha, test=self.test)

    def p_above(self, delta: float) -> float:
        """Apply the test of the protocol."""
        return self.clusters.p_above(delta, test=self.test)

    def p_below(self, delta: float) -> float:
        """Apply the test of the protocol with the arms exchanged."""
        return self.clusters.p_below(delta, test=self.test)

    @property
    def inflation(self) -> float:
        """Variance inflation, at most the number of repeats."""
        return self.clusters.vif

    @property
    def icc(self) -> float | None:
        """Correlation of the differences within a state: VIF = 1 + (m − 1) ICC for m repeats."""
        repeats = self.clusters.n / len(self.clusters.pairs)
        return min(1.0, (self.inflation - 1) / (repeats - 1)) if repeats > 1 else None

    def _of(self, outcomes: tuple[Outcome, ...]) -> JudgingMethod:
        return Repeats(outcomes, self.test)


@dataclass(frozen=True)
class Weighted(JudgingMethod):
    """Method for tasks whose weights are not their shares of the pairs."""

    repeats: bool = False
    weights: Mapping[str, float] | None = None
    """Weights of the tasks, in any unit; None: all tasks weigh the same."""

    name = "stratified"

    @cached_property
    def _shares(self) -> list[float]:
        """Weights of the tasks that have pairs, in their order, adding up to 1."""
        weights = [1.0 if self.weights is None else self.weights[task] for task in self.states]
        return [weight / sum(weights) for weight in weights]

    @cached_property
    def _units(self) -> tuple[Array, Array]:
        tasks = list(self.states.values())
        weights = [
            np.full(len(states), share / len(states))
            for states, share in zip(tasks, self._shares, strict=True)
        ]
        return np.concatenate(tasks), np.concatenate(weights)

    @property
    def difference(self) -> float:
        """Weighted mean of the tasks' differences."""
        units, weights = self._units
        return float(units @ weights)

    def interval(self, alpha: float) -> Interval:
        """Return the hull of the stratified score interval and the bets' interval; with repeats the latter."""
        units, weights = self._units
        low, high = bet_interval(units, alpha=alpha, weights=weights)
        if self.repeats:
            return low, high
        tables = [ledger.table(outcomes) for outcomes in ledger.by_task(self.outcomes).values()]
        score = stratified_paired_interval(tables, alpha=alpha, weights=self._shares)
        return min(low, score[0]), max(high, score[1])

    @property
    def inflation(self) -> float:
        """Variance inflation by repeats; it ignores the unequal weights of pairs."""
        return ledger.clusters(self.outcomes).vif if self.repeats else 1.0

    def p_above(self, delta: float) -> float:
        """Apply the betting test to the weighted mean."""
        units, weights = self._units
        return bet_p_above(units, delta, weights)

    def p_below(self, delta: float) -> float:
        """Apply the betting test to the mirrored weighted mean."""
        units, weights = self._units
        return bet_p_above(-units, -delta, weights)

    def _of(self, outcomes: tuple[Outcome, ...]) -> JudgingMethod:
        return Repeats(outcomes) if self.repeats else TangoExact(outcomes)


@dataclass(frozen=True)
class AtLook(JudgingMethod):
    """Method for the pairs of a sequential run, at one look."""

    plan: SequentialPlan
    number: int
    """Number of the look, from 1."""

    name = "repeated"

    def level(self, alpha: float) -> float:
        """Return the two-sided level of the look for a two-sided alpha of the whole run."""
        return 2 * normal_sf(self._bound(alpha))

    def _bound(self, alpha: float) -> float:
        return replace(self.plan, alpha=alpha / 2).bound(self.number)

    def interval(self, alpha: float) -> Interval:
        """Return the repeated interval; it is valid for every stopping rule."""
        return repeated_interval(
            self.table.n10, self.table.n01, self.table.n, bound=self._bound(alpha)
        )

    def p_above(self, delta: float) -> float:
        """Apply the exact test; compare its p-value with the look's level."""
        return exact_p_above(self.table.n10, self.table.n01, self.table.n, delta=delta)

    def p_below(self, delta: float) -> float:
        """Apply the exact test with the arms exchanged."""
        return exact_p_above(self.table.n01, self.table.n10, self.table.n, delta=-delta)

    def p_different(self) -> float:
        """Return the smallest level from 1e-4 to 1 at which the repeated interval excludes 0."""

        def excess(log_alpha: float) -> float:
            low, high = self.interval(math.exp(log_alpha))
            return -1.0 if low > 0 or high < 0 else 1.0

        ends = (math.log(1e-4), math.log(0.999))
        return min(1.0, math.exp(crossing(excess, 0.0, ends, tolerance=0.01)))

    def _of(self, outcomes: tuple[Outcome, ...]) -> JudgingMethod:
        return AtLook(outcomes, self.plan, self.number)


def judge_between(
    worst: JudgingMethod,
    best: JudgingMethod,
    margin: float,
    alpha: float,
    *,
    others: float | None = None,
) -> Judgement:
    """Return the verdict that holds in the worst and in the best case, and so in all cases between.

    A claim that the candidate is good enough must hold in its worst case. A claim that it is not better
    by the margin, or that it is worse, must hold in its best case. So errors of the machine neither
    certify nor refute.

    Args:
        worst: the pairs in the candidate's worst case.
        best: the pairs in its best case.
        margin: as a fraction.
        alpha: one-sided level of "not worse by the margin".
        others: level of all other verdicts, at most alpha; default alpha.
    """
    level = worst.level(2 * alpha) / 2
    strict = level if others is None else worst.level(2 * others) / 2
    guards = Guards.of(worst.p_above, best.p_below, margin=margin, alpha=strict)
    guards = replace(guards, above_minus_margin=worst.p_above(-margin) <= level)
    interval = (worst.interval(2 * alpha)[0], best.interval(2 * alpha)[1])
    return judge(interval, margin, guards=guards)


def judging(
    outcomes: Sequence[Outcome],
    analysis: Analysis,
    plan: SequentialPlan | ResizeRule | None = None,
) -> JudgingMethod:
    """Return the method by which a protocol judges these pairs.

    Args:
        outcomes: the pairs, at least one.
        analysis: the protocol's analysis.
        plan: the plan of looks, if the protocol has looks. Between two looks the bound of the last one
            counts, and before the first look the bound of the first. Or the rule of a resized run.
    """
    from vla_eval.judging.means import Means  # it is a method too

    pairs = tuple(outcomes)
    if analysis.measure is not None:
        # Differences of scores are mostly whole, so that the exact test has power; those of times are not.
        exact = analysis.measure == "score"
        return Means(pairs, equal_tasks=analysis.strata == "task", exact=exact)
    if isinstance(plan, ResizeRule):
        from vla_eval.judging.resized import Resized

        return Resized(pairs, plan)
    if plan is not None:
        taken = sum(size <= len(pairs) for size in plan.sizes)
        return AtLook(pairs, plan, max(1, taken))
    data = ledger.clusters(pairs)
    repeats = analysis.cluster != "none" and bool(np.any(data.pairs > 1))
    if analysis.strata == "task" and (analysis.weights is not None or _unequal(pairs)):
        return Weighted(pairs, repeats, analysis.weights)
    if repeats:
        return Repeats(pairs, analysis.cluster_test or "both")
    match analysis.test:
        case "tango-exact":
            return TangoExact(pairs)


def _unequal(outcomes: Sequence[Outcome]) -> bool:
    sizes = {len(pairs) for pairs in ledger.by_task(outcomes).values()}
    return len(sizes) > 1
