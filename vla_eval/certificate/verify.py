"""Verifying: a stranger recomputes a certificate from the raw records."""

from __future__ import annotations

import json
from pathlib import Path

from vla_eval.certificate.evidence import gather
from vla_eval.certificate.issue import issue
from vla_eval.certificate.model import Certificate
from vla_eval.certificate.sampling import Sample, choose
from vla_eval.claims.registration import kept
from vla_eval.errors import UsageError
from vla_eval.files.differences import differences
from vla_eval.files.jsonfile import read_model, read_regular
from vla_eval.judging.roles import Roles
from vla_eval.runs.folder import check_arm_names

__all__ = ["draw_sample", "read_certificate", "roles_of", "verify"]


def read_certificate(path: Path) -> Certificate:
    """Read a certificate; raises UsageError where it is none."""
    found = read_model(path, Certificate, wrong="is no certificate")
    pairs = [found.comparison] + ([found.control] if found.control else [])
    names = [arm.name for arm in found.arms]
    names += [name for pair in pairs for name in (pair.candidate, pair.reference)]
    try:
        check_arm_names(names)
    except UsageError as error:
        raise UsageError(f"{path}: is no certificate ({error})") from None
    return found


def roles_of(certificate: Certificate) -> Roles:
    """Return which arm is what in a certificate."""
    control = certificate.control.candidate if certificate.control else None
    return Roles(certificate.comparison.candidate, certificate.comparison.reference, control)


def draw_sample(file: Path, run: Path, count: int, *, salt: str = "") -> Sample:
    """Draw records to run again, by the hash of a certificate's file.

    Args:
        file: the certificate.
        run: its run folder.
        count: how many.
        salt: a word of the verifier's that the certificate's maker could not know.

    Raises:
        UsageError: no certificate, or less than one record.
        RunFolderError: the run folder does not stand.
    """
    evidence = gather(run, roles_of(read_certificate(file)))
    slots = [(name, key) for name, finals in evidence.finals.items() for key in finals]
    return choose(read_regular(file), slots, count, salt=salt)


def verify(certificate: Certificate, run: Path) -> list[str]:
    """Recompute everything; return the places that differ, in words (none: it holds).

    What no record shows is taken from beside them or believed: the registration from the run folder,
    the number of the attempt from the certificate (a smaller one would be the issuer's lie).

    Raises:
        RunFolderError: the run folder itself does not stand: damaged, incomplete, of other scenes.
    """
    again = issue(
        run,
        roles_of(certificate),
        margin=certificate.margin,
        registration=kept(run),
        attempt=certificate.attempt,
    )
    ours = json.loads(certificate.model_dump_json())
    theirs = json.loads(again.model_dump_json())
    # "Given after the fact" is said of a margin that differs from the protocol's, so a margin that
    # was changed in the certificate alone shows up in the flags and in the reason.
    return [
        f"{place}: {one!r} in the certificate, {other!r} recomputed"
        for place, one, other in differences(ours, theirs, tolerance=1e-9)
    ]
