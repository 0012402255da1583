"""The run that is published, and the reasons against publishing it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from vla_eval.certificate.model import Certificate
from vla_eval.certificate.recipe.model import RecipeCertificate
from vla_eval.certificate.verify import read_any
from vla_eval.errors import RunFolderError, UsageError
from vla_eval.judging.ledger import ArmEpisodes
from vla_eval.judging.looks import due_keys
from vla_eval.keys import EpisodeKey
from vla_eval.runs.folder import RunFolder
from vla_eval.runs.header import RunHeader, refuse_unidentified
from vla_eval.runs.store import Records
from vla_eval.summary.model import RunSummary, summarise_records

__all__ = ["Source", "certificate_files"]

_MACHINE_PATH = re.compile(r"(^|[:=,])(~|/(?!/))")
"""A path from the root or from the home folder in a policy's spec; ``ws://`` is none."""


@dataclass(frozen=True)
class Source:
    """A run folder, read once."""

    path: Path
    header: RunHeader
    records: Records
    summary: RunSummary
    keys: tuple[EpisodeKey, ...]
    """The episodes that a complete run has, in the plan's order."""

    @classmethod
    def open(cls, run: Path, *, show_paths: bool) -> Source:
        """Read a run that may be published.

        Args:
            run: the run folder.
            show_paths: whether paths of this machine in the policies' specs may be published.

        Raises:
            RunFolderError: no run, damaged records, an incomplete run, stand-in assets, or episodes with
                two results.
            UsageError: a policy is unknown, or its spec is a path of this machine.
        """
        folder = RunFolder.open(run)
        header, records = folder.header, folder.records()
        identities = {arm.name: arm.identity for arm in header.arms}
        summary = summarise_records(header.protocol, identities, records)
        _refuse_run(run, summary)
        for arm in header.arms:
            refuse_unidentified(arm)
            if not show_paths and _MACHINE_PATH.search(arm.spec):
                raise UsageError(
                    f"arm '{arm.name}' is named by a path of this machine ({arm.spec}), which everybody "
                    "would see, and the records' hashes depend on it; add --show-paths if they may"
                )
        keys = due_keys(header.protocol, list(identities), records)
        return cls(run, header, records, summary, tuple(keys))

    @cached_property
    def arms(self) -> Mapping[str, ArmEpisodes]:
        """The episodes of each arm, in the run's order of arms."""
        return {
            arm.name: ArmEpisodes.of(self.records, arm.name, self.keys) for arm in self.header.arms
        }

    @cached_property
    def certificates(self) -> Mapping[str, Certificate | RecipeCertificate]:
        """The certificates of this run by their files' names; those of several runs are left out."""
        found = {file.name: read_any(file) for file in certificate_files(self.path)}
        return {
            name: certificate
            for name, certificate in found.items()
            if isinstance(certificate, RecipeCertificate) or not certificate.runs
        }

    @property
    def suites(self) -> tuple[str, ...]:
        """The suites of the plan, in its order."""
        return tuple(dict.fromkeys(key.suite for key in self.keys))


def certificate_files(run: Path) -> list[Path]:
    """Return the files of a run folder that hold certificates, by their names."""
    return sorted(run.glob("certificate*.json"))


def _refuse_run(run: Path, summary: RunSummary) -> None:
    if summary.standins:
        raise RunFolderError(
            f"{run}: {summary.standins} episodes ran on stand-in assets, and what they show is no result "
            "of the benchmark; get its assets (vlaeval doctor says how), and run in a new folder"
        )
    if summary.contradictions:
        raise RunFolderError(
            f"{run}: {len(summary.contradictions)} episodes have two different results "
            f"({summary.contradictions[0]}); find the cause, and run in a new folder"
        )
    waiting = {name: arm.pending for name, arm in summary.arms.items() if arm.pending}
    if waiting:
        name, pending = next(iter(waiting.items()))
        raise RunFolderError(
            f"{run}: arm '{name}' has no attempt of {pending} planned episodes; repeat the command of "
            "the run to complete it, then publish"
        )
