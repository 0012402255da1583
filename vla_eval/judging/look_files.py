"""The looks of a run on disk: ``looks/1.json`` and so on, each written exactly once.

Looks follow from the records, so these files decide nothing. They show the time and the counts of a
look, and that its records were not changed afterwards.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from vla_eval.errors import RunFolderError
from vla_eval.files.atomic import write_atomically
from vla_eval.files.jsonfile import ArmName, AwareTime, files_in, read_model
from vla_eval.judging.looks import Look, looks_of
from vla_eval.judging.roles import sequential_roles
from vla_eval.plan import expand
from vla_eval.runs.folder import RunFolder
from vla_eval.runs.lock import folder_lock
from vla_eval.runs.store import Records, records_digest

__all__ = ["Logged", "LoggedLook", "checked_looks", "looks_on_disk", "stamp", "take_looks"]


class Logged(BaseModel):
    """A decision made of the first pairs of a run: when, for which comparison, of which records."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: Literal[1] = 1
    taken_at: AwareTime
    """Time of the decision: UTC, ISO 8601."""
    protocol_sha256: str
    candidate: ArmName
    reference: ArmName
    records_sha256: str
    """Hash of the reproducible fields in the records of all arms that were read."""


class LoggedLook(Logged):
    """One look, as it was when it was taken."""

    look: Look


def take_looks(folder: RunFolder) -> tuple[Look, ...]:
    """Take every look that the records allow, and write the new ones to disk.

    Raises:
        RunFolderError: an earlier look no longer follows from the records.
        StorageError: a look cannot be written.
    """
    with folder_lock(folder.path):
        records = folder.records()
        looks = checked_looks(folder, records)
        for look in looks:
            path = _path(folder.path, look.number)
            if not path.exists():
                path.parent.mkdir(exist_ok=True)
                logged = _logged(folder, records, look)
                write_atomically(path, logged.model_dump_json(indent=2) + "\n")
    return looks


def checked_looks(folder: RunFolder, records: Records) -> tuple[Look, ...]:
    """Return the looks that follow from the records, after a comparison with those on disk.

    Raises:
        RunFolderError: they differ, or a file is damaged.
    """
    arms = [arm.name for arm in folder.header.arms]
    looks = looks_of(folder.header.protocol, arms, records)
    for before in _on_disk(folder.path):
        number = before.look.number
        if number > len(looks):
            raise RunFolderError(
                f"{_path(folder.path, number)}: this look was taken, but the records do not allow "
                "it: some are missing, or the run had stopped before; restore them"
            )
        now = _logged(folder, records, looks[number - 1])
        if now.model_copy(update={"taken_at": before.taken_at}) != before:
            raise RunFolderError(
                f"{_path(folder.path, number)}: this look was taken of other records "
                f"({before.look.n10} to {before.look.n01} then, {now.look.n10} to {now.look.n01} "
                "now): a record of it was changed afterwards; restore it"
            )
    return looks


def looks_on_disk(run: Path) -> set[int]:
    """Return the numbers of the looks on disk."""
    return {logged.look.number for logged in _on_disk(run)}


def _logged(folder: RunFolder, records: Records, look: Look) -> LoggedLook:
    return LoggedLook(**stamp(folder, records, look.pairs), look=look)


def stamp(folder: RunFolder, records: Records, pairs: int) -> dict[str, Any]:
    """Return the fields of :class:`Logged` for a decision made now, of the plan's first pairs."""
    protocol = folder.header.protocol
    arms = [arm.name for arm in folder.header.arms]
    keys = [episode.key for episode in expand(protocol)][:pairs]
    candidate, reference = sequential_roles(protocol, arms)
    return {
        "taken_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "protocol_sha256": folder.header.protocol_sha256,
        "candidate": candidate,
        "reference": reference,
        "records_sha256": records_digest(records.final, arms, keys),
    }


def _path(run: Path, number: int) -> Path:
    return run / "looks" / f"{number}.json"


def _on_disk(run: Path) -> Iterator[LoggedLook]:
    folder = run / "looks"
    try:
        files = files_in(folder, ".json")
    except OSError as error:
        raise RunFolderError(
            f"{folder}: cannot be read ({error.strerror}); make it readable"
        ) from None
    for path in files:
        yield read_model(
            path,
            LoggedLook,
            wrong="is damaged",
            remedy="restore it, or delete it",
            error=RunFolderError,
        )
