"""Issuing: from admitted evidence to a certificate, by the protocol's analysis plan."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean

from vla_eval.certificate.evidence import Evidence, Roles, gather
from vla_eval.certificate.flags import flags
from vla_eval.certificate.model import ArmResult, Certificate, Comparison, Latency, TaskResult
from vla_eval.record import EpisodeRecord
from vla_eval.stats import (
    ClusteredPairs,
    Judgement,
    PairedTable,
    Verdict,
    exact_p_noninferior,
    failure_ratio_paired,
    judge_clustered,
    judge_paired,
    tango_p_noninferior,
    wilson_interval,
)
from vla_eval.stats.strata import heterogeneity_paired, stratified_paired_interval
from vla_eval.stats.superiority import mcnemar_p

__all__ = ["issue"]

_SENSITIVITY_TASKS = 2
"""From so many tasks on, differences between tasks are looked at."""


def issue(path: Path, roles: Roles, *, margin: float | None = None) -> Certificate:
    """Judge a run by its protocol.

    Args:
        path: the run folder.
        roles: which arm is what.
        margin: another margin than the protocol's; the certificate is then flagged as post hoc.

    Raises:
        RunFolderError: the evidence cannot be admitted.
        UsageError: the roles cannot be filled.
    """
    evidence = gather(path, roles)
    analysis = evidence.protocol.analysis
    used = analysis.margin if margin is None else margin
    comparison = _compare(evidence, roles.candidate, used)
    control = _compare(evidence, roles.control, used) if roles.control else None
    first = next(iter(evidence.finals[roles.candidate].values()))
    return Certificate(
        claim=(
            f"'{roles.candidate}' is not worse than '{roles.reference}' by {used:.1%} or more: "
            f"{analysis.estimand}"
        ),
        verdict=comparison.verdict,
        sentence=_sentence(comparison, used, analysis.alpha),
        flags=tuple(flags(evidence, comparison, control, used)),
        margin=used,
        margin_reason=analysis.margin_reason if used == analysis.margin else "given after the fact",
        alpha=analysis.alpha,
        protocol=evidence.protocol.label,
        protocol_sha256=evidence.protocol.sha256,
        modified=evidence.protocol.overrides is not None,
        estimand=analysis.estimand,
        records_sha256=evidence.records_sha256,
        run_created_at=evidence.run.created_at,
        comparison=comparison,
        control=control,
        arms=tuple(_arm(evidence, name) for name in roles.names),
        latency_ratio=_latency_ratio(evidence),
        versions=evidence.run.versions,
        machine=evidence.run.machine,
        provenance=first.provenance,
    )


def _compare(evidence: Evidence, candidate: str, margin: float) -> Comparison:
    reference, alpha = evidence.roles.reference, evidence.protocol.analysis.alpha
    table = evidence.table(candidate, reference)
    clusters = evidence.clusters(candidate, reference)
    pairs = table if clusters is None else clusters
    judgement = _judge(pairs, margin, alpha)
    by_task = evidence.tables_by_task(candidate, reference)
    several = len(by_task) >= _SENSITIVITY_TASKS
    tables = list(by_task.values())
    return Comparison(
        candidate=candidate,
        reference=reference,
        n11=table.n11,
        n10=table.n10,
        n01=table.n01,
        n00=table.n00,
        difference=table.difference,
        ci90=pairs.interval(alpha=0.10),
        ci95=pairs.interval(),
        ci_alpha=pairs.interval(alpha=2 * alpha),
        p_noninferior=_p_noninferior(pairs, margin),
        p_noninferior_exact=exact_p_noninferior(table.n10, table.n01, table.n, margin=margin),
        p_superior_midp=mcnemar_p(table),
        phi=_phi(table),
        discordance=(table.n10 + table.n01) / table.n,
        clusters=None if clusters is None else len(clusters.pairs),
        vif=None if clusters is None else clusters.vif,
        failure_ratio_ci95=_failure_ratio(table),
        verdict=judgement.verdict,
        also=judgement.also,
        tasks=tuple(_task(name, each) for name, each in by_task.items()),
        stratified_ci90=stratified_paired_interval(tables, alpha=0.10) if several else None,
        heterogeneity_p=heterogeneity_paired(tables).p if several else None,
        worst_case_verdict=_worst_case(evidence, candidate, margin),
    )


def _judge(pairs: PairedTable | ClusteredPairs, margin: float, alpha: float) -> Judgement:
    if isinstance(pairs, ClusteredPairs):
        return judge_clustered(pairs, margin=margin, alpha=alpha)
    return judge_paired(pairs, margin=margin, alpha=alpha)


def _p_noninferior(pairs: PairedTable | ClusteredPairs, margin: float) -> float:
    if isinstance(pairs, ClusteredPairs):
        return pairs.p_noninferior(margin=margin)
    return tango_p_noninferior(pairs.n10, pairs.n01, pairs.n, margin=margin)


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


def _phi(table: PairedTable) -> float | None:
    """Return the correlation of two binary outcomes."""
    ours, theirs = table.n11 + table.n10, table.n11 + table.n01
    spread = ours * (table.n - ours) * theirs * (table.n - theirs)
    if spread == 0:
        return None
    return (table.n11 * table.n00 - table.n10 * table.n01) / math.sqrt(spread)


def _failure_ratio(table: PairedTable) -> tuple[float, float | None]:
    low, high = failure_ratio_paired(table)
    return low, None if math.isinf(high) else high


def _arm(evidence: Evidence, name: str) -> ArmResult:
    records = list(evidence.finals[name].values())
    successes = sum(record.outcome == "success" for record in records)
    inferences = sum(record.inferences for record in records)
    roles = evidence.roles
    return ArmResult(
        name=name,
        role=(
            "candidate"
            if name == roles.candidate
            else "reference"
            if name == roles.reference
            else "negative control"
        ),
        spec=evidence.arm(name).spec,
        identity=evidence.arm(name).identity or {},
        n=len(records),
        successes=successes,
        missing=len(evidence.missing[name]),
        wilson95=wilson_interval(successes, len(records)),
        mean_score=fmean(record.score for record in records),
        steps_mean=fmean(record.steps for record in records),
        nfe_per_inference=sum(record.nfe for record in records) / max(1, inferences),
        clipped_actions=sum(record.clipped_actions for record in records),
        latency=_latency(records),
    )


def _latency(records: Sequence[EpisodeRecord]) -> Latency | None:
    """Return quantiles over all inferences but each episode's first, which warms up."""
    ordered = sorted(ms for record in records for ms in record.timing.infer_ms[1:])
    if not ordered:
        return None

    def quantile(q: float) -> float:
        return ordered[min(len(ordered) - 1, int(q * len(ordered)))]

    return Latency(
        p50_ms=quantile(0.50),
        p95_ms=quantile(0.95),
        p99_ms=quantile(0.99),
        inferences=len(ordered),
    )


def _latency_ratio(evidence: Evidence) -> float | None:
    ours = _latency(list(evidence.finals[evidence.roles.candidate].values()))
    theirs = _latency(list(evidence.finals[evidence.roles.reference].values()))
    if ours is None or theirs is None or ours.p50_ms <= 0:
        return None
    return theirs.p50_ms / ours.p50_ms


def _sentence(comparison: Comparison, margin: float, alpha: float) -> str:
    low, high = comparison.ci_alpha
    numbers = (
        f"difference {comparison.difference:+.1%}, {1 - 2 * alpha:.0%} interval "
        f"[{low:+.1%}, {high:+.1%}], margin {margin:.1%}"
    )
    return f"{comparison.verdict.sentence} ({numbers}.)"
