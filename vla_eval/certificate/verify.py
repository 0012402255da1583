"""Verifying: a stranger recomputes a certificate from the raw records."""

from __future__ import annotations

import json
from pathlib import Path

from vla_eval.certificate.issue import issue
from vla_eval.certificate.model import Certificate
from vla_eval.claims.registration import kept
from vla_eval.errors import UsageError
from vla_eval.files.differences import differences
from vla_eval.files.jsonfile import read_model
from vla_eval.judging.roles import Roles
from vla_eval.runs.folder import check_arm_names

__all__ = ["read_certificate", "verify"]


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


def verify(certificate: Certificate, run: Path) -> list[str]:
    """Recompute everything; return the places that differ, in words (none: it holds).

    What no record shows is taken from beside them or believed: the registration from the run folder,
    the number of the attempt from the certificate (a smaller one would be the issuer's lie).

    Raises:
        RunFolderError: the run folder itself does not stand: damaged, incomplete, of other scenes.
    """
    control = certificate.control.candidate if certificate.control else None
    roles = Roles(certificate.comparison.candidate, certificate.comparison.reference, control)
    again = issue(
        run,
        roles,
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
