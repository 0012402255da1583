"""Locks of a run folder: one process for each shard, and one number of shards at a time."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from vla_eval.errors import InfrastructureError, RunFolderError
from vla_eval.plan import Shard

__all__ = ["folder_lock", "running_shards", "take_shard_lock"]

_PATIENCE_S = 30.0


@contextmanager
def folder_lock(path: Path) -> Iterator[None]:
    """Hold the exclusive lock on ``run.json``, briefly.

    Raises:
        RunFolderError: another process keeps the lock, or the folder cannot be written.
        InfrastructureError: the folder was deleted or renamed.
    """
    if not path.is_dir():  # FileLock would create it again
        raise InfrastructureError(
            f"{path}: was deleted or renamed while the run worked in it; its episodes are where it is "
            "now: repeat the command with that --out, or with a new one"
        )
    lock = FileLock(path / ".create.lock")
    try:
        lock.acquire(timeout=_PATIENCE_S)
    except Timeout:
        raise RunFolderError(
            f"{path}: another process has held .create.lock for {_PATIENCE_S:.0f} s; find and end "
            "it (fuser shows whose it is), then repeat the command"
        ) from None
    except OSError as error:
        raise RunFolderError(f"{path}: cannot be written ({error.strerror})") from None
    try:
        yield
    finally:
        lock.release()


def running_shards(path: Path) -> list[Shard]:
    """Return the shards of this folder that a process is running now."""
    running = []
    for file in sorted(path.glob(".shard-*-of-*.lock")):
        shard = _shard_of(file)
        if shard is None:
            continue
        lock = FileLock(file)
        try:
            lock.acquire(timeout=0)
        except Timeout:
            running.append(shard)
        else:
            lock.release()
    return running


def _shard_of(file: Path) -> Shard | None:
    """Return the shard of a lock file; None for files that are no lock of this module."""
    match = re.fullmatch(r"\.shard-([0-9]{1,9})-of-([0-9]{1,9})\.lock", file.name)
    if match is None or not file.is_file():
        return None
    return Shard(int(match[1]), int(match[2]))


def take_shard_lock(path: Path, shard: Shard) -> FileLock:
    """Take the lock of a shard; call this under :func:`folder_lock`.

    Raises:
        RunFolderError: another process runs this shard, or splits the plan into another number.
    """
    for running in running_shards(path):
        if running == shard:
            raise RunFolderError(
                f"{path}: another process is running shard {shard.index}/{shard.count} here; "
                "wait for it, or use another folder"
            )
        if running.count != shard.count:
            raise RunFolderError(
                f"{path}: another process is running shard {running.index}/{running.count} here, which "
                f"overlaps with {shard.index}/{shard.count}; wait for it, or split into "
                f"{running.count} as well"
            )
    lock = FileLock(path / f".shard-{shard.index}-of-{shard.count}.lock")
    lock.acquire(timeout=0)
    return lock
