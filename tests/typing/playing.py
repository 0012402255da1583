"""Stored actions and open-loop replay, as a viewer or an export uses them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vla_eval.playback import PlayedStep, Player
from vla_eval.runs.folder import RunFolder
from vla_eval.runs.traces import Trace, Traces


def pictures(run: Path, camera: str) -> Iterator[NDArray[np.uint8]]:
    """Yield a camera's pictures of all episodes."""
    folder, traces = RunFolder.open(run), Traces(run)
    with Player(folder, size=256) as player:
        for record in folder.records().final.values():
            trace: Trace | None = traces.get(record)
            if trace is None:
                continue
            moments: Iterator[PlayedStep] = player.play(record, trace)
            for moment in moments:
                yield moment.frames[camera]


def chunk_starts(trace: Trace) -> NDArray[np.intp]:
    """Return the steps at which the source of the actions changes."""
    return np.flatnonzero(np.diff(trace.source)) + 1
