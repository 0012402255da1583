"""A grid of videos."""

from __future__ import annotations

import gc
import shutil

import numpy as np
import pytest

from vla_eval.sinks.send import new_failures, send
from vla_eval.sinks.videos import as_gif, grid, place_of

# imageio leaves the pipes of its ffmpeg to the garbage collector.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
imageio = pytest.importorskip("imageio.v2")


@pytest.fixture(autouse=True)
def _collect():
    yield
    gc.collect()  # here, where it is ignored, and not in the next test


def film(path, value, frames):
    path.parent.mkdir(parents=True, exist_ok=True)
    with imageio.get_writer(path, fps=30, macro_block_size=2) as writer:
        for _ in range(frames):
            writer.append_data(np.full((32, 48, 3), value, np.uint8))
    return path


@pytest.mark.long
def test_a_shorter_video_stays_on_its_last_frame(tmp_path):
    """Three films make a grid of two by two, as long as the longest; the free cell is black."""
    films = [
        film(tmp_path / f"{value}.mp4", value, n) for value, n in ((50, 4), (120, 20), (200, 8))
    ]
    made = grid(films, tmp_path / "grid.mp4")
    frames = [np.asarray(frame) for frame in imageio.get_reader(made)]
    assert (len(frames), frames[-1].shape) == (10, (64, 96, 3))
    last = [frames[-1][y, x].mean() for y, x in ((16, 24), (16, 72), (48, 24), (48, 72))]
    assert last == pytest.approx([50, 120, 200, 0], abs=6)
    gif, size = as_gif(made)
    assert gif.startswith(b"GIF8")
    assert size == (64, 96)


@pytest.mark.long
def test_videos_that_exist_are_sent(finished, tmp_path):
    """TensorBoard gets the grid as a moving picture."""
    pytest.importorskip("tensorboardX")
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    run = tmp_path / "run"
    shutil.copytree(finished, run)
    for key in new_failures(run, "walker")[:2]:
        film(place_of(run, "walker", key), 90, 4)
    send(run, f"tensorboard:{tmp_path / 'board'}")
    (folder,) = (tmp_path / "board").glob("walker-*")
    assert accumulator.EventAccumulator(str(folder)).Reload().Images("failures/new-failures")
