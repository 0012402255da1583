"""Issuing: from admitted evidence to a certificate, by the protocol's analysis plan."""

from __future__ import annotations

import math
from datetime import datetime
from pathlib import Path
from statistics import fmean

import numpy as np

from vla_eval.certificate.comparison import compare_arms, power_of
from vla_eval.certificate.evidence import Evidence, Roles, gather
from vla_eval.certificate.flags import flags
from vla_eval.certificate.latency import arm_latency, latency_ratios, median_speedup
from vla_eval.certificate.model import ArmResult, Certificate, Comparison, Seeds, Sequential
from vla_eval.looks import look_sentence, sequential_plan
from vla_eval.stats import ClusteredRate, rerun_sd, wilson_interval

__all__ = ["issue", "issue_from"]


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
    return issue_from(gather(path, roles), margin=margin)


def issue_from(evidence: Evidence, *, margin: float | None = None) -> Certificate:
    """Judge admitted evidence; see :func:`issue`."""
    analysis, roles = evidence.protocol.analysis, evidence.roles
    used = analysis.margin if margin is None else margin
    comparison = compare_arms(evidence, roles.candidate, used)
    control = compare_arms(evidence, roles.control, used) if roles.control else None
    records = [record for each in evidence.finals.values() for record in each.values()]
    begun = sorted((record.timing.started_at for record in records), key=datetime.fromisoformat)
    ratios = latency_ratios(evidence)
    return Certificate(
        claim=(
            f"'{roles.candidate}' is not worse than '{roles.reference}' by {used:.1%} or more: "
            f"{analysis.estimand}"
        ),
        verdict=comparison.verdict,
        sentence=_sentence(evidence, comparison, used),
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
        first_episode_at=begun[0],
        last_episode_at=begun[-1],
        comparison=comparison,
        control=control,
        sequential=_sequential(evidence),
        arms=tuple(_arm(evidence, name) for name in roles.names),
        seeds=Seeds(
            env_seeds=evidence.protocol.run.env_seeds,
            policy_seeds=evidence.protocol.run.policy_seeds,
        ),
        power=power_of(evidence, comparison, used),
        latency_ratio=median_speedup(evidence),
        latency_ratios=ratios,
        faster=ratios[0].interval95[1] < 1 if ratios else None,
        versions=evidence.run.versions,
        machine=evidence.run.machine,
        provenance=records[0].provenance,
    )


def _sequential(evidence: Evidence) -> Sequential | None:
    plan = sequential_plan(evidence.protocol)
    if plan is None:
        return None
    last = evidence.looks[-1]
    return Sequential(
        sizes=plan.sizes,
        bounds=plan.bounds,
        levels=plan.levels,
        looks=evidence.looks,
        sentence=look_sentence(last, plan.looks),
    )


def _arm(evidence: Evidence, name: str) -> ArmResult:
    records = list(evidence.finals[name].values())
    successes = sum(record.outcome == "success" for record in records)
    inferences = sum(record.inferences for record in records)
    rate = successes / len(records)
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
        wilson95=_wilson(evidence, name),
        sampling_sd=math.sqrt(rate * (1 - rate) / len(records)),
        rerun_sd=_rerun_sd(evidence, name),
        mean_score=fmean(record.score for record in records),
        steps_mean=fmean(record.steps for record in records),
        nfe_per_inference=sum(record.nfe for record in records) / max(1, inferences),
        clipped_actions=sum(record.clipped_actions for record in records),
        latency=arm_latency(records),
    )


def _by_state(evidence: Evidence, name: str) -> dict[tuple[str, str, int], list[bool]]:
    states: dict[tuple[str, str, int], list[bool]] = {}
    for key, record in evidence.finals[name].items():
        state = (key.suite, key.task, key.init_state)
        states.setdefault(state, []).append(record.outcome == "success")
    return states


def _wilson(evidence: Evidence, name: str) -> tuple[float, float]:
    """Return Wilson's interval; where states repeat, with episodes divided by the inflation."""
    states = list(_by_state(evidence, name).values())
    episodes, successes = [len(each) for each in states], [sum(each) for each in states]
    if evidence.protocol.analysis.cluster == "none" or len(states) < 2:
        return wilson_interval(sum(successes), sum(episodes))
    return ClusteredRate(np.array(episodes), np.array(successes)).interval()


def _rerun_sd(evidence: Evidence, name: str) -> float | None:
    """Return how much the rate moves when the same states run again; None: each ran once."""
    states = _by_state(evidence, name)
    repeats = fmean(len(each) for each in states.values())
    if repeats <= 1:
        return None
    # p̂(1 − p̂) of m repeats is too small by (m − 1)/m; the mean of m repeats varies less by √m.
    return rerun_sd([fmean(each) for each in states.values()]) / math.sqrt(repeats - 1)


def _sentence(evidence: Evidence, comparison: Comparison, margin: float) -> str:
    alpha = evidence.protocol.analysis.alpha
    low, high = comparison.ci_alpha
    kind = "repeated interval" if evidence.looks else "interval"
    numbers = (
        f"difference {comparison.difference:+.1%}, {1 - 2 * alpha:.0%} {kind} "
        f"[{low:+.1%}, {high:+.1%}], margin {margin:.1%}"
    )
    stopped = f"; look {evidence.looks[-1].number}" if evidence.looks else ""
    return f"{comparison.verdict.sentence} ({numbers}{stopped}.)"
