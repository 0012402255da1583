"""Videos of new failures for trackers, in one grid, the reference beside each."""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from vla_eval.cores import usable_cores
from vla_eval.errors import MissingExtraError, UsageError
from vla_eval.keys import EpisodeKey

__all__ = ["MOST_EPISODES", "as_gif", "failure_grid"]

MOST_EPISODES = 4
"""Most failures in a grid."""
_GIF_FPS = 10
_GIF_SIDE = 480


def failure_grid(
    run: Path, arm: str, failures: Sequence[EpisodeKey], *, render: bool, trust: bool = False
) -> Path | None:
    """Write the grid of some failures, with the other arms of the run beside each.

    Args:
        run: the run folder.
        arm: name of the arm.
        failures: keys of its failures.
        render: make the films that do not exist yet, from the stored actions; else take those that do.
        trust: whether to import an environment that no installed package provides.

    Returns:
        The file; None if there is no film.
    """
    if not failures:
        return None
    from vla_eval.view.films import FilmStyle, media_folder
    from vla_eval.view.gather import arms_of, read_runs
    from vla_eval.view.studio import Studio

    style = FilmStyle()
    arms = sorted(arms_of(read_runs([run])), key=lambda each: each.name != arm)
    episodes = [(key, arms) for key in failures[:MOST_EPISODES]]
    if render:
        with Studio(workers=usable_cores(), style=style, trust=trust) as studio:
            orders = studio.make([(each, key) for key, shown in episodes for each in shown])
            for future, _reason in orders:
                if future is not None:
                    future.exception()  # waits; the grid shows the films that could be made
    file = media_folder(run) / f"new-failures-{arm}.mp4"
    if not any(media_folder(run).glob("*.json")):
        return None
    from vla_eval.view.grid import write_grid

    try:
        write_grid(file, episodes, style)
    except UsageError:
        return None  # no film of these episodes
    return file


def as_gif(video: Path) -> tuple[bytes, tuple[int, int]]:
    """Return a small moving picture of a video, and its height and width.

    Raises:
        MissingExtraError: imageio is not installed.
    """
    try:
        import imageio.v2 as imageio
    except ImportError:
        raise MissingExtraError("a grid of videos", "so101") from None
    reader: Any
    with imageio.get_reader(video) as reader:
        skip = max(1, round(float(reader.get_meta_data()["fps"]) / _GIF_FPS))
        frames: list[Any] = [np.asarray(frame) for i, frame in enumerate(reader) if i % skip == 0]
    step = math.ceil(max(frames[0].shape[:2]) / _GIF_SIDE)
    small = [frame[::step, ::step] for frame in frames]
    buffer = io.BytesIO()
    imageio.mimwrite(buffer, small, format="GIF", duration=1000 / _GIF_FPS, loop=0)
    height, width, _ = small[0].shape
    return buffer.getvalue(), (height, width)
