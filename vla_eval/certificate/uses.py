"""Counts the uses of a protocol's states, which gives the number of a certificate's candidate."""

from __future__ import annotations

from pathlib import Path

from vla_eval.certificate.evidence import Evidence
from vla_eval.claims.uses import Attempt, attempt
from vla_eval.runs.header import identity_sha256

__all__ = ["count_use"]


def count_use(run: Path, evidence: Evidence) -> Attempt:
    """Add the candidate to the ledger of uses, and return its number there."""
    roles, protocol = evidence.roles, evidence.protocol
    return attempt(
        run,
        protocol_sha256=protocol.sha256,
        label=protocol.label,
        reference_sha256=identity_sha256(evidence.arm(roles.reference).identity or {}),
        candidate_sha256=identity_sha256(evidence.arm(roles.candidate).identity or {}),
        records_sha256=evidence.records_sha256,
    )
