"""Judging method for means of a measure from 0 to 1, such as partial credit or time saved."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from vla_eval.judging import ledger
from vla_eval.judging.ledger import Outcome
from vla_eval.judging.methods import JudgingMethod
from vla_eval.stats import Heterogeneity, MeanDifferences, heterogeneity
from vla_eval.stats._numeric import Interval

__all__ = ["Means"]


@dataclass(frozen=True)
class Means(JudgingMethod):
    """Method for mean differences of a measure: bets on initial states."""

    equal_tasks: bool = False
    """Whether tasks weigh the same; otherwise pairs do."""

    name = "bets"

    @cached_property
    def data(self) -> MeanDifferences:
        """Mean difference of each initial state, with its weight."""
        tasks = ledger.by_task(self.outcomes)
        units, weights = [], []
        for outcomes in tasks.values():
            share = 1 / len(tasks) if self.equal_tasks else len(outcomes) / len(self.outcomes)
            for gains in _by_state(outcomes).values():
                units.append(float(np.mean(gains)))
                weights.append(share * len(gains) / len(outcomes))
        return MeanDifferences(np.array(units), np.array(weights))

    @property
    def difference(self) -> float:
        """Mean of the candidate minus that of the reference."""
        return self.data.difference

    def interval(self, alpha: float) -> Interval:
        """Return the interval of the differences that no bet rejects."""
        return self.data.interval(alpha=alpha)

    def p_above(self, delta: float) -> float:
        """Bet against "the difference is Δ or less"."""
        return self.data.p_above(delta)

    def p_below(self, delta: float) -> float:
        """Bet against "the difference is Δ or more"."""
        return self.data.p_below(delta)

    @property
    def inflation(self) -> float:
        """Variance inflation of successes by repeats of initial states."""
        clusters = ledger.clusters(self.outcomes)
        return clusters.vif if clusters.n > len(clusters.pairs) else 1.0

    def heterogeneity(self) -> Heterogeneity | None:
        """Test whether tasks agree, with the variance between states (one won and one lost state added)."""
        tasks = [Means(tuple(each)).data for each in ledger.by_task(self.outcomes).values()]
        if len(tasks) < 2:
            return None
        variances = [float(np.var(np.append(task.units, [1, -1]))) for task in tasks]
        return heterogeneity(
            [task.difference for task in tasks],
            [each / len(task.units) for each, task in zip(variances, tasks, strict=True)],
        )

    def _of(self, outcomes: tuple[Outcome, ...]) -> JudgingMethod:
        return Means(outcomes)


def _by_state(outcomes: Iterable[Outcome]) -> dict[tuple[str, str, int], list[float]]:
    """Return candidate minus reference of every pair, by initial state."""
    states: dict[tuple[str, str, int], list[float]] = defaultdict(list)
    for key, _, _, values in outcomes:
        if values is None:
            raise ValueError(f"{key} has no value of the protocol's measure")
        states[key.suite, key.task, key.init_state].append(values[0] - values[1])
    return states
