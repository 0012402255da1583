"""Writes files atomically: neither a reader nor a power cut leaves half a file."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

from vla_eval.errors import InfrastructureError

__all__ = ["StorageError", "fsync_folder", "write_atomically"]


class StorageError(InfrastructureError):
    """A file could not be written: disk full, quota, read-only file system."""


def write_atomically(path: Path, text: str) -> None:
    """Replace a file so that readers see the old or the new content, never a part.

    Steps: temporary file in the same folder, fsync, rename, fsync of the folder. A kill in between can
    leave a ``.tmp`` file behind, which no reader opens.

    Raises:
        StorageError: the disk is full or the folder cannot be written.
    """
    # No process number: on a shared folder, processes of two machines or containers may have the same.
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}.tmp")
    try:
        with temporary.open("w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
        fsync_folder(path.parent)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise StorageError(f"{path}: cannot be written ({error.strerror})") from error


def fsync_folder(folder: Path) -> None:
    """Make a folder's entries survive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
