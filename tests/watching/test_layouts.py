"""Complete checkpoints are told from those that are being written."""

from __future__ import annotations

from vla_eval.watching.layouts import Readiness, find_checkpoints


def make(folder, *files):
    for name in files:
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(name)


def ready(folder, *, settle_s=0.0, ready_file=None):
    judge = Readiness(settle_s, ready_file)
    found = find_checkpoints(folder, ready_file=ready_file)
    return [each.step for each in found if judge.is_ready(each)]


def test_lerobot_writes_the_link_last(tmp_path):
    """A checkpoint is ready when `last` points at it or at a later one; without the link none is."""
    place = tmp_path / "checkpoints"
    make(place, "000100/pretrained_model/a", "000200/pretrained_model/a", "000300/training_state/b")
    assert ready(tmp_path) == []
    (place / "last").symlink_to("000100")
    assert ready(tmp_path) == ready(place) == [100]
    (place / "last").unlink()
    (place / "last").symlink_to("000200")
    assert ready(tmp_path) == [100, 200]


def test_transformers_writes_trainer_state_late(tmp_path):
    """Without the file a checkpoint is not ready."""
    make(tmp_path, "checkpoint-10/trainer_state.json", "checkpoint-20/model.safetensors", "runs/x")
    assert ready(tmp_path) == [10]


def test_openpi_writes_under_a_temporary_name(tmp_path):
    """A folder with a temporary name inside is not ready, and one that is itself temporary is none."""
    make(tmp_path, "1000/params/a", "2000/params/a.orbax-checkpoint-tmp-1/b")
    make(tmp_path, "3000.orbax-checkpoint-tmp-7/params/a")
    assert ready(tmp_path) == [1000]


def test_another_trainer_names_its_last_file(tmp_path):
    """Any folder with a number at its end counts then."""
    make(tmp_path, "epoch-3/DONE", "epoch-4/weights")
    assert ready(tmp_path) == []
    assert ready(tmp_path, ready_file="DONE") == [3]


def test_what_grows_is_not_ready(tmp_path):
    """Nothing may change for the time that was asked for."""
    make(tmp_path, "epoch-3/DONE")
    (checkpoint,) = find_checkpoints(tmp_path, ready_file="DONE")
    judge = Readiness(0.05, "DONE")
    assert not judge.is_ready(checkpoint)
    make(tmp_path, "epoch-3/more")
    assert not judge.is_ready(checkpoint)
    import time

    time.sleep(0.06)
    assert judge.is_ready(checkpoint)


def test_a_folder_that_is_not_there_holds_none(tmp_path):
    """The training may not have begun."""
    assert find_checkpoints(tmp_path / "later") == []
