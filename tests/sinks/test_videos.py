"""Videos for trackers."""

from __future__ import annotations

import gc
import io
import shutil

import numpy as np
import pytest
from PIL import Image

from vla_eval.sinks.send import new_failures, send
from vla_eval.sinks.videos import as_gif, failure_grid

# imageio leaves the pipes of its ffmpeg to the garbage collector.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
imageio = pytest.importorskip("imageio.v2")


@pytest.fixture(autouse=True)
def _collect():
    yield
    gc.collect()  # here, where it is ignored, and not in the next test


@pytest.mark.long
def test_films_of_new_failures_are_made_and_sent(finished, tmp_path):
    """A grid of the stored actions' films is a moving picture in TensorBoard; without films there is none."""
    pytest.importorskip("tensorboardX")
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    run = tmp_path / "run"
    shutil.copytree(finished, run)
    keys = new_failures(run, "walker")
    assert failure_grid(run, "walker", keys, render=False) is None
    send(run, f"tensorboard:{tmp_path / 'board'}", render=True, trust=True)
    (folder,) = (tmp_path / "board").glob("walker-*")
    tags = accumulator.EventAccumulator(str(folder)).Reload().Tags()
    assert tags["images"] == ["failures/new-failures-walker"]


def test_a_moving_picture_is_small(tmp_path):
    """Ten frames a second, and no side above 480 px."""
    with imageio.get_writer(tmp_path / "a.mp4", fps=30, macro_block_size=2) as writer:
        for i in range(9):
            writer.append_data(np.full((96, 1000, 3), 20 * i, np.uint8))
    gif, size = as_gif(tmp_path / "a.mp4")
    assert gif.startswith(b"GIF8")
    assert size == (32, 334)
    assert Image.open(io.BytesIO(gif)).info["loop"] == 0, "it begins again, without end"
