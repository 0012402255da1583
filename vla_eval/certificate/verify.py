"""Verifying: a stranger recomputes a certificate from the raw records."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from vla_eval.certificate.evidence import gather, gather_recipes
from vla_eval.certificate.issue import issue
from vla_eval.certificate.model import Certificate
from vla_eval.certificate.recipe.issue import issue_recipe
from vla_eval.certificate.recipe.model import RecipeCertificate
from vla_eval.certificate.sampling import Sample, choose
from vla_eval.claims.registration import kept
from vla_eval.errors import UsageError
from vla_eval.files.differences import differences
from vla_eval.files.jsonfile import read_json, read_model, read_regular
from vla_eval.judging.roles import Roles
from vla_eval.runs.folder import check_arm_names

__all__ = ["draw_sample", "read_any", "read_certificate", "roles_of", "verify"]


def read_any(path: Path) -> Certificate | RecipeCertificate:
    """Read a certificate of two arms or of two recipes; raise UsageError if the file is none."""
    if read_json(path, wrong="is no certificate").get("scope") != "recipe":
        return read_certificate(path)
    certificate = read_model(path, RecipeCertificate, wrong="is no certificate")
    try:
        check_arm_names([arm.name for arm in certificate.arms])
    except UsageError as error:
        raise UsageError(f"{path}: is no certificate ({error})") from None
    return certificate


def read_certificate(path: Path) -> Certificate:
    """Read a certificate; raise UsageError if the file is none."""
    certificate = read_model(path, Certificate, wrong="is no certificate")
    pairs = [certificate.comparison] + ([certificate.control] if certificate.control else [])
    names = [arm.name for arm in certificate.arms]
    names += [name for pair in pairs for name in (pair.candidate, pair.reference)]
    names += certificate.family.candidates if certificate.family else ()
    try:
        check_arm_names(names)
    except UsageError as error:
        raise UsageError(f"{path}: is no certificate ({error})") from None
    return certificate


def roles_of(certificate: Certificate) -> Roles:
    """Return the roles of the arms in a certificate."""
    control = certificate.control.candidate if certificate.control else None
    candidate, family = certificate.comparison.candidate, certificate.family
    others = tuple(name for name in family.candidates if name != candidate) if family else ()
    return Roles(candidate, certificate.comparison.reference, control, others)


def draw_sample(file: Path, run: Path, count: int, *, salt: str = "") -> Sample:
    """Draw records to run again, by the hash of a certificate's file.

    Args:
        file: the certificate.
        run: its run folder.
        count: number of records.
        salt: a word of the verifier that the certificate's maker could not know.

    Raises:
        UsageError: the file is no certificate, or the count is less than one.
        RunFolderError: the run folder's evidence cannot be admitted.
    """
    read = read_any(file)
    finals = (
        gather_recipes(run).finals
        if isinstance(read, RecipeCertificate)
        else gather(run, roles_of(read)).finals
    )
    slots = [(name, key) for name, own in finals.items() for key in own]
    return choose(read_regular(file), slots, count, salt=salt)


def verify(certificate: Certificate | RecipeCertificate, run: Path, *more: Path) -> list[str]:
    """Recompute everything; return the differences in words (empty: the certificate is confirmed).

    Two values cannot be recomputed from the records: the registration is taken from the run folder, and
    the number of the attempt from the certificate (an issuer could make it too small).

    Args:
        certificate: the certificate.
        run: its run folder.
        more: the other run folders of a certificate over several runs.

    Raises:
        RunFolderError: the run folder's evidence cannot be admitted: damaged, incomplete, other scenes.
    """
    again = _again(certificate, run, more)
    ours = json.loads(certificate.model_dump_json())
    theirs = json.loads(again.model_dump_json())
    for part in ("comparison", "control"):  # certificates of earlier versions state no e-value
        if ours[part] and theirs[part] and ours[part].get("e_value", 0) is None:
            theirs[part]["e_value"] = None
    # The reason "given after the fact" belongs to a margin that differs from the protocol's, so a
    # margin that was changed only in the certificate causes differences in the flags and the reason.
    return [
        f"{place}: {stated!r} in the certificate, {recomputed!r} recomputed"
        for place, stated, recomputed in differences(ours, theirs, tolerance=1e-9)
    ]


def _again(
    certificate: Certificate | RecipeCertificate, run: Path, more: Sequence[Path]
) -> Certificate | RecipeCertificate:
    registration, attempt = None if more else kept(run), certificate.attempt
    if isinstance(certificate, RecipeCertificate):
        if more:
            raise UsageError("a certificate about recipes is of one run; give its folder alone")
        return issue_recipe(
            gather_recipes(run),
            margin=certificate.margin,
            registration=registration,
            attempt=attempt,
        )
    return issue(
        run,
        roles_of(certificate),
        margin=certificate.margin,
        registration=registration,
        attempt=attempt,
        more=more,
    )
