"""Videos of new failures in one grid, each failure in a cell."""

from __future__ import annotations

import io
import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vla_eval.errors import MissingExtraError

__all__ = ["MOST_CELLS", "as_gif", "grid", "place_of", "recorded"]

MOST_CELLS = 4
"""Most failures in a grid."""
_FPS = 15
_EVERY = 2
"""One frame of so many is kept: the grid is for looking, not for measuring."""
_GIF_SIDE = 320


def place_of(run: Path, arm: str, key: str) -> Path:
    """Return where the video of an episode lies in its run folder, if there is one."""
    return run / "videos" / arm / f"{key.replace('/', '-')}.mp4"


def recorded(run: Path, arm: str, keys: Iterable[str]) -> list[Path]:
    """Return the videos of an arm's episodes that exist, at most as many as a grid has cells."""
    places = [place_of(run, arm, key) for key in keys]
    return [place for place in places if place.is_file()][:MOST_CELLS]


def grid(videos: Sequence[Path], target: Path) -> Path:
    """Write one video with the given ones side by side; a shorter one stays on its last frame.

    Raises:
        MissingExtraError: imageio is not installed.
    """
    imageio = _imageio()
    films = [_frames(video) for video in videos]
    columns = math.ceil(math.sqrt(len(films)))
    height, width = (max(film[0].shape[axis] for film in films) for axis in (0, 1))
    cells = [[_padded(frame, height, width) for frame in film] for film in films]
    blank = np.zeros((height, width, 3), np.uint8)
    cells += [[blank]] * (-len(cells) % columns)
    target.parent.mkdir(parents=True, exist_ok=True)
    with imageio.get_writer(target, fps=_FPS, macro_block_size=2, codec="libx264") as writer:
        for i in range(max(map(len, cells))):
            now = [cell[min(i, len(cell) - 1)] for cell in cells]
            rows = [np.hstack(now[j : j + columns]) for j in range(0, len(now), columns)]
            writer.append_data(np.vstack(rows))
    return target


def as_gif(video: Path) -> tuple[bytes, tuple[int, int]]:
    """Return a small moving picture of a video, and its height and width."""
    frames = _frames(video)
    step = math.ceil(max(frames[0].shape[:2]) / _GIF_SIDE)
    small = [frame[::step, ::step] for frame in frames]
    buffer = io.BytesIO()
    _imageio().mimwrite(buffer, small, format="GIF", duration=1000 / _FPS, loop=0)
    height, width, _ = small[0].shape
    return buffer.getvalue(), (height, width)


def _frames(video: Path) -> list[NDArray[np.uint8]]:
    with _imageio().get_reader(video) as reader:
        return [np.asarray(frame) for i, frame in enumerate(reader) if i % _EVERY == 0]


def _padded(frame: NDArray[np.uint8], height: int, width: int) -> NDArray[np.uint8]:
    rows, columns = height - frame.shape[0], width - frame.shape[1]
    return np.pad(frame, ((0, rows), (0, columns), (0, 0)))


def _imageio() -> Any:
    try:
        import imageio.v2 as imageio
    except ImportError:
        raise MissingExtraError("a grid of videos", "so101") from None
    return imageio
