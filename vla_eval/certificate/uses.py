"""Counts the uses of a protocol's states, which gives the number of a certificate's candidate."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from vla_eval.certificate.evidence import Evidence, RecipeEvidence
from vla_eval.claims.uses import Attempt, attempt
from vla_eval.runs.header import identity_sha256

__all__ = ["count_recipe_use", "count_use"]


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


def count_recipe_use(run: Path, evidence: RecipeEvidence) -> Attempt:
    """Add the candidate recipe, which is the set of its checkpoints, to the ledger of uses."""
    roles, protocol = evidence.roles, evidence.protocol
    return attempt(
        run,
        protocol_sha256=protocol.sha256,
        label=protocol.label,
        reference_sha256=_of_all(evidence, roles.reference),
        candidate_sha256=_of_all(evidence, roles.candidate),
        records_sha256=evidence.records_sha256,
    )


def _of_all(evidence: RecipeEvidence, names: Sequence[str]) -> str:
    hashes = sorted(identity_sha256(evidence.arm(name).identity or {}) for name in names)
    return hashlib.sha256(" ".join(hashes).encode()).hexdigest()
