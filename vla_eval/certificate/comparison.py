"""Comparison of two arms, and the power of that comparison."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from vla_eval.certificate.evidence import Evidence
from vla_eval.certificate.model import Assay, Comparison, Power, TaskResult
from vla_eval.judging import ledger
from vla_eval.judging.ledger import Outcome
from vla_eval.judging.looks import judged_by, sequential_plan
from vla_eval.judging.means import Means
from vla_eval.judging.measures import worth_of
from vla_eval.judging.methods import (
    AtLook,
    JudgingMethod,
    Repeats,
    TangoExact,
    judge_between,
    judging,
)
from vla_eval.judging.overruns import OverRuns
from vla_eval.judging.resizing import resize_rule
from vla_eval.plan import look_sizes
from vla_eval.stats import (
    Judgement,
    PairedCase,
    Verdict,
    operating_characteristics,
    pairs_by_formula,
    power_paired,
    resized_outlook,
    stratified_paired_interval,
    tango_p_noninferior,
)
from vla_eval.stats._numeric import crossing

__all__ = [
    "NOT_ACTING",
    "NOT_TESTED",
    "Level",
    "assay_of",
    "cases",
    "compare_arms",
    "graded",
    "power_of",
]

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
    """One-sided level of "not worse by the margin"."""
    stricter: float | None = None
    """Level of all other words about a candidate; None: the same."""

    @property
    def others(self) -> float:
        """Level of all other words."""
        return self.alpha if self.stricter is None else self.stricter


def cases(evidence: Evidence, candidate: str) -> tuple[JudgingMethod, JudgingMethod, JudgingMethod]:
    """Return the pairs of an arm and the reference: as observed, in the worst and in the best case."""
    if evidence.parts:
        runs = list(zip(*(cases(part, candidate) for part in evidence.parts), strict=True))
        return _over(runs[0]), _over(runs[1]), _over(runs[2])
    pairing, worth = (
        evidence.pairing(candidate, evidence.roles.reference),
        worth_of(evidence.protocol),
    )
    observed = _method(evidence, pairing.outcomes(worth=worth))
    if not pairing.doubtful:
        return observed, observed, observed
    worst = _method(evidence, pairing.outcomes("worst", worth))
    return observed, worst, _method(evidence, pairing.outcomes("best", worth))


def _over(runs: Sequence[JudgingMethod]) -> OverRuns:
    return OverRuns(tuple(outcome for run in runs for outcome in run.outcomes), tuple(runs))


def compare_arms(evidence: Evidence, candidate: str, level: Level) -> Comparison:
    """Judge one arm against the reference by the protocol's analysis plan.

    The shown values are the observed ones. The verdict holds for every possible result of the missing and
    retried episodes.
    """
    reference = evidence.roles.reference
    observed, worst, best = cases(evidence, candidate)
    judged = judge_between(worst, best, level.margin, level.alpha, others=level.stricter)
    table, unequal = observed.table, observed.agreement()
    low, high = observed.failure_ratio()
    repeats = _repeats(observed)
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
        e_value=worst.e_value(-level.margin),
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
        observed_verdict=judge_between(
            observed, observed, level.margin, level.alpha, others=level.stricter
        ).verdict,
        tasks=tuple(_task(name, method) for name, method in observed.by_task().items()),
        stratified_ci90=_stratified(observed),
        heterogeneity_q=unequal.q if unequal else None,
        heterogeneity_df=unequal.df if unequal else None,
        heterogeneity_p=unequal.p if unequal else None,
    )


def _method(evidence: Evidence, outcomes: tuple[Outcome, ...]) -> JudgingMethod:
    return judging(outcomes, evidence.protocol.analysis, judged_by(evidence.protocol))


def _repeats(method: JudgingMethod) -> Repeats | None:
    """Return the clusters of successes if states repeat: measures are judged by state in any case."""
    if isinstance(method, Means):
        data = ledger.clusters(method.outcomes)
        return Repeats(method.outcomes) if data.n > len(data.pairs) else None
    return method if isinstance(method, Repeats) else None


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
    method = _acting(evidence, control)
    return method.p_below(0.0), method.level(2 * level.alpha) / 2


def _acting(evidence: Evidence, control: str) -> JudgingMethod:
    """Return the control's pairs in its best case; failures without valid actions count as successes."""
    if evidence.parts:
        return _over([_acting(part, control) for part in evidence.parts])
    finals = evidence.arms[control].finals
    idle = {key for key, record in finals.items() if record.reason in NOT_ACTING}
    pairing = evidence.pairing(control, evidence.roles.reference)
    acting = tuple(
        _excused(outcome) if outcome.key in idle else outcome
        for outcome in pairing.outcomes("best", worth_of(evidence.protocol))
    )
    return _method(evidence, acting)


def _excused(outcome: Outcome) -> Outcome:
    """Return the pair with the control's failure counted as a success."""
    values = None if outcome.values is None else (1.0, outcome.values[1])
    return outcome._replace(ours=True, values=values)


def power_of(evidence: Evidence, comparison: Comparison, level: Level) -> Power:
    """Return the power of the plan at parity, given the observed rates.

    The reference's rate and the arms' correlation are estimates; the rate is shrunk a little so that it
    is never 1. The power is that of Tango's score without the exact test, which costs some points of
    power and takes seconds to compute. If states repeat, pairs are divided by the variance inflation,
    which gives an upper bound; `vlaeval power --states` computes the power of the tests.
    """
    protocol = evidence.protocol
    planned = sum(
        run.resizing.pairs if run.resizing else look_sizes(run.protocol)[-1]
        for run in evidence.runs
    )
    case = _observed(comparison)
    effective = max(1, round(planned / (comparison.vif or 1.0)))
    plan = sequential_plan(protocol, margin=level.margin)
    rule = resize_rule(protocol)
    if rule is not None:
        resized = resized_outlook(rule, case, margin=level.margin, alpha=level.alpha, guard=False)
        at_parity, expected = resized.certified, resized.pairs
    elif plan is None:
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
