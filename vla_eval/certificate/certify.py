"""Certifying a run folder: its registration, the judgement, and the count of uses of its states."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from vla_eval.certificate.evidence import Admitted, Evidence, RecipeEvidence, gather_recipes
from vla_eval.certificate.issue import issue_from
from vla_eval.certificate.model import Certificate
from vla_eval.certificate.pooled import gather_all
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
from vla_eval.runs.folder import RunFolder

__all__ = ["Certified", "CertifiedRecipe", "certify", "certify_recipe", "roles_asked"]


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
    more: Sequence[Path] = (),
) -> Certified:
    """Judge a complete run by its protocol, and count this use of the protocol's states.

    It writes only the ledger of uses, and the copy of the registration in the run folder.

    Args:
        run: the run folder.
        roles: the role of each arm.
        margin: replaces the protocol's margin; the certificate is then flagged as post hoc.
        registration: file of the registration; default the copy in the run folder.
        since: a commit that must hold the registration, made before the first episode.
        more: further run folders, on other states, that are judged together with it.

    Raises:
        RunFolderError: the evidence cannot be admitted, or contradicts the registration.
        ProtocolError: the protocol differs from the released one with its name and version.
        UsageError: the roles cannot be filled, or the registration came too late.
    """
    evidence = gather_all([run, *more], roles)
    if more and (registration is not None or since is not None):
        raise UsageError("a registration is for one run; leave it out for several runs together")
    declared = None if more else _declared(run, registration, since, evidence)
    # Judged once before the use is counted: a refused run is no use of the states.
    certificate = issue_from(evidence, margin=margin, registration=declared)
    uses = [count_use(part.path, part) for part in evidence.runs]
    attempt = max(use.number for use in uses)
    if attempt > 1:
        certificate = issue_from(evidence, margin=margin, registration=declared, attempt=attempt)
    return Certified(certificate, evidence, tuple(text for use in uses for text in use.warnings))


def roles_asked(
    run: Path,
    reference: str | None,
    control: str | None,
    *,
    candidate: str | None = None,
    candidates: Sequence[str] = (),
) -> list[Roles]:
    """Return the roles of each certificate to be written: one, or one for each of several candidates.

    A role that is not given is filled as the protocol says.

    Args:
        run: the run folder.
        reference: the arm that all candidates are compared with.
        control: the arm that must fail, if any.
        candidate: the only candidate.
        candidates: several candidates, judged together.

    Raises:
        UsageError: a role is missing, or both candidate and candidates are given.
    """
    header = RunFolder.open(run).header
    planned = header.protocol.analysis
    reference = reference or planned.reference
    if reference is None:
        raise UsageError("which arm is the reference? say so with --reference ARM")
    if control is None and any(arm.name == planned.negative_control for arm in header.arms):
        control = planned.negative_control
    if candidate is None and not candidates:
        candidates = planned.candidates or ()
        candidate = planned.candidate
    if (candidate is None) == (not candidates):
        raise UsageError(
            "which arm is the candidate? give --candidate ARM, or several as --candidates A,B,C"
        )
    names = [candidate] if candidate is not None else list(candidates)
    if len(set(names)) != len(names):
        raise UsageError("--candidates names an arm twice")
    return [
        Roles(name, reference, control, tuple(other for other in names if other != name))
        for name in names
    ]


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
