"""Judging over several runs: the e-values of the runs are multiplied.

A run's e-value against "worse by the margin or more" is its wealth by betting (:mod:`vla_eval.stats.bounded`),
whose expectation is at most 1 if that is true. So is that of the product over runs on other states, even
if the earlier results decided whether a further run was made (optional continuation). Hence 1/product is
a p-value, where a test of all pairs together, repeated after each run, would err too often.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from vla_eval.judging.ledger import Outcome
from vla_eval.judging.methods import JudgingMethod
from vla_eval.stats._numeric import Interval
from vla_eval.stats.bounded import interval_of

__all__ = ["OverRuns"]


@dataclass(frozen=True)
class OverRuns(JudgingMethod):
    """Method for the pairs of several runs on different states."""

    runs: tuple[JudgingMethod, ...]
    """The protocol's method on the pairs of each run."""

    name = "over runs"

    @property
    def difference(self) -> float:
        """Mean difference, each run with the weight of its pairs."""
        total = sum(len(run.outcomes) for run in self.runs)
        return sum(run.difference * len(run.outcomes) for run in self.runs) / total

    def log_e_above(self, delta: float) -> float:
        """Return the log of the product of the runs' e-values."""
        return sum(run.log_e_above(delta) for run in self.runs)

    def log_e_below(self, delta: float) -> float:
        """Return the log of the product of the runs' mirrored e-values."""
        return sum(run.log_e_below(delta) for run in self.runs)

    def p_above(self, delta: float) -> float:
        """Return 1/e of "the difference is Δ or less"."""
        return min(1.0, math.exp(-self.log_e_above(delta)))

    def p_below(self, delta: float) -> float:
        """Return 1/e of "the difference is Δ or more"."""
        return min(1.0, math.exp(-self.log_e_below(delta)))

    def interval(self, alpha: float) -> Interval:
        """Return the differences that neither product of e-values speaks against."""
        return interval_of(self.p_above, self.p_below, estimate=self.difference, alpha=alpha)

    @property
    def inflation(self) -> float:
        """Largest variance inflation of a run."""
        return max(run.inflation for run in self.runs)

    def _of(self, outcomes: tuple[Outcome, ...]) -> JudgingMethod:
        keys = {outcome.key for outcome in outcomes}
        parts = [tuple(each for each in run.outcomes if each.key in keys) for run in self.runs]
        runs = [
            run._of(part)  # noqa: SLF001 - our own
            for run, part in zip(self.runs, parts, strict=True)
            if part
        ]
        return OverRuns(outcomes, tuple(runs))
