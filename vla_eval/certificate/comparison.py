"""Comparing two arms, and what the comparison could have shown."""

from __future__ import annotations

import math

from vla_eval.certificate.evidence import Evidence
from vla_eval.certificate.model import Comparison, Power, TaskResult
from vla_eval.certificate.pairs import Pairs
from vla_eval.looks import sequential_plan
from vla_eval.plan import look_sizes
from vla_eval.stats import (
    PairedCase,
    PairedTable,
    Verdict,
    exact_p_noninferior,
    failure_ratio_paired,
    heterogeneity_paired,
    judge_paired,
    mcnemar_p,
    operating_characteristics,
    pairs_by_formula,
    power_paired,
    stratified_paired_interval,
)
from vla_eval.stats._numeric import crossing

__all__ = ["compare_arms", "power_of"]

_SENSITIVITY_TASKS = 2
"""From so many tasks on, differences between tasks are looked at."""
_POWER = 0.8


def compare_arms(evidence: Evidence, candidate: str, margin: float) -> Comparison:
    """Judge one arm against the reference by the protocol's analysis plan."""
    reference, alpha = evidence.roles.reference, evidence.protocol.analysis.alpha
    pairs = Pairs.of(evidence, candidate, margin)
    table, clusters = pairs.table, pairs.clusters
    judgement = pairs.judge(margin, alpha)
    by_task = evidence.tables_by_task(candidate, reference)
    several = len(by_task) >= _SENSITIVITY_TASKS
    tables = list(by_task.values())
    unequal = heterogeneity_paired(tables) if several else None
    return Comparison(
        candidate=candidate,
        reference=reference,
        n11=table.n11,
        n10=table.n10,
        n01=table.n01,
        n00=table.n00,
        difference=table.difference,
        ci90=pairs.interval(0.10),
        ci95=pairs.interval(0.05),
        ci_alpha=pairs.interval(2 * alpha),
        p_noninferior=pairs.p_noninferior(margin),
        p_noninferior_exact=exact_p_noninferior(table.n10, table.n01, table.n, margin=margin),
        p_superior_midp=mcnemar_p(table),
        phi=table.correlation,
        discordance=table.discordance,
        clusters=None if clusters is None else len(clusters.pairs),
        vif=None if clusters is None else clusters.vif,
        icc=None if clusters is None else _icc(clusters.vif, table.n / len(clusters.pairs)),
        failure_ratio_ci95=_failure_ratio(table),
        verdict=judgement.verdict,
        also=judgement.also,
        tasks=tuple(_task(name, each) for name, each in by_task.items()),
        stratified_ci90=stratified_paired_interval(tables, alpha=0.10) if several else None,
        heterogeneity_q=unequal.q if unequal else None,
        heterogeneity_df=unequal.df if unequal else None,
        heterogeneity_p=unequal.p if unequal else None,
        worst_case_verdict=_worst_case(evidence, candidate, margin),
    )


def _icc(vif: float, repeats: float) -> float | None:
    """Return the correlation within a state: VIF = 1 + (m − 1) ICC for m repeats."""
    return (vif - 1) / (repeats - 1) if repeats > 1 else None


def _worst_case(evidence: Evidence, candidate: str, margin: float) -> Verdict | None:
    """Judge again with the missing episodes at their worst, where some are missing."""
    reference = evidence.roles.reference
    if not evidence.missing[candidate] and not evidence.missing[reference]:
        return None
    table = evidence.table(candidate, reference, missing_wins=True)
    return judge_paired(table, margin=margin, alpha=evidence.protocol.analysis.alpha).verdict


def _task(name: str, table: PairedTable) -> TaskResult:
    return TaskResult(
        task=name,
        n11=table.n11,
        n10=table.n10,
        n01=table.n01,
        n00=table.n00,
        difference=table.difference,
        ci90=table.interval(alpha=0.10),
    )


def _failure_ratio(table: PairedTable) -> tuple[float, float | None]:
    low, high = failure_ratio_paired(table)
    return low, None if math.isinf(high) else high


def power_of(evidence: Evidence, comparison: Comparison, margin: float) -> Power:
    """Say what the plan could have shown at parity, given the rates that were observed.

    The reference's rate and the arms' correlation are estimates, the rate shrunk a little so that a
    reference that never fails is not taken for certain. The exact test's price, some points, is
    left out: it takes seconds to compute.
    """
    protocol = evidence.protocol
    alpha, planned = protocol.analysis.alpha, look_sizes(protocol)[-1]
    case = _observed(comparison)
    effective = max(1, round(planned / (comparison.vif or 1.0)))
    plan = sequential_plan(protocol, margin=margin)
    if plan is None:
        at_parity = power_paired(effective, case, margin=margin, alpha=alpha)
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
        pairs_for_80=pairs_by_formula(case, margin=margin, alpha=alpha, power=_POWER),
        smallest_margin_80=_smallest_margin(case, effective, alpha),
    )


def _observed(comparison: Comparison) -> PairedCase:
    wins, losses = comparison.n11 + comparison.n01, comparison.n10 + comparison.n00
    rate = (wins + 0.5) / (wins + losses + 1)
    return PairedCase(rate, 0.0, min(0.99, max(0.0, comparison.phi or 0.0)))


def _smallest_margin(case: PairedCase, pairs: int, alpha: float) -> float | None:
    """Return the margin that so many pairs certify at parity with 80 %, by formula."""

    def needed(margin: float) -> float:
        return pairs_by_formula(case, margin=margin, alpha=alpha, power=_POWER)

    bounds = (1e-3, 0.5)
    if needed(bounds[1]) > pairs:
        return None
    return round(crossing(needed, pairs, bounds), 4)
