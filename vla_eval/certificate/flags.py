"""Flags: what a reader of a certificate has to know beside the verdict."""

from __future__ import annotations

from collections.abc import Iterator
from statistics import fmean

from vla_eval.certificate.evidence import Evidence
from vla_eval.certificate.model import Comparison
from vla_eval.policy import server_identity
from vla_eval.record import EpisodeRecord
from vla_eval.stats import Decision, Flag, Verdict, is_ceiling

__all__ = ["flags"]

_PASSING = (Verdict.SUPERIOR, Verdict.EQUIVALENT, Verdict.NON_INFERIOR)


def flags(
    evidence: Evidence, comparison: Comparison, control: Comparison | None, margin: float
) -> Iterator[Flag]:
    """Yield what a reader has to know beside the verdict (statistics: one line each)."""
    analysis, roles = evidence.protocol.analysis, evidence.roles
    reference = evidence.finals[roles.reference].values()
    rate = fmean(record.outcome == "success" for record in reference)
    unequal = comparison.heterogeneity_p
    raised = {
        Flag.STAND_INS: _standins(evidence),
        Flag.DECLARED_POLICY: any(_declared(evidence, name) for name in roles.names),
        Flag.BATCHED: _batched(evidence),
        Flag.MODIFIED: evidence.protocol.overrides is not None,
        Flag.STOPPED_BY_HAND: any(
            look.decision is Decision.CONTINUE for look in evidence.looks[-1:]
        ),
        Flag.POST_HOC: margin != analysis.margin,
        Flag.CEILING: is_ceiling(rate, margin=margin),
        Flag.NOT_TESTED_SENSITIVITY: control is None,
        Flag.NO_ASSAY_SENSITIVITY: control is not None and control.verdict in _PASSING,
        Flag.SINGLE_CHECKPOINT: True,
        Flag.CLUSTERED: analysis.cluster != "none",
        Flag.ATTRITION: any(evidence.missing.values()),
        Flag.HETEROGENEOUS: unequal is not None and unequal < 0.05,
    }
    yield from (flag for flag, is_raised in raised.items() if is_raised)


def _records(evidence: Evidence) -> Iterator[EpisodeRecord]:
    return (record for each in evidence.finals.values() for record in each.values())


def _declared(evidence: Evidence, name: str) -> bool:
    return server_identity(evidence.arm(name).identity) is not None


def _batched(evidence: Evidence) -> bool:
    return any(record.timing.max_batch > 1 for record in _records(evidence))


def _standins(evidence: Evidence) -> bool:
    return any(record.provenance.get("standins") for record in _records(evidence))
