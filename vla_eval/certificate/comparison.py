"""Comparison of two arms, and the power of that comparison."""

from __future__ import annotations

import math
from dataclasses import dataclass

from vla_eval.certificate.evidence import Evidence
from vla_eval.certificate.model import Assay, Comparison, Power, TaskResult
from vla_eval.judging.ledger import Outcome
from vla_eval.judging.looks import sequential_plan
from vla_eval.judging.methods import (
    AtLook,
    JudgingMethod,
    Repeats,
    TangoExact,
    judge_between,
    judging,
)
from vla_eval.plan import look_sizes
from vla_eval.stats import (
    Judgement,
    PairedCase,
    Verdict,
    operating_characteristics,
    pairs_by_formula,
    power_paired,
    stratified_paired_interval,
    tango_p_noninferior,
)
from vla_eval.stats._numeric import crossing

__all__ = ["NOT_ACTING", "NOT_TESTED", "Level", "assay_of", "compare_arms", "graded", "power_of"]

_SENSITIVITY_TASKS = 2
"""Fewest tasks for which differences between tasks are analysed."""
_POWER = 0.8
NOT_ACTING = ("invalid_action", "policy_raised")
"""Reasons of failures without valid actions: they show nothing about the tasks."""
NOT_TESTED = Assay(
    grade="not tested",
    p=None,
    sentence="No negative control ran: nobody knows whether a bad policy would have passed.",
)


@dataclass(frozen=True)
class Level:
    """Margin and level of a verdict."""

    margin: float
    alpha: float
    """One-sided level."""


def compare_arms(evidence: Evidence, candidate: str, level: Level) -> Comparison:
    """Judge one arm against the reference by the protocol's analysis plan.

    The shown values are the observed ones. The verdict holds for every possible result of the missing and
    retried episodes.
    """
    reference = evidence.roles.reference
    pairing = evidence.pairing(candidate, reference)
    observed = _method(evidence, pairing.outcomes())
    worst = best = observed
    if pairing.doubtful:
        worst = _method(evidence, pairing.outcomes("worst"))
        best = _method(evidence, pairing.outcomes("best"))
    judged = judge_between(worst, best, level.margin, level.alpha)
    table, unequal = observed.table, observed.heterogeneity()
    low, high = observed.failure_ratio()
    repeats = observed if isinstance(observed, Repeats) else None
    return Comparison(
        candidate=candidate,
        reference=reference,
        n11=table.n11,
        n10=table.n10,
        n01=table.n01,
        n00=table.n00,
        difference=observed.difference,
        method=observed.name,
        ci90=observed.interval(0.10),
        ci95=observed.interval(0.05),
        ci_judged=(worst.interval(2 * level.alpha)[0], best.interval(2 * level.alpha)[1]),
        p_worse=worst.p_above(-level.margin),
        p_score=_score_p(observed, level.margin),
        p_different=observed.p_different(),
        phi=table.correlation,
        discordance=table.discordance,
        clusters=len(repeats.clusters.pairs) if repeats else None,
        vif=repeats.inflation if repeats else None,
        icc=repeats.icc if repeats else None,
        failure_ratio_ci95=(low, None if math.isinf(high) else high),
        verdict=judged.verdict,
        also=judged.also,
        observed_verdict=observed.judge(level.margin, level.alpha).verdict,
        tasks=tuple(_task(name, method) for name, method in observed.by_task().items()),
        stratified_ci90=_stratified(observed),
        heterogeneity_q=unequal.q if unequal else None,
        heterogeneity_df=unequal.df if unequal else None,
        heterogeneity_p=unequal.p if unequal else None,
    )


def _method(evidence: Evidence, outcomes: tuple[Outcome, ...]) -> JudgingMethod:
    return judging(outcomes, evidence.protocol.analysis, sequential_plan(evidence.protocol))


def _score_p(method: JudgingMethod, margin: float) -> float | None:
    if not isinstance(method, TangoExact | AtLook):
        return None
    table = method.table
    return tango_p_noninferior(table.n10, table.n01, table.n, margin=margin)


def _stratified(method: JudgingMethod) -> tuple[float, float] | None:
    """Return the stratified score interval of independent pairs of several tasks."""
    tables = [task.table for task in method.by_task().values()]
    if len(tables) < _SENSITIVITY_TASKS or not isinstance(method, TangoExact | AtLook):
        return None
    return stratified_paired_interval(tables, alpha=method.level(0.10))


