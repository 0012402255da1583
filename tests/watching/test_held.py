"""A checkpoint is held though its trainer deletes it."""

from __future__ import annotations

import shutil

import pytest

from vla_eval.watching.held import VanishedError, hold, release


def test_a_held_checkpoint_outlives_its_deletion(tmp_path):
    """Its files are the same files, without a copy; a link to a file becomes the file."""
    checkpoint = tmp_path / "100"
    (checkpoint / "deep").mkdir(parents=True)
    (checkpoint / "deep" / "weights").write_text("w")
    (checkpoint / "link").symlink_to("deep/weights")
    held = hold(checkpoint, tmp_path / "held")
    assert (held / "deep" / "weights").samefile(checkpoint / "deep" / "weights")
    shutil.rmtree(checkpoint)
    assert (held / "deep" / "weights").read_text() == (held / "link").read_text() == "w"
    release(held)
    assert not held.exists()


def test_a_checkpoint_that_is_gone_leaves_nothing(tmp_path):
    """Half a checkpoint must not be evaluated."""
    with pytest.raises(VanishedError):
        hold(tmp_path / "nowhere", tmp_path / "held")
    assert not (tmp_path / "held").exists()
