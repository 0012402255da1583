"""Flags: limits of a verdict that a reader of the certificate must know."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from vla_eval.catalog import development_keys
from vla_eval.certificate.anchors import Anchors
from vla_eval.certificate.evidence import Admitted, Evidence
from vla_eval.certificate.model import Assay, Comparison
from vla_eval.identity import server_identity, weights_are_hashed
from vla_eval.judging.guardrail import GuardRail
from vla_eval.judging.means import mean_of
from vla_eval.judging.measures import worth_of
from vla_eval.judging.roles import AnyRoles
from vla_eval.stats import Decision, Flag, is_ceiling, is_floor
from vla_eval.trainedon import seen

__all__ = [
    "Raised",
    "about_anchors",
    "about_arms",
    "about_records",
    "flags",
    "in_order",
]

_GRADES = {
    "not shown": Flag.SENSITIVITY_NOT_SHOWN,
    "refuted": Flag.NO_ASSAY_SENSITIVITY,
    "not tested": Flag.NOT_TESTED_SENSITIVITY,
}
_NAMES = ("name", "spec")
"""Fields that may differ between two identities of one policy."""


def flags(
    evidence: Evidence,
    comparison: Comparison,
    assay: Assay,
    anchors: Anchors,
    margin: float,
    rail: GuardRail | None,
) -> dict[Flag, str]:
    """Return the raised flags in the order of the enumeration, each with its detail ("": no detail).

    That order is also the order in the text.
    """
    raised = (
        _about_policies(evidence)
        | _about_episodes(evidence, comparison, margin)
        | about_anchors(evidence, anchors, margin)
        | _about_virtual_time(evidence)
    )
    if rail is not None and rail.having("worse"):
        raised[Flag.TASK_WORSE] = ", ".join(rail.having("worse"))
    return in_order(raised, assay)


def _about_virtual_time(evidence: Evidence) -> Raised:
    settings = evidence.protocol.run.realtime
    if settings is None:
        return {}
    own = [settings.arms.get(name) for name in evidence.roles.shown]
    measured = all(arm is not None and arm.profile is not None for arm in own)
    naive = settings.mode == "async" and settings.merge in (None, "replace")
    return {
        Flag.DECLARED_LATENCY: None if measured else "",
        Flag.NAIVE_ASYNC: "" if naive else None,
        Flag.NO_JITTER: "" if settings.jitter is None else None,
    }


type Raised = dict[Flag, str | None]
"""Details by flag; None: the flag is not raised."""


def in_order(raised: Raised, assay: Assay) -> dict[Flag, str]:
    """Return the raised flags in the order of the enumeration, with that of the control."""
    if assay.grade in _GRADES:
        raised = {**raised, _GRADES[assay.grade]: ""}
    return {flag: raised[flag] or "" for flag in Flag if raised.get(flag) is not None}


def _about_policies(evidence: Evidence) -> Raised:
    roles = evidence.roles
    ours, theirs = (
        evidence.arm(name).identity or {} for name in (roles.candidate, roles.reference)
    )
    return {
        Flag.SINGLE_CHECKPOINT: "",
        Flag.SELF_COMPARISON: "" if _policy(ours) == _policy(theirs) else None,
        **about_arms(evidence),
    }


def about_arms[R: AnyRoles](evidence: Admitted[R]) -> Raised:
    """Return what the identities of the arms leave open."""
    identities = {name: evidence.arm(name).identity or {} for name in evidence.roles.names}
    scenes = {record.scene_hash for record in evidence.records()}
    return {
        Flag.DECLARED_POLICY: _arms(
            identities, lambda identity: server_identity(identity) is not None
        ),
        Flag.UNHASHED_WEIGHTS: _arms(identities, lambda identity: not weights_are_hashed(identity)),
        Flag.UNHASHED_SPEC: _arms(identities, lambda identity: "spec" not in identity),
        Flag.PRIVILEGED: _arms(identities, lambda identity: bool(identity.get("privileged"))),
        Flag.TRAINED_ON_UNKNOWN: _arms(identities, lambda identity: seen(identity, scenes) is None),
    }


def _policy(identity: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in identity.items() if name not in _NAMES}


def _arms(
    identities: Mapping[str, Mapping[str, Any]], holds: Callable[[Mapping[str, Any]], bool]
) -> str | None:
    """Return the names of the arms for which a condition holds; None if there are none."""
    names = [name for name, identity in identities.items() if holds(identity)]
    return ", ".join(names) if names else None


def _about_episodes(evidence: Evidence, comparison: Comparison, margin: float) -> Raised:
    rate = _reference_mean(evidence)
    unequal = comparison.heterogeneity_p
    return {
        **about_records(evidence),
        Flag.CEILING: "" if is_ceiling(rate, margin=margin) else None,
        Flag.FLOOR: "" if is_floor(rate, margin=margin) else None,
        Flag.CLUSTERED: _repeats(comparison),
        Flag.HETEROGENEOUS: "" if unequal is not None and unequal < 0.05 else None,
        Flag.STOPPED_BY_HAND: ""
        if any(look.decision is Decision.CONTINUE for look in evidence.looks[-1:])
        else None,
    }


def about_records[R: AnyRoles](evidence: Admitted[R]) -> Raised:
    """Return what happened to the episodes."""
    records = evidence.records()
    return {
        Flag.ATTRITION: _counts({name: len(arm.missing) for name, arm in evidence.arms.items()}),
        Flag.RETRIED: _counts({name: len(arm.retried) for name, arm in evidence.arms.items()}),
        Flag.STAND_INS: ""
        if any(record.provenance.get("standins") for record in records)
        else None,
        Flag.BATCHED: "" if any(record.timing.max_batch > 1 for record in records) else None,
    }


def _reference_mean(evidence: Evidence) -> float:
    """Return the reference's mean of the protocol's measure, in [0, 1]."""
    reference, worth = evidence.arms[evidence.roles.reference], worth_of(evidence.protocol)
    if worth is None:
        return reference.successes / reference.n
    return mean_of(reference, worth, evidence.protocol.analysis)[0]


def _repeats(comparison: Comparison) -> str | None:
    if comparison.clusters is None:
        return None
    return f"{comparison.clusters} states, {comparison.n / comparison.clusters:g} repeats"


def _counts(counts: Mapping[str, int]) -> str | None:
    if not any(counts.values()):
        return None
    return ", ".join(f"{name} {count}" for name, count in counts.items())


def about_anchors[R: AnyRoles](evidence: Admitted[R], anchors: Anchors, margin: float) -> Raised:
    """Return what is not known to be older than the results."""
    protocol, roles = evidence.protocol, evidence.roles
    development = [key for each in evidence.protocols for key in development_keys(each)]
    analysis = protocol.analysis
    named = analysis.candidate or analysis.candidates or analysis.recipe
    declared = anchors.registration is not None or named
    others = [arm.name for arm in evidence.header.arms if arm.name not in roles.names]
    return {
        Flag.POST_HOC: "" if margin != analysis.margin else None,
        Flag.MODIFIED: _overrides(evidence),
        Flag.UNRELEASED_PROTOCOL: "" if anchors.standing == "unreleased" else None,
        Flag.UNREGISTERED: "" if anchors.registration is None else None,
        Flag.PICKED_CANDIDATE: f"{len(others)} others: {', '.join(others)}"
        if others and not declared
        else None,
        Flag.REUSED_HOLDOUT: f"candidate {anchors.attempt}" if anchors.attempt > 1 else None,
        Flag.DEVELOPMENT_STATES: f"{len(development)} of {len(evidence.keys)} episodes"
        if development
        else None,
    }


def _overrides[R: AnyRoles](evidence: Admitted[R]) -> str | None:
    changed = [each.overrides for each in evidence.protocols if each.overrides is not None]
    if not changed:
        return None
    return "; ".join(", ".join(f"{key}={to}" for key, to in each.items()) for each in changed)
