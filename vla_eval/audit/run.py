"""Judging a whole file of claims."""

from __future__ import annotations

from vla_eval.audit import schema
from vla_eval.audit.latency import audit_latency, audit_speedup
from vla_eval.audit.printed import audit_change, audit_error, audit_rate, audit_remark
from vla_eval.audit.rates import audit_rates
from vla_eval.audit.results import Audit, Audited
from vla_eval.audit.training import audit_seeds, audit_span

__all__ = ["audit"]


def audit(file: schema.ClaimsFile) -> Audit:
    """Judge every claim of a file, in its order; equal files give equal results."""
    return Audit(file, tuple(_audit(claim, file) for claim in file.claims))


def _audit(claim: schema.Claim, file: schema.ClaimsFile) -> Audited:  # noqa: PLR0911 - one a kind
    match claim:
        case schema.RatesClaim():
            return audit_rates(claim, file)
        case schema.SeedsClaim():
            return audit_seeds(claim, file)
        case schema.SpanClaim():
            return audit_span(claim)
        case schema.LatencyClaim():
            return audit_latency(claim, file)
        case schema.SpeedupClaim():
            return audit_speedup(claim, file)
        case schema.ChangeClaim():
            return audit_change(claim, file)
        case schema.ErrorClaim():
            return audit_error(claim, file)
        case schema.RateClaim():
            return audit_rate(claim, file)
        case schema.RemarkClaim():
            return audit_remark(claim, file)
