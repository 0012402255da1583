"""A run that is still going on: its folder is read again when it grew, and never written."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from threading import Lock
from time import monotonic
from typing import Any

from vla_eval.keys import EpisodeKey
from vla_eval.record import EpisodeRecord
from vla_eval.view.data import details, overview, planned_keys
from vla_eval.view.films import FilmStyle, media_folder
from vla_eval.view.gather import ShownArm, ShownRun, arms_of, read_runs, signature

__all__ = ["LiveRuns", "films_there", "remaining_s"]

_REST = 4.0
"""Least time between two readings, as a multiple of the time that the last one took."""
_RECENT = 50
"""Episodes whose pace decides the remaining time."""


class LiveRuns:
    """The shown runs, as they are on disk now."""

    def __init__(self, paths: Sequence[Path], style: FilmStyle) -> None:
        self._paths, self._style, self._lock = tuple(paths), style, Lock()
        self._not_before = 0.0
        self._read()

    def _read(self) -> None:
        begun = monotonic()
        self.version = signature(self._paths)
        self.runs = read_runs(self._paths)
        self.keys = list(planned_keys(self.runs))
        self._overview: dict[str, Any] | None = None
        self._not_before = monotonic() + _REST * (monotonic() - begun)

    def refresh(self) -> None:
        """Read the folders again if they changed, and if the last reading is long enough ago."""
        with self._lock:
            if monotonic() >= self._not_before and signature(self._paths) != self.version:
                self._read()

    def overview(self) -> dict[str, Any]:
        """Return the page's data, with the films that are there."""
        if self._overview is None:
            self._overview = overview(self.runs, self._style)
        return {
            **self._overview,
            "version": self.version,
            "server": True,
            "films": films_there(self.runs),
        }

    def details(self, number: int) -> list[dict[str, Any] | None]:
        """Return the details of an episode by its number in the overview; raise IndexError without one."""
        return details(self.runs, self.keys[number], self._style)

    def arms(self, number: int) -> list[tuple[ShownArm, EpisodeKey]]:
        """Return the arms that have ended an episode; raise IndexError without such an episode."""
        key = self.keys[number]
        return [(arm, key) for arm in arms_of(self.runs) if _ended(arm.record(key))]

    def progress(self) -> dict[str, Any]:
        """Return how far the runs are."""
        arms = [arm for run in self.runs for arm in run.summary.arms.values()]
        pending = sum(arm.pending for arm in arms)
        done = sum(arm.n for arm in arms)
        return {
            "version": self.version,
            "complete": all(run.summary.complete for run in self.runs) or not pending,
            "done": done,
            "planned": done + pending + sum(arm.errors for arm in arms),
            "errors": sum(arm.errors for arm in arms),
            "eta_s": remaining_s(
                [record for run in self.runs for record in run.records.attempts], pending
            ),
        }


def _ended(record: EpisodeRecord | None) -> bool:
    return record is not None and record.outcome != "error"


def films_there(runs: Sequence[ShownRun]) -> list[str]:
    """Return the names of all films that are complete."""
    folders = [media_folder(run.path) for run in runs]
    return sorted({file.stem for folder in folders for file in folder.glob("*.json")})


def remaining_s(attempts: Sequence[EpisodeRecord], pending: int) -> float | None:
    """Return the time until the pending episodes are done at the recent pace, in s; None if unknown.

    A pause between two calls of ``vlaeval run`` is no pace: only the last call's episodes count.
    """
    if not attempts or not pending:
        return None
    ended = sorted((_begun(each) + each.timing.wall_s, each.timing.session) for each in attempts)
    last = [time for time, session in ended if session == ended[-1][1]][-_RECENT:]
    if len(last) < 2 or last[-1] <= last[0]:
        return None
    return round(pending * (last[-1] - last[0]) / (len(last) - 1), 1)


def _begun(record: EpisodeRecord) -> float:
    return datetime.fromisoformat(record.timing.started_at).timestamp()
