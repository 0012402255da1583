"""Evidence packages: run folders with certificates, each recomputed before it counts."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from vla_eval.certificate import gather, verify
from vla_eval.certificate.evidence import gather_recipes
from vla_eval.certificate.model import Certificate
from vla_eval.certificate.page.html import html_report
from vla_eval.certificate.recipe.model import RecipeCertificate
from vla_eval.certificate.recipe.page import recipe_html
from vla_eval.certificate.verify import read_any, roles_of
from vla_eval.errors import RunFolderError, UsageError, VlaEvalError
from vla_eval.released import Standing, standing
from vla_eval.runs.folder import RunFolder
from vla_eval.runs.header import RunHeader

__all__ = ["AnyCertificate", "Package", "Refusal", "labels", "open_package"]

type AnyCertificate = Certificate | RecipeCertificate

_PLACES = (Path(), Path("run"), Path("dataset", "run"))
"""Where a package may hold its run: it is one, or `vlaeval publish` wrote it."""


@dataclass(frozen=True)
class Package:
    """A run whose certificates follow from its records."""

    label: str
    run: Path
    header: RunHeader
    standing: Standing
    certificates: dict[str, AnyCertificate]
    """Verified certificates by the names of their files."""
    standins: frozenset[str]
    """Arms with an episode on stand-in assets."""

    def report(self, name: str) -> str:
        """Return the report of a certificate as one HTML page, made anew from the records."""
        certificate, here = self.certificates[name], Path(self.label)
        if isinstance(certificate, RecipeCertificate):
            found = gather_recipes(self.run)
            return recipe_html(certificate, found, run=here, file=here / name)
        evidence = gather(self.run, roles_of(certificate)).alone()
        return html_report(certificate, evidence, run=here, file=here / name)


@dataclass(frozen=True)
class Refusal:
    """A package that is not on the board."""

    label: str
    reason: str


def labels(paths: list[Path]) -> dict[Path, str]:
    """Return a name for each package: the end of its path that no other package has.

    Raises:
        UsageError: a package is given twice.
    """
    full = {path: path.resolve().parts for path in paths}
    if len(set(full.values())) < len(paths):
        raise UsageError("a package is named twice; name each once")
    depth = 1
    while len({parts[-depth:] for parts in full.values()}) < len(full):
        depth += 1
    return {path: "/".join(parts[-depth:]) for path, parts in full.items()}


def open_package(path: Path, label: str) -> Package | Refusal:
    """Verify a package; return the reason where anything in it does not follow from its records."""
    try:
        return _verified(path, label)
    except VlaEvalError as error:
        reason = str(error).replace(str(path), label).removeprefix(f"{label}: ")
        return Refusal(label, reason)


def _verified(path: Path, label: str) -> Package:
    run = next((path / place for place in _PLACES if (path / place / "run.json").is_file()), path)
    folder = RunFolder.open(run)
    header = folder.header
    certificates = dict(_certificates(run))
    if not certificates:
        raise RunFolderError(
            f"{path}: has no certificate of this run alone, so nothing in it can be verified; "
            "issue one with vlaeval certify"
        )
    finals = folder.records().final.values()
    without = {arm.name for arm in header.arms} - {
        record.arm for record in finals if record.outcome != "error"
    }
    if without:
        raise RunFolderError(
            f"arm '{min(without)}' has no finished episode; complete the run first"
        )
    standins = frozenset(record.arm for record in finals if record.provenance.get("standins"))
    return Package(label, run, header, standing(header.protocol), certificates, standins)


def _certificates(run: Path) -> Iterator[tuple[str, AnyCertificate]]:
    for file in sorted(run.glob("certificate*.json")):
        certificate = read_any(file)
        if isinstance(certificate, Certificate) and certificate.runs:
            continue  # over several runs: the others are not in this package
        differences = verify(certificate, run)
        if differences:
            raise RunFolderError(
                f"{file.name} does not follow from the records: {len(differences)} places differ, "
                f"the first is {differences[0]}"
            )
        yield file.name, certificate
