"""Issuing: from admitted evidence to a certificate, by the protocol's analysis plan."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from statistics import fmean
from typing import Any

from vla_eval.bounds import check_margin
from vla_eval.certificate.anchors import Anchors
from vla_eval.certificate.comparison import Level, assay_of, compare_arms, power_of
from vla_eval.certificate.evidence import Admitted, Evidence
from vla_eval.certificate.family import family_of
from vla_eval.certificate.flags import flags
from vla_eval.certificate.latency import arm_latency, latency_ratios, median_speedup
from vla_eval.certificate.measured import measured
from vla_eval.certificate.model import (
    ArmResult,
    Certificate,
    Comparison,
    Resized,
    Role,
    Seeds,
    Sequential,
    Virtually,
)
from vla_eval.certificate.pooled import gather_all, parts_of
from vla_eval.certificate.scope import what_ran
from vla_eval.certificate.taskwise import guarded, rail_of, tasks_like_these
from vla_eval.certificate.virtual import virtually
from vla_eval.certificate.wording import Words
from vla_eval.claims.registration import Registration, check
from vla_eval.errors import RunFolderError
from vla_eval.judging.guardrail import GuardRail
from vla_eval.judging.looks import look_sentence, sequential_plan
from vla_eval.judging.rates import rate_interval
from vla_eval.judging.resizing import resizing_sentence
from vla_eval.judging.roles import AnyRoles, Roles
from vla_eval.released import Standing, standing
from vla_eval.stats import Flag, Verdict, rerun_sd
from vla_eval.trainedon import seen

__all__ = ["arm_result", "frame", "issue", "issue_from", "refuse_trained_on"]


def issue(
    path: Path,
    roles: Roles,
    *,
    margin: float | None = None,
    registration: Registration | None = None,
    attempt: int = 1,
    more: Sequence[Path] = (),
) -> Certificate:
    """Judge a run by its protocol.

    Args:
        path: the run folder.
        roles: the role of each arm.
        margin: replaces the protocol's margin; the certificate is then flagged as post hoc.
        registration: the declaration made before the first episode, if any.
        attempt: number of this candidate among those tried on these states with this reference
            (:mod:`vla_eval.claims.uses`); from the second on, alpha is smaller.
        more: further run folders, on other states, that are judged together with it.

    Raises:
        RunFolderError: the evidence cannot be admitted, or contradicts the registration.
        ProtocolError: the protocol differs from the released one with its name and version.
        UsageError: the roles cannot be filled.
    """
    return issue_from(
        gather_all([path, *more], roles), margin=margin, registration=registration, attempt=attempt
    )


def issue_from(
    evidence: Evidence,
    *,
    margin: float | None = None,
    registration: Registration | None = None,
    attempt: int = 1,
) -> Certificate:
    """Judge admitted evidence; see :func:`issue`."""
    analysis, roles, protocol = evidence.protocol.analysis, evidence.roles, evidence.protocol
    anchors = Anchors(_standing(evidence), registration, attempt)
    if registration is not None:
        check(registration, evidence.header, roles, evidence.first_attempt_at)
    refuse_trained_on(evidence)
    level = Level(
        check_margin(analysis.margin if margin is None else margin), anchors.alpha(analysis.alpha)
    )
    family = family_of(evidence, level)
    whole = level
    if family is not None:
        level = replace(level, alpha=family.level, stricter=family.level_others)
    comparison = compare_arms(evidence, roles.candidate, level)
    rail = rail_of(evidence, roles.candidate, level)
    verdict = guarded(comparison.verdict, rail)
    control = compare_arms(evidence, roles.control, whole) if roles.control else None
    assay = assay_of(evidence, control, whole)
    of_measure = measured(evidence, comparison, level)
    words = Words(of_measure)
    virtual = virtually(evidence, level)
    raised = flags(evidence, comparison, assay, anchors, level.margin, rail)
    shared = frame(evidence, level, anchors, raised)
    return Certificate(
        claim=_claim(comparison, level, shared["what_ran"], rail, words, virtual),
        verdict=verdict,
        sentence=_sentence(evidence, verdict, comparison, level, words),
        **shared,
        comparison=comparison,
        guard_rail=rail,
        tasks_like_these=tasks_like_these(evidence, roles.candidate),
        family=family,
        runs=parts_of(evidence, level),
        control=control,
        assay=assay,
        sequential=_sequential(evidence),
        resized=_resized(evidence),
        arms=tuple(arm_result(evidence, name, _role(roles, name)) for name in roles.shown),
        seeds=Seeds(
            env_seeds=tuple(sorted({key.env_seed for key in evidence.keys})),
            policy_seeds=tuple(sorted({key.policy_seed for key in evidence.keys})),
        )
        if evidence.parts
        else Seeds(env_seeds=protocol.run.env_seeds, policy_seeds=protocol.run.policy_seeds),
        power=None if of_measure else power_of(evidence, comparison, level),
        measured=of_measure,
        virtual=virtual,
        **_latency(evidence),
    )


def frame[R: AnyRoles](
    evidence: Admitted[R], level: Level, anchors: Anchors, raised: Mapping[Flag, str]
) -> dict[str, Any]:
    """Return the fields that every kind of certificate has: flags, level, anchors, evidence, machine."""
    analysis, ran = evidence.protocol.analysis, evidence.records()
    begun = sorted((record.timing.started_at for record in ran), key=datetime.fromisoformat)
    return {
        "flags": tuple(raised),
        "details": {flag.value: detail for flag, detail in raised.items() if detail},
        "margin": level.margin,
        "margin_reason": (
            analysis.margin_reason if level.margin == analysis.margin else "given after the fact"
        ),
        "alpha": level.alpha,
        "planned_alpha": analysis.alpha,
        "attempt": anchors.attempt,
        "protocol": evidence.protocol_label,
        "protocol_sha256": evidence.protocol_sha256,
        "standing": anchors.standing,
        "registration": anchors.registration,
        "what_ran": what_ran(evidence.keys),
        "estimand": analysis.estimand,
        "secondary": analysis.secondary,
        "records_sha256": evidence.records_sha256,
        "timings_sha256": evidence.timings_sha256,
        "run_created_at": evidence.header.created_at,
        "first_episode_at": begun[0],
        "last_episode_at": begun[-1],
        "sessions": len(set(evidence.sessions.values())),
        "versions": evidence.header.versions,
        "machine": evidence.header.machine,
        "provenance": ran[0].provenance,
    }


def _claim(
    comparison: Comparison,
    level: Level,
    ran: str,
    rail: GuardRail | None,
    words: Words,
    virtual: Virtually | None,
) -> str:
    guard = (
        f"; and no task is shown to be worse by more than {words.margin(rail.margin)}"
        if rail is not None
        else ""
    )
    when = f"; {virtual.sentence}" if virtual is not None else ""
    return (
        f"'{comparison.candidate}' is not {words.measure.worse} than '{comparison.reference}' by "
        f"{words.margin(level.margin)} or more, over {comparison.n} paired episodes: {ran}{when}{guard}"
    )


def _standing(evidence: Evidence) -> Standing:
    """Return whether all protocols are released; the one that is furthest from it decides."""
    order: tuple[Standing, ...] = ("released", "modified", "unreleased")
    return max((standing(run.protocol) for run in evidence.runs), key=order.index)


def _latency(evidence: Evidence) -> dict[str, Any]:
    ratios = latency_ratios(evidence)
    return {
        "latency_ratio": median_speedup(evidence),
        "latency_ratios": ratios,
        "faster": ratios[0].interval95[1] < 1 if ratios else None,
    }


def refuse_trained_on[R: AnyRoles](evidence: Admitted[R]) -> None:
    """Refuse episodes in scenes of an arm's own demonstrations."""
    scenes = {record.scene_hash for record in evidence.records()}
    for name in evidence.roles.names:
        known = seen(evidence.arm(name).identity or {}, scenes)
        if known:
            raise RunFolderError(
                f"arm '{name}' was trained in {len(known)} of the {len(scenes)} scenes that it is "
                f"judged in (the first is {known[0][:12]}); judge it on other initial states"
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


def _resized(evidence: Evidence) -> Resized | None:
    decision = evidence.resizing
    if decision is None:
        return None
    return Resized(decision=decision, sentence=resizing_sentence(decision))


def _role(roles: Roles, name: str) -> Role:
    if name == roles.candidate:
        return "candidate"
    if name == roles.as_fast:
        return "reference as fast"
    return "reference" if name == roles.reference else "negative control"


def arm_result[R: AnyRoles](evidence: Admitted[R], name: str, role: Role) -> ArmResult:
    """Return one arm alone."""
    arm = evidence.arms[name]
    records = list(arm.finals.values())
    inferences = sum(record.inferences for record in records)
    rate = arm.successes / arm.n
    return ArmResult(
        name=name,
        role=role,
        spec=evidence.arm(name).spec,
        identity=evidence.arm(name).identity or {},
        n=arm.n,
        successes=arm.successes,
        missing=len(arm.missing),
        retried=len(arm.retried),
        attempts=arm.attempts,
        wilson95=rate_interval(arm, evidence.protocol.analysis, level=_level(evidence)),
        sampling_sd=math.sqrt(rate * (1 - rate) / arm.n),
        rerun_sd=_rerun_sd(evidence, name),
        mean_score=fmean(record.score for record in records),
        mean_score_by_task={
            task: fmean(record.score for record in episodes.finals.values())
            for task, episodes in arm.by_task().items()
        },
        steps_mean=fmean(record.steps for record in records),
        nfe_per_inference=sum(record.nfe for record in records) / max(1, inferences),
        clipped_actions=sum(record.clipped_actions for record in records),
        latency=arm_latency(records),
    )


def _level[R: AnyRoles](evidence: Admitted[R]) -> float:
    """Return the two-sided level of a 95 % interval of one rate; at a look, the level of that look."""
    plan = sequential_plan(evidence.protocol)
    if plan is None:
        return 0.05
    return 2 * replace(plan, alpha=0.025).level(len(evidence.looks))


def _rerun_sd[R: AnyRoles](evidence: Admitted[R], name: str) -> float | None:
    """Return the SD of the rate when the same states run again; None: every state ran once."""
    states = evidence.arms[name].by_state()
    if states is None or states.n == len(states.episodes):
        return None
    # p̂(1 − p̂) of m repeats is too small by (m − 1)/m; the mean of m repeats varies less by √m.
    repeats = states.n / len(states.episodes)
    rates = (states.successes / states.episodes).tolist()
    return rerun_sd(rates) / math.sqrt(repeats - 1)


def _sentence(
    evidence: Evidence, verdict: Verdict, comparison: Comparison, level: Level, words: Words
) -> str:
    kind = "repeated interval" if evidence.looks else "interval"
    doubt = any(arm.missing or arm.retried for arm in evidence.arms.values())
    cases = ", whatever the missing and retried episodes were" if doubt else ""
    stopped = f"; look {evidence.looks[-1].number}" if evidence.looks else ""
    return (
        f"{words.says(verdict)} ({words.measure.difference} "
        f"{words.number(comparison.difference)} {words.unit}, "
        f"{100 * (1 - 2 * level.alpha):.3g} % {kind} {words.span(comparison.ci_judged)}{cases}, margin "
        f"{words.margin(level.margin)}{stopped}.)"
    )
