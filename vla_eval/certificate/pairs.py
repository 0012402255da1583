"""The pairs of two arms and how they are judged: of fixed size, in clusters, or at a look."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Self

from vla_eval.certificate.evidence import Evidence
from vla_eval.looks import sequential_plan
from vla_eval.stats import (
    ClusteredPairs,
    Judgement,
    PairedTable,
    SequentialPlan,
    judge_at_look,
    judge_clustered,
    judge_paired,
    tango_p_noninferior,
)
from vla_eval.stats._numeric import Interval

__all__ = ["Pairs"]


@dataclass(frozen=True)
class Pairs:
    """Counts of pairs, and the method that the protocol asks for."""

    table: PairedTable
    clusters: ClusteredPairs | None = None
    plan: SequentialPlan | None = None
    look: int = 0
    """Which look of the plan is judged, from 1."""

    @classmethod
    def of(cls, evidence: Evidence, candidate: str, margin: float) -> Self:
        """Count the pairs of an arm and the reference."""
        reference = evidence.roles.reference
        return cls(
            evidence.table(candidate, reference),
            evidence.clusters(candidate, reference),
            sequential_plan(evidence.protocol, margin=margin),
            len(evidence.looks),
        )

    def interval(self, alpha: float) -> Interval:
        """Return the two-sided 1 − alpha interval; of a sequential run the repeated one."""
        if self.plan is not None:
            plan = replace(self.plan, alpha=alpha / 2)
            return plan.interval(self.look, self.table.n10, self.table.n01)
        return (self.clusters or self.table).interval(alpha=alpha)

    def judge(self, margin: float, alpha: float) -> Judgement:
        """Return the verdict at one-sided level alpha."""
        if self.plan is not None:
            return judge_at_look(self.plan, self.look, self.table)
        if self.clusters is not None:
            return judge_clustered(self.clusters, margin=margin, alpha=alpha)
        return judge_paired(self.table, margin=margin, alpha=alpha)

    def p_noninferior(self, margin: float) -> float:
        """Return the one-sided p-value of the score test; of a sequential run the nominal one."""
        if self.clusters is not None:
            return self.clusters.p_noninferior(margin=margin)
        return tango_p_noninferior(self.table.n10, self.table.n01, self.table.n, margin=margin)
