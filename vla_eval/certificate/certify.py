"""Certifying a run folder: what was declared, the judgement, and the count of uses of its states."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from vla_eval.certificate.evidence import Evidence, gather
from vla_eval.certificate.issue import issue_from
from vla_eval.certificate.model import Certificate
from vla_eval.certificate.uses import count_use
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
from vla_eval.judging.roles import Roles

__all__ = ["Certified", "certify"]


@dataclass(frozen=True)
class Certified:
    """A certificate, and what it rests on."""

    certificate: Certificate
    evidence: Evidence
    warnings: tuple[str, ...]
    """What went wrong when the use of the states was counted, a sentence each."""


def certify(
    run: Path,
    roles: Roles,
    *,
    margin: float | None = None,
    registration: Path | None = None,
    since: str | None = None,
) -> Certified:
    """Judge a complete run by its protocol, and count this use of the protocol's states.

    Nothing is written but the ledger of uses, and the copy of the registration in the run folder.

    Args:
        run: the run folder.
        roles: which arm is what.
        margin: another margin than the protocol's; the certificate is then flagged as post hoc.
        registration: what was declared before the first episode; default the copy in the run folder.
        since: a commit that must hold the registration, made before the first episode.

    Raises:
        RunFolderError: the evidence cannot be admitted, or is not what was registered.
        ProtocolError: the protocol is not the one of its name.
        UsageError: the roles cannot be filled, or the registration came too late.
    """
    evidence = gather(run, roles)
    declared = _declared(run, registration, since, evidence)
    # Judged once before it is counted: what is refused was no use of the states.
    certificate = issue_from(evidence, margin=margin, registration=declared)
    use = count_use(run, evidence)
    if use.number > 1:
        certificate = issue_from(evidence, margin=margin, registration=declared, attempt=use.number)
    return Certified(certificate, evidence, use.warnings)


def _declared(
    run: Path, file: Path | None, since: str | None, evidence: Evidence
) -> Registration | None:
    """Return what was declared beforehand, after putting it where a verifier looks."""
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
