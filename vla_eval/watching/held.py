"""Holds a checkpoint while it is evaluated, though its trainer may delete it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

__all__ = ["VanishedError", "hold", "release"]


class VanishedError(Exception):
    """The checkpoint was deleted before all of it could be held."""


def hold(checkpoint: Path, place: Path) -> Path:
    """Make hard links to the files of a checkpoint, which cost no space; copies on another file system.

    Raises:
        VanishedError: it was deleted meanwhile.
    """
    release(place)
    try:
        for file in _files(checkpoint):
            target = place / file.relative_to(checkpoint)
            target.parent.mkdir(parents=True, exist_ok=True)
            try:
                os.link(os.path.realpath(file), target)
            except FileNotFoundError:
                raise
            except OSError:
                shutil.copyfile(file, target)
        checkpoint.stat()
    except FileNotFoundError as error:
        release(place)
        raise VanishedError(str(checkpoint)) from error
    return place


def _files(folder: Path) -> Iterator[Path]:
    for entry in folder.iterdir():
        if entry.is_dir():
            yield from _files(entry)
        else:
            yield entry


def release(place: Path) -> None:
    """Delete the links or copies."""
    shutil.rmtree(place, ignore_errors=True)
