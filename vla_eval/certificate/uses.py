"""Counts the uses of a protocol's states, which gives the number of a certificate's candidate."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from vla_eval.certificate.evidence import Evidence
from vla_eval.claims.uses import Attempt, attempt
from vla_eval.runs.header import identity_sha256

__all__ = ["count_use"]


def count_use(run: Path, evidence: Evidence) -> Attempt:
    """Add the candidates to the ledger of uses, and return the number of their attempt.

    A family of candidates, whose levels share one alpha, is one attempt. Its number counts the candidates
    outside of the family that were tried before.
    """
    roles, protocol = evidence.roles, evidence.protocol
    members = {roles.candidate, *roles.others}
    uses = [
        attempt(
            run,
            protocol_sha256=protocol.sha256,
            label=protocol.label,
            reference_sha256=identity_sha256(evidence.arm(roles.reference).identity or {}),
            candidate_sha256=identity_sha256(arm.identity or {}),
            records_sha256=evidence.records_sha256,
        )
        for arm in evidence.header.arms
        if arm.name in members
    ]
    last = max(use.number for use in uses)
    warnings = tuple(dict.fromkeys(warning for use in uses for warning in use.warnings))
    return replace(uses[0], number=max(1, last - len(uses) + 1), warnings=warnings)
