"""Flags: what a reader of a certificate has to know beside the verdict."""

from __future__ import annotations

from collections.abc import Iterator
from statistics import fmean

from vla_eval.certificate.evidence import Evidence
from vla_eval.certificate.model import Comparison
from vla_eval.stats import Flag, Verdict

__all__ = ["flags"]

_PASSING = (Verdict.SUPERIOR, Verdict.EQUIVALENT, Verdict.NON_INFERIOR)


def flags(
    evidence: Evidence, comparison: Comparison, control: Comparison | None, margin: float
) -> Iterator[Flag]:
    """Yield what a reader has to know beside the verdict (statistics: one line each)."""
    analysis, roles = evidence.protocol.analysis, evidence.roles
    reference = evidence.finals[roles.reference].values()
    rate = fmean(record.outcome == "success" for record in reference)
    if _standins(evidence):
        yield Flag.STAND_INS
    if evidence.protocol.overrides is not None:
        yield Flag.MODIFIED
    if margin != analysis.margin:
        yield Flag.POST_HOC
    if rate > 0.97 and margin > 1 - rate:
        yield Flag.CEILING
    if control is None:
        yield Flag.NOT_TESTED_SENSITIVITY
    elif control.verdict in _PASSING:
        yield Flag.NO_ASSAY_SENSITIVITY
    yield Flag.SINGLE_CHECKPOINT
    if analysis.cluster != "none":
        yield Flag.CLUSTERED
    if any(evidence.missing.values()):
        yield Flag.ATTRITION
    if comparison.heterogeneity_p is not None and comparison.heterogeneity_p < 0.05:
        yield Flag.HETEROGENEOUS


def _standins(evidence: Evidence) -> bool:
    finals = (record for each in evidence.finals.values() for record in each.values())
    return any(record.provenance.get("standins") for record in finals)
