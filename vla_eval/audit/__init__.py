"""Audit of published numbers: the conclusions that their counts allow."""

from vla_eval.audit.claims import parse_claims, read_claims, shipped_claims
from vla_eval.audit.results import Audit, Audited, ClaimFinding
from vla_eval.audit.run import audit

__all__ = [
    "Audit",
    "Audited",
    "ClaimFinding",
    "audit",
    "parse_claims",
    "read_claims",
    "shipped_claims",
]
