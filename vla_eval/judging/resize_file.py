"""The decision about the size of a run on disk: ``resize.json``, written exactly once.

The decision follows from the records, so the file decides nothing. It shows the time of the decision, and
that the records it was made of were not changed afterwards (:mod:`vla_eval.judging.look_files`).
"""

from __future__ import annotations

from pathlib import Path

from vla_eval.errors import RunFolderError
from vla_eval.files.atomic import write_atomically
from vla_eval.files.jsonfile import read_model
from vla_eval.judging.look_files import Logged, stamp
from vla_eval.judging.resizing import Resizing, resizing_of
from vla_eval.runs.folder import RunFolder
from vla_eval.runs.lock import folder_lock
from vla_eval.runs.store import Records

__all__ = ["LoggedResizing", "checked_resizing", "take_resizing"]

FILE_NAME = "resize.json"


class LoggedResizing(Logged):
    """The decision, as it was when it was made."""

    resizing: Resizing


def take_resizing(folder: RunFolder) -> Resizing | None:
    """Make the decision if the records allow it, and write it to disk the first time.

    Raises:
        RunFolderError: an earlier decision no longer follows from the records.
        StorageError: it cannot be written.
    """
    with folder_lock(folder.path):
        records = folder.records()
        resizing = checked_resizing(folder, records, must_be_there=False)
        path = folder.path / FILE_NAME
        if resizing is not None and not path.exists():
            text = _logged(folder, records, resizing).model_dump_json(indent=2)
            write_atomically(path, text + "\n")
    return resizing


def checked_resizing(
    folder: RunFolder, records: Records, *, must_be_there: bool
) -> Resizing | None:
    """Return the decision that follows from the records, after a comparison with the one on disk.

    Args:
        folder: the run.
        records: its records.
        must_be_there: refuse a decision that is not on disk.

    Raises:
        RunFolderError: the two differ, or the file is missing or damaged.
    """
    arms = [arm.name for arm in folder.header.arms]
    resizing = resizing_of(folder.header.protocol, arms, records)
    before = _on_disk(folder.path / FILE_NAME)
    if before is None:
        if resizing is not None and must_be_there:
            raise RunFolderError(
                f"{folder.path}: the size of the run follows from the records, and {FILE_NAME} is "
                "missing, which says for which comparison it was set; restore it (where the run was "
                "killed just then: repeat the run command)"
            )
        return resizing
    if resizing is None:
        raise RunFolderError(
            f"{folder.path / FILE_NAME}: the size of the run was set, but the records do not allow it: "
            "some are missing; restore them"
        )
    now = _logged(folder, records, resizing)
    if now.model_copy(update={"taken_at": before.taken_at}) != before:
        raise RunFolderError(
            f"{folder.path / FILE_NAME}: the size of the run was set of other records "
            f"({before.resizing.discordant} discordant pairs then, {resizing.discordant} now, for "
            f"'{before.candidate}' against '{before.reference}'): something was changed afterwards; "
            "restore it"
        )
    return resizing


def _logged(folder: RunFolder, records: Records, resizing: Resizing) -> LoggedResizing:
    return LoggedResizing(**stamp(folder, records, resizing.after), resizing=resizing)


def _on_disk(path: Path) -> LoggedResizing | None:
    if not path.exists() and not path.is_symlink():
        return None
    return read_model(
        path,
        LoggedResizing,
        wrong="is damaged",
        remedy="restore it, or delete it",
        error=RunFolderError,
    )