def _task(name: str, method: JudgingMethod) -> TaskResult:
    table = method.table
    return TaskResult(
        task=name,
        n11=table.n11,
        n10=table.n10,
        n01=table.n01,
        n00=table.n00,
        difference=method.difference,
        ci90=method.interval(0.10),
    )


def assay_of(evidence: Evidence, control: Comparison | None, level: Level) -> Assay:
    """Grade the negative control's result: whether this run can distinguish bad policies from good ones."""
    if control is None:
        return NOT_TESTED
    p, needed = _p_control_is_worse(evidence, control.candidate, level)
    return graded(control.candidate, control.reference, control.verdict, p, needed)


def graded(control: str, reference: str, verdict: Verdict, p: float, needed: float) -> Assay:
    """Grade a control that ran.

    Args:
        control: its name.
        reference: name of the reference.
        verdict: the control's verdict in the candidate's place.
        p: one-sided p-value of "the control is not worse".
        needed: level that it must not exceed.
    """
    if Judgement(verdict).noninferior:
        return Assay(
            grade="refuted",
            p=p,
            sentence=(
                f"The negative control {control} passed as well ({verdict}): this "
                "run cannot tell a bad policy from a good one."
            ),
        )
    if p <= needed:
        return Assay(
            grade="shown",
            p=p,
            sentence=(
                f"The negative control {control} is shown to be worse than "
                f"{reference} (p = {p:.2g}) and did not pass: this run can tell a bad policy."
            ),
        )
    return Assay(
        grade="not shown",
        p=p,
        sentence=(
            f"The negative control {control} did not pass, but it is not shown to be worse "
            f"than {reference} either (p = {p:.2g}, needs {needed:.2g}): whether this run can "
            "tell a bad policy is open."
        ),
    )


def _p_control_is_worse(evidence: Evidence, control: str, level: Level) -> tuple[float, float]:
    """Return the p-value of "the control is not worse", and the level that it must not exceed."""
    finals = evidence.arms[control].finals
    idle = {key for key, record in finals.items() if record.reason in NOT_ACTING}
    outcomes = evidence.pairing(control, evidence.roles.reference).outcomes("best")
    acting = tuple(
        outcome._replace(ours=True) if outcome.key in idle else outcome for outcome in outcomes
    )
    method = _method(evidence, acting)
    return method.p_below(0.0), method.level(2 * level.alpha) / 2


def power_of(evidence: Evidence, comparison: Comparison, level: Level) -> Power:
    """Return the power of the plan at parity, given the observed rates.

    The reference's rate and the arms' correlation are estimates; the rate is shrunk a little so that it
    is never 1. The power is that of Tango's score without the exact test, which costs some points of
    power and takes seconds to compute. If states repeat, pairs are divided by the variance inflation,
    which gives an upper bound; `vlaeval power --states` computes the power of the tests.
    """
    protocol = evidence.protocol
    planned = look_sizes(protocol)[-1]
    case = _observed(comparison)
    effective = max(1, round(planned / (comparison.vif or 1.0)))
    plan = sequential_plan(protocol, margin=level.margin)
    if plan is None:
        at_parity = power_paired(effective, case, margin=level.margin, alpha=level.alpha)
        expected = float(planned)
    else:
        outlook = operating_characteristics(plan, case, guard=False)
        at_parity, expected = outlook.certified, outlook.pairs
    return Power(
        pairs_planned=planned,
        pairs_expected=expected,
        reference_rate=case.p_reference,
        correlation=case.correlation,
        at_parity=at_parity,
        pairs_for_80=pairs_by_formula(case, margin=level.margin, alpha=level.alpha, power=_POWER),
        smallest_margin_80=_smallest_margin(case, effective, level.alpha),
    )


def _observed(comparison: Comparison) -> PairedCase:
    wins, losses = comparison.n11 + comparison.n01, comparison.n10 + comparison.n00
    rate = (wins + 0.5) / (wins + losses + 1)
    return PairedCase(rate, 0.0, min(0.99, max(0.0, comparison.phi or 0.0)))


def _smallest_margin(case: PairedCase, pairs: int, alpha: float) -> float | None:
    """Return the margin that this many pairs certify at parity with 80 % power, by formula."""

    def needed(margin: float) -> float:
        return pairs_by_formula(case, margin=margin, alpha=alpha, power=_POWER)

    bounds = (1e-3, 0.5)
    if needed(bounds[1]) > pairs:
        return None
    return round(crossing(needed, pairs, bounds), 4)
