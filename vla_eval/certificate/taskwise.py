"""Results over tasks: the guard rail, and what the tasks say about further tasks like these."""

from __future__ import annotations

from vla_eval.certificate.comparison import Level, cases
from vla_eval.certificate.evidence import Evidence
from vla_eval.certificate.parts import TasksLikeThese
from vla_eval.judging.guardrail import GuardRail, guard_rail
from vla_eval.stats import Judgement, Verdict, further_tasks

__all__ = ["guarded", "rail_of", "tasks_like_these"]

_FEWEST = 4
"""Fewest tasks from which further tasks are estimated."""


def rail_of(evidence: Evidence, candidate: str, level: Level) -> GuardRail | None:
    """Test every task at the protocol's task margin; None: the protocol declares none."""
    margin = evidence.protocol.analysis.task_margin
    if margin is None:
        return None
    _, worst, best = cases(evidence, candidate)
    return guard_rail(worst, best, margin=margin, alpha=level.others)


def guarded(verdict: Verdict, rail: GuardRail | None) -> Verdict:
    """Return the certificate's verdict: withheld if it holds, but a task is shown to be worse."""
    if rail is not None and rail.having("worse") and Judgement(verdict).noninferior:
        return Verdict.WITHHELD
    return verdict


def tasks_like_these(evidence: Evidence, candidate: str) -> TasksLikeThese | None:
    """Return the random-effects result, if the protocol asks for it and there are enough tasks."""
    if "tasks like these" not in evidence.protocol.analysis.secondary:
        return None
    observed, _, _ = cases(evidence, candidate)
    states = list(observed.states.values())
    if len(states) < _FEWEST:
        return None
    found = further_tasks(states, alpha=observed.level(0.05))
    return TasksLikeThese(
        tasks=found.tasks, difference=found.difference, spread=found.spread, ci95=found.interval
    )
