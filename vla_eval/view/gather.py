"""Reads run folders for the viewer; folders that hold shards of one run become one run."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from vla_eval.errors import UsageError
from vla_eval.keys import EpisodeKey
from vla_eval.plan import PlannedEpisode, expand
from vla_eval.record import EpisodeRecord
from vla_eval.runs.folder import RunFolder
from vla_eval.runs.header import RunHeader
from vla_eval.runs.store import Records
from vla_eval.runs.traces import Traces
from vla_eval.summary.model import RunSummary, merge_records, summarise_records
from vla_eval.trace import Trace

__all__ = ["ShownArm", "ShownRun", "arms_of", "read_runs", "signature"]


@dataclass(frozen=True, eq=False)
class ShownRun:
    """One run, from one or several folders."""

    folders: tuple[RunFolder, ...]
    records: Records
    summary: RunSummary

    @classmethod
    def of(cls, folders: Sequence[RunFolder]) -> ShownRun:
        """Read and summarise the records of a run."""
        records = merge_records(folders)
        header = folders[0].header
        identities = {arm.name: arm.identity for arm in header.arms}
        return cls(tuple(folders), records, summarise_records(header.protocol, identities, records))

    @property
    def header(self) -> RunHeader:
        """The content of the first folder's ``run.json``."""
        return self.folders[0].header

    @property
    def path(self) -> Path:
        """The first folder, as the user typed it; films are kept there."""
        return self.folders[0].path

    @cached_property
    def planned(self) -> dict[EpisodeKey, PlannedEpisode]:
        """The plan's episodes by their keys, in order."""
        return {episode.key: episode for episode in expand(self.header.protocol)}

    @cached_property
    def _traces(self) -> tuple[Traces, ...]:
        return tuple(Traces(folder.path) for folder in self.folders)

    def trace(self, record: EpisodeRecord) -> Trace | None:
        """Return what an episode did in every step; None if the run did not store it.

        Raises:
            RunFolderError: the stored actions are not those of the record.
        """
        found = (traces.get(record) for traces in self._traces)
        return next((trace for trace in found if trace is not None), None)


@dataclass(frozen=True, eq=False)
class ShownArm:
    """One arm of one of the shown runs."""

    run: ShownRun
    name: str
    label: str
    """Its name, with the folder's name before it where several runs have an arm of this name."""

    def record(self, key: EpisodeKey) -> EpisodeRecord | None:
        """Return the result of an episode, else its last error; None without an attempt."""
        return self.run.records.final.get((self.name, key))


def read_runs(paths: Sequence[Path]) -> tuple[ShownRun, ...]:
    """Read run folders; those of one protocol with the same arms are shards of one run.

    Raises:
        UsageError: there is no folder.
        RunFolderError: a folder holds no run, or its records are damaged.
    """
    if not paths:
        raise UsageError("which run? for example: vlaeval view runs/quickstart")
    groups: dict[object, list[RunFolder]] = {}
    for path in paths:
        folder = RunFolder.open(path)
        arms = tuple((arm.name, arm.spec) for arm in folder.header.arms)
        groups.setdefault((folder.header.protocol_sha256, arms), []).append(folder)
    return tuple(ShownRun.of(folders) for folders in groups.values())


def arms_of(runs: Sequence[ShownRun]) -> tuple[ShownArm, ...]:
    """Return all arms of the runs; labels are unique."""
    names = [arm.name for run in runs for arm in run.header.arms]
    return tuple(
        ShownArm(run, arm.name, _label(index, run, arm.name, names))
        for index, run in enumerate(runs, start=1)
        for arm in run.header.arms
    )


def _label(index: int, run: ShownRun, name: str, names: Sequence[str]) -> str:
    if names.count(name) == 1:
        return name
    return f"{run.path.resolve().name or index}/{name}"


def signature(paths: Sequence[Path]) -> str:
    """Return a text that changes when a run's files do; nothing is opened, so no writer is disturbed."""
    hasher = hashlib.sha256()
    for path in paths:
        for file in _watched(path):
            try:
                status = file.stat()
            except OSError:
                continue
            hasher.update(f"{file.name} {status.st_size} {status.st_mtime_ns}\n".encode())
    return hasher.hexdigest()[:16]


def _watched(path: Path) -> Iterator[Path]:
    yield from (path / "run.json", path / "certificate.json")
    yield from sorted((path / "episodes").glob("*.jsonl"))
