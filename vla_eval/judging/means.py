"""Judging method for means of a measure from 0 to 1, such as partial credit or time saved."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from vla_eval.analysis import Analysis
from vla_eval.judging import ledger
from vla_eval.judging.ledger import ArmEpisodes, Outcome
from vla_eval.judging.measures import Worth
from vla_eval.judging.methods import JudgingMethod
from vla_eval.keys import EpisodeKey
from vla_eval.stats import MeanDifferences
from vla_eval.stats._numeric import Array, Interval

__all__ = ["Means", "mean_of"]


@dataclass(frozen=True)
class Means(JudgingMethod):
    """Method for mean differences of a measure, by initial state; see :class:`MeanDifferences`."""

    equal_tasks: bool = False
    """Whether tasks weigh the same; otherwise pairs do."""
    exact: bool = False
    """Whether the exact test joins the bets."""

    name = "by state"

    @cached_property
    def data(self) -> MeanDifferences:
        """Mean difference of each initial state, with its weight."""
        gains: dict[EpisodeKey, float] = {}
        for outcome in self.outcomes:
            if outcome.values is None:
                raise ValueError(f"{outcome.key} has no value of the protocol's measure")
            gains[outcome.key] = outcome.values[0] - outcome.values[1]
        return replace(_of_states(gains, equal_tasks=self.equal_tasks), exact=self.exact)

    @property
    def difference(self) -> float:
        """Mean of the candidate minus that of the reference."""
        return self.data.difference

    def interval(self, alpha: float) -> Interval:
        """Return the interval of the differences that no test rejects."""
        return self.data.interval(alpha=alpha)

    def p_above(self, delta: float) -> float:
        """Test "the difference is Δ or less"."""
        return self.data.p_above(delta)

    def p_below(self, delta: float) -> float:
        """Test "the difference is Δ or more"."""
        return self.data.p_below(delta)

    @property
    def inflation(self) -> float:
        """Variance inflation of successes by repeats of initial states."""
        clusters = ledger.clusters(self.outcomes)
        return clusters.vif if clusters.n > len(clusters.pairs) else 1.0

    @cached_property
    def _units(self) -> tuple[Array, Array]:
        """Mean differences of the K states, (K,), and their weights, (K,)."""
        return self.data.units, self.data.weights

    @property
    def states(self) -> dict[str, Array]:
        """Mean difference of each initial state, (K_h,) for each task."""
        tasks = ledger.by_task(self.outcomes)
        return {name: Means(tuple(each)).data.units for name, each in tasks.items()}

    def _of(self, outcomes: tuple[Outcome, ...]) -> JudgingMethod:
        return Means(outcomes, exact=self.exact)


def mean_of(
    arm: ArmEpisodes, worth: Worth, analysis: Analysis, *, alpha: float = 0.05
) -> tuple[float, Interval]:
    """Return the mean of one arm's values in [0, 1], and its two-sided interval by bets.

    Args:
        arm: one arm's episodes, at least one of them with a result.
        worth: value of a result.
        analysis: the protocol's analysis, which weighs the tasks.
        alpha: two-sided.
    """
    # Bets are on values in [−1, 1].
    doubled = {key: 2 * worth(record) - 1 for key, record in arm.finals.items()}
    data = _of_states(doubled, equal_tasks=analysis.strata == "task")
    low, high = data.interval(alpha=alpha)
    return (1 + data.difference) / 2, ((1 + low) / 2, (1 + high) / 2)


def _of_states(values: Mapping[EpisodeKey, float], *, equal_tasks: bool) -> MeanDifferences:
    """Return the mean of each initial state with its weight; pairs weigh the same, or else tasks."""
    states: dict[tuple[str, str, int], list[float]] = defaultdict(list)
    tasks: Counter[tuple[str, str]] = Counter()
    for key, value in values.items():
        states[key.suite, key.task, key.init_state].append(value)
        tasks[key.suite, key.task] += 1
    shares = {
        task: 1 / len(tasks) if equal_tasks else count / len(values)
        for task, count in tasks.items()
    }
    weights = [
        shares[suite, task] * len(each) / tasks[suite, task]
        for (suite, task, _), each in states.items()
    ]
    return MeanDifferences(np.array([np.mean(each) for each in states.values()]), np.array(weights))
