"""Building a board: packages are verified, grouped by protocol, and compared in each group."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vla_eval.board.packages import AnyCertificate, Package, Refusal, labels, open_package
from vla_eval.certificate.model import Certificate
from vla_eval.compare import Ranking, compare, gather
from vla_eval.errors import RunFolderError, UsageError
from vla_eval.identity import server_identity, weights_are_hashed
from vla_eval.runs.header import Arm

__all__ = ["Board", "Claim", "Group", "build"]


@dataclass(frozen=True)
class Claim:
    """A verified certificate on the board."""

    package: str
    file: str
    report: str
    """Path of its report's page, from the board's folder."""
    subject: str
    reference: str
    certificate: AnyCertificate


@dataclass(frozen=True)
class Group:
    """All policies that ran one protocol; only those can be compared."""

    ranking: Ranking
    standing: str
    marks: dict[str, tuple[str, ...]]
    """What a reader must know about each policy, beside its rate."""
    claims: tuple[Claim, ...]


@dataclass(frozen=True)
class Board:
    """Everything that a board shows."""

    groups: tuple[Group, ...]
    refusals: tuple[Refusal, ...]
    reports: dict[str, str]
    """Pages of the certificates, by their paths in the board's folder."""

    def to_json(self) -> dict[str, Any]:
        """Return the form that scripts rely on."""
        return {
            "groups": [_group_json(group) for group in self.groups],
            "refused": [{"package": each.label, "reason": each.reason} for each in self.refusals],
        }

    def write(self, out: Path) -> None:
        """Write ``index.html``, ``board.json`` and the reports; equal packages give equal bytes.

        Raises:
            RunFolderError: the folder holds something else than an earlier board.
        """
        from vla_eval.board.page import board_page

        if out.is_dir() and any(out.iterdir()) and not (out / "board.json").is_file():
            raise RunFolderError(
                f"{out}: is not empty and holds no board; name a new folder with --out"
            )
        files = {
            "board.json": json.dumps(self.to_json(), indent=2, allow_nan=False) + "\n",
            "index.html": board_page(self),
            **self.reports,
        }
        for name, text in files.items():
            (out / name).parent.mkdir(parents=True, exist_ok=True)
            (out / name).write_text(text, encoding="utf-8")


def build(paths: Sequence[Path], *, alpha: float = 0.05) -> Board:
    """Verify evidence packages and compare their policies.

    Args:
        paths: run folders with certificates, or folders that ``vlaeval publish`` wrote.
        alpha: chance of any false difference among all pairs of one protocol.

    Raises:
        UsageError: no package, or one twice.
    """
    if not paths:
        raise UsageError("which packages? for example: vlaeval board runs/a runs/b --out board")
    names = labels(list(paths))
    opened = [
        open_package(path, names[path]) for path in sorted(paths, key=lambda path: names[path])
    ]
    packages = [each for each in opened if isinstance(each, Package)]
    groups: list[Group] = []
    refusals = [each for each in opened if isinstance(each, Refusal)]
    reports: dict[str, str] = {}
    for sha256 in sorted({package.header.protocol_sha256 for package in packages}):
        own = [package for package in packages if package.header.protocol_sha256 == sha256]
        groups.append(_group(own, alpha, reports))
    groups.sort(key=lambda group: (group.ranking.protocol.label, group.ranking.protocol.sha256))
    return Board(tuple(groups), tuple(refusals), reports)


def _group(packages: Sequence[Package], alpha: float, reports: dict[str, str]) -> Group:
    ranking = compare(
        gather([each.run for each in packages], labels={each.run: each.label for each in packages}),
        alpha=alpha,
    )
    claims = []
    for package in packages:
        for name, certificate in package.certificates.items():
            page = f"reports/{package.label.replace('/', '-')}-{Path(name).stem}.html"
            reports[page] = package.report(name)
            claims.append(_claim(package, name, page, certificate))
    marks = {arm.name: _marks(arm.folders, arm.spec, packages) for arm in ranking.arms}
    return Group(ranking, packages[0].standing, marks, tuple(claims))


def _claim(package: Package, name: str, page: str, certificate: AnyCertificate) -> Claim:
    subject, reference = "recipe of the candidate", "recipe of the reference"
    if isinstance(certificate, Certificate):
        subject = certificate.comparison.candidate
        reference = certificate.comparison.reference
    return Claim(package.label, name, page, subject, reference, certificate)


def _marks(folders: Iterable[str], spec: str, packages: Sequence[Package]) -> tuple[str, ...]:
    """Return the marks of one policy: stand-in assets, who declared it, what it reads."""
    found: dict[str, None] = {}
    for package in packages:
        if package.label not in folders:
            continue
        for arm in package.header.arms:
            if arm.spec == spec:
                found |= dict.fromkeys(_marks_of(arm, package))
    return tuple(found)


def _marks_of(arm: Arm, package: Package) -> Iterable[str]:
    identity = arm.identity or {}
    if arm.name in package.standins:
        yield "stand-in assets"
    if server_identity(identity) is not None:
        yield "declared by its user"
    if not weights_are_hashed(identity):
        yield "weights without a hash"
    if identity.get("privileged"):
        yield "reads the simulator"


def _group_json(group: Group) -> dict[str, Any]:
    return {
        **group.ranking.to_json(),
        "standing": group.standing,
        "marks": {name: list(marks) for name, marks in group.marks.items()},
        "claims": [
            {
                "package": claim.package,
                "certificate": claim.file,
                "candidate": claim.subject,
                "reference": claim.reference,
                "verdict": str(claim.certificate.verdict),
                "flags": [str(flag) for flag in claim.certificate.flags],
                "records_sha256": claim.certificate.records_sha256,
            }
            for claim in group.claims
        ],
    }
