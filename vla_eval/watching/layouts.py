"""Where trainers put their checkpoints, and when one is complete."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import Literal

__all__ = ["Checkpoint", "Readiness", "find_checkpoints"]

type Layout = Literal["lerobot", "transformers", "openpi", "marked"]

_TEMPORARY = "orbax-checkpoint-tmp"


@dataclass(frozen=True)
class Checkpoint:
    """A folder that looks like a checkpoint."""

    step: int
    path: Path
    """Folder of the policy."""
    layout: Layout


def find_checkpoints(folder: Path, *, ready_file: str | None = None) -> list[Checkpoint]:
    """Return the checkpoints below a folder, by rising step, complete or not.

    ============== ==================================== =========================================
    layout         form                                 complete when
    ============== ==================================== =========================================
    LeRobot        ``checkpoints/STEP/pretrained_model`` the link ``last`` points at it or later
    transformers   ``checkpoint-STEP``                  ``trainer_state.json``, and nothing grows
    openpi         ``STEP/params``                      no temporary name, and nothing grows
    anything else  a folder with STEP in its name       ``ready_file``, and nothing grows
    ============== ==================================== =========================================

    Args:
        folder: the trainer's output, or its folder of checkpoints.
        ready_file: name of the file that another trainer writes last.
    """
    inner = folder / "checkpoints"
    found = {}
    for place in (folder, inner):
        for entry in _entries(place):
            checkpoint = _recognise(entry, ready_file)
            if checkpoint is not None:
                found[checkpoint.step] = checkpoint
    return [found[step] for step in sorted(found)]


def _entries(place: Path) -> list[Path]:
    try:
        return [each for each in place.iterdir() if each.is_dir() and not each.is_symlink()]
    except OSError:
        return []  # not there yet, or no longer


def _recognise(entry: Path, ready_file: str | None) -> Checkpoint | None:
    number = re.search(r"(\d+)$", entry.name)
    if number is None or entry.name.startswith("."):
        return None
    step = int(number[1])
    if entry.name.isdigit() and (entry / "pretrained_model").is_dir():
        return Checkpoint(step, entry / "pretrained_model", "lerobot")
    if re.fullmatch(r"checkpoint-\d+", entry.name):
        return Checkpoint(step, entry, "transformers")
    if entry.name.isdigit() and (entry / "params").is_dir():
        return Checkpoint(step, entry, "openpi")
    if ready_file is not None:
        return Checkpoint(step, entry, "marked")
    return None


class Readiness:
    """Tells complete checkpoints from those that are being written.

    Args:
        settle_s: time in s over which no file of a checkpoint may change.
        ready_file: see :func:`find_checkpoints`.
    """

    def __init__(self, settle_s: float, ready_file: str | None = None) -> None:
        self._settle_s = settle_s
        self._ready_file = ready_file
        self._seen: dict[Path, tuple[object, float]] = {}

    def is_ready(self, checkpoint: Checkpoint) -> bool:
        """Return whether a checkpoint is complete; to be asked again and again."""
        if checkpoint.layout == "lerobot":
            # Written last of all, by unlink and symlink: for a moment there is none.
            last = checkpoint.path.parents[1] / "last"
            name = last.resolve().name if last.is_symlink() else ""
            return name.isdigit() and int(name) >= checkpoint.step
        return self._is_marked(checkpoint) and self._is_settled(checkpoint.path)

    def _is_marked(self, checkpoint: Checkpoint) -> bool:
        if checkpoint.layout == "openpi":
            return not any(_TEMPORARY in name for name, _, _ in _files(checkpoint.path))
        name = "trainer_state.json" if checkpoint.layout == "transformers" else self._ready_file
        return (checkpoint.path / str(name)).exists()

    def _is_settled(self, path: Path) -> bool:
        files = _files(path)
        before, since = self._seen.get(path, (None, 0.0))
        if files != before:
            self._seen[path] = files, monotonic()
            return self._settle_s <= 0
        return monotonic() - since >= self._settle_s


def _files(path: Path) -> list[tuple[str, int, int]]:
    """Return name, size in bytes and time of change of everything below a folder."""
    found = []
    for entry in path.rglob("*"):
        try:
            status = entry.stat()
        except OSError:
            continue  # it was deleted just now
        size = 0 if entry.is_dir() else status.st_size
        found.append((str(entry), size, status.st_mtime_ns))
    return sorted(found)
