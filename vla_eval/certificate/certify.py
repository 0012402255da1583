"""Certifying a run folder: its registration, the judgement, and the count of uses of its states."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from vla_eval.certificate.evidence import (
    Admitted,
    Evidence,
    RecipeEvidence,
    gather,
    gather_recipes,
)
from vla_eval.certificate.issue import issue_from
from vla_eval.certificate.model import Certificate
from vla_eval.certificate.recipe.issue import issue_recipe
from vla_eval.certificate.recipe.model import RecipeCertificate
from vla_eval.certificate.uses import count_recipe_use, count_use
from vla_eval.claims.registration import (
    FILE_NAME,
    Registration,
    check,
    committed_since,
    keep,
    kept,
    read_registration,
)
from vla_eval.errors import UsageError
from vla_eval.judging.roles import AnyRoles, Roles

__all__ = ["Certified", "CertifiedRecipe", "certify", "certify_recipe"]


@dataclass(frozen=True)
class Certified:
    """A certificate and its evidence."""

    certificate: Certificate
    evidence: Evidence
    warnings: tuple[str, ...]
    """Problems with counting the use of the states, one sentence each."""


@dataclass(frozen=True)
class CertifiedRecipe:
    """A certificate about recipes and its evidence."""

    certificate: RecipeCertificate
    evidence: RecipeEvidence
    warnings: tuple[str, ...]
    """Problems with counting the use of the states, one sentence each."""


def certify(
    run: Path,
    roles: Roles,
    *,
    margin: float | None = None,
    registration: Path | None = None,
    since: str | None = None,
) -> Certified:
    """Judge a complete run by its protocol, and count this use of the protocol's states.

    It writes only the ledger of uses, and the copy of the registration in the run folder.

    Args:
        run: the run folder.
        roles: the role of each arm.
        margin: replaces the protocol's margin; the certificate is then flagged as post hoc.
        registration: file of the registration; default the copy in the run folder.
        since: a commit that must hold the registration, made before the first episode.

    Raises:
        RunFolderError: the evidence cannot be admitted, or contradicts the registration.
        ProtocolError: the protocol differs from the released one with its name and version.
        UsageError: the roles cannot be filled, or the registration came too late.
    """
    evidence = gather(run, roles)
    declared = _declared(run, registration, since, evidence)
    # Judged once before the use is counted: a refused run is no use of the states.
    certificate = issue_from(evidence, margin=margin, registration=declared)
    use = count_use(run, evidence)
    if use.number > 1:
        certificate = issue_from(evidence, margin=margin, registration=declared, attempt=use.number)
    return Certified(certificate, evidence, use.warnings)


def certify_recipe(
    run: Path,
    *,
    margin: float | None = None,
    registration: Path | None = None,
    since: str | None = None,
) -> CertifiedRecipe:
    """Judge the recipes that a complete run's protocol names; see :func:`certify`.

    Raises:
        RunFolderError: the evidence cannot be admitted, or the arms of a recipe are no training seeds.
        ProtocolError: the protocol differs from the released one with its name and version.
        UsageError: the run lacks an arm, or the registration came too late.
    """
    evidence = gather_recipes(run)
    declared = _declared(run, registration, since, evidence)
    certificate = issue_recipe(evidence, margin=margin, registration=declared)
    use = count_recipe_use(run, evidence)
    if use.number > 1:
        certificate = issue_recipe(
            evidence, margin=margin, registration=declared, attempt=use.number
        )
    return CertifiedRecipe(certificate, evidence, use.warnings)


def _declared[R: AnyRoles](
    run: Path, file: Path | None, since: str | None, evidence: Admitted[R]
) -> Registration | None:
    """Return the registration, after copying it into the run folder for verifiers."""
    if since is not None:
        committed = committed_since(file or run / FILE_NAME, since)
        if committed >= datetime.fromisoformat(evidence.first_attempt_at):
            raise UsageError(
                f"--since {since}: that commit is of {committed.isoformat()}, and the first episode "
                f"began at {evidence.first_attempt_at}: the registration came after it"
            )
    if file is not None:
        check(read_registration(file), evidence.header, evidence.roles, evidence.first_attempt_at)
        keep(file, run)
    return kept(run)
