"""An append-only file of lines with one writer: after each write its lines are on disk, or none of them."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from types import TracebackType
from typing import Self

from vla_eval.files.atomic import StorageError, fsync_folder

__all__ = ["LineFile"]

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class LineFile:
    """Appends lines to one new file of a run folder.

    Args:
        path: the file; the first write creates it, so that idle workers leave no file behind.
        make_folder: whether the first write also creates the file's folder.
    """

    def __init__(self, path: Path, *, make_folder: bool = False) -> None:
        self._path = path
        self._make_folder = make_folder
        self._descriptor: int | None = None
        self._size = 0

    def append(self, lines: bytes) -> None:
        """Write terminated lines, and wait until they are on disk.

        Raises:
            StorageError: they cannot be written; no part of them remains in the file.
        """
        try:
            self._write(lines)
        except OSError as error:
            raise StorageError(_not_written(self._path, error)) from error
        self._size += len(lines)

    def _write(self, lines: bytes) -> None:
        if self._descriptor is None:
            self._descriptor = self._create()
        try:
            rest = lines[os.write(self._descriptor, lines) :]
            if rest:  # a short write: the disk is almost full, and the second write raises
                os.write(self._descriptor, rest)
            os.fsync(self._descriptor)
            if os.fstat(self._descriptor).st_nlink == 0:
                raise FileNotFoundError(errno.ENOENT, "it was deleted")
        except OSError:
            os.ftruncate(self._descriptor, self._size)
            raise

    def _create(self) -> int:
        folder = self._path.parent
        if self._make_folder:
            folder.mkdir(exist_ok=True)
            fsync_folder(folder.parent)
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC
        descriptor = os.open(self._path, flags, 0o644)
        fsync_folder(folder)
        return descriptor

    def close(self) -> None:
        """Close the file; a closed file is never opened again."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def __enter__(self) -> Self:
        """Use the file in a ``with`` statement."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close the file."""
        self.close()


def _not_written(path: Path, error: OSError) -> str:
    """Return the error message for lines that could not be written."""
    if error.errno == errno.ENOENT:
        return (
            f"{path.parent}: was deleted or renamed while the run wrote there; its episodes are where "
            "it is now: repeat the command with that --out, or with a new one"
        )
    remedy = "free some space" if error.errno in _FULL else "make it writable"
    return (
        f"{path.parent}: a record could not be written ({error.strerror}); the run stopped, finished "
        f"episodes are kept: {remedy}, then repeat the command"
    )
