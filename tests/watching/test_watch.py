"""The checkpoints of a training in another process."""

from __future__ import annotations

import shutil

import pytest

from vla_eval.errors import InfrastructureError, RunFolderError, UsageError
from vla_eval.watching.curve import curve_text
from vla_eval.watching.journal import Journal
from vla_eval.watching.watch import STOP_FILE, Watch, watch


@pytest.fixture
def training(tmp_path):
    folder = tmp_path / "train" / "checkpoints"

    def save(step, skill, *, complete=True):
        place = folder / f"{step:06d}" / "pretrained_model"
        place.mkdir(parents=True)
        (place / "skill").write_text(str(skill))
        if complete:
            (folder / "last").unlink(missing_ok=True)
            (folder / "last").symlink_to(f"{step:06d}")

    return save


def asked(tmp_path, protocol, **more):
    given = {
        "policy": "fakes.saved:Saved?folder={checkpoint}",
        "episodes": 8,
        "workers": 1,
        "states": "any",
        "once": True,
        "settle_s": 0.0,
    } | more
    return Watch(tmp_path / "train", str(protocol), tmp_path / "curve", **given)


@pytest.mark.long
def test_checkpoints_are_evaluated_once_and_the_best_is_kept(tmp_path, protocol_file, training):
    """A deleted checkpoint was held; an incomplete one waits; the same command goes on from there."""
    protocol = protocol_file(count=8)
    training(10, 0.0)
    training(20, 1.0)
    training(30, 1.0, complete=False)
    said = []

    def say(sentence):
        said.append(sentence)
        shutil.rmtree(tmp_path / "train" / "checkpoints" / "000020", ignore_errors=True)

    curve = watch(asked(tmp_path, protocol, newest_first=True), say)
    assert [(point.step, point.rate) for point in curve.points] == [(10, 0.0), (20, 1.0)]
    assert said[0].startswith("step 20: 8/8 succeeded"), "the newest complete one comes first"
    assert curve.best.step == 20
    kept = tmp_path / "curve" / "checkpoints"
    assert [each.name for each in kept.iterdir()] == ["step-000000020"]
    assert (kept / "step-000000020" / "skill").exists(), "though the trainer deleted it"
    journal = Journal(tmp_path / "curve" / "watch.jsonl")
    assert journal.of("done") == [10, 20]
    assert journal.of("skipped") == [30]

    again = watch(asked(tmp_path, protocol), said.append)
    assert (again, len(said)) == (curve, 2), "nothing was left to do"
    text = curve_text(curve, states="any")
    assert "Highest of 2: step 20" in text
    assert "is left the level 0.0076" in text
    assert "at the whole level 0.05" in curve_text(curve, states="development")


def test_a_failed_checkpoint_is_tried_again_later(tmp_path, protocol_file, training, monkeypatch):
    """A fault of the machine is never done; the next try waits."""

    def fail(*_, **__):
        raise InfrastructureError("no GL")

    monkeypatch.setattr("vla_eval.watching.watch.evaluate", fail)
    training(10, 1.0)
    said = []
    assert watch(asked(tmp_path, protocol_file(), once=False, idle_exit_s=0.2), said.append) is None
    assert said == ["step 10: failed (no GL); tried again later"]
    entry = Journal(tmp_path / "curve" / "watch.jsonl").entries[10]
    assert (entry.state, entry.tries) == ("failed", 1)


def test_a_stop_file_ends_the_watch(tmp_path, protocol_file, training):
    """What is left is written down as skipped."""
    training(10, 1.0)
    (tmp_path / "curve").mkdir()
    (tmp_path / "curve" / STOP_FILE).touch()
    assert watch(asked(tmp_path, protocol_file(), once=False), print) is None
    assert Journal(tmp_path / "curve" / "watch.jsonl").of("skipped") == [10]


def test_a_checkpoint_that_vanishes_is_noted(tmp_path, protocol_file, training, monkeypatch):
    """It is neither done nor failed."""
    from vla_eval.watching.held import VanishedError

    def gone(checkpoint, place):
        raise VanishedError

    monkeypatch.setattr("vla_eval.watching.watch.hold", gone)
    training(10, 1.0)
    assert watch(asked(tmp_path, protocol_file()), print) is None
    assert Journal(tmp_path / "curve" / "watch.jsonl").of("vanished") == [10]


def test_a_reference_is_evaluated_once_and_its_result_said(tmp_path, protocol_file, monkeypatch):
    """By the spec, on the same episodes; a watch that goes on takes the run that is there."""
    folders = []

    def evaluate(spec, protocol, *, out, **asked):
        folders.append((spec, out, asked["episodes"]))
        return "8/8 succeeded"

    monkeypatch.setattr("vla_eval.watching.watch.evaluate", evaluate)
    given = asked(tmp_path, protocol_file(), reference="fakes.policies:InWorker")
    said = []
    assert watch(given, said.append) is None
    assert folders == [("fakes.policies:InWorker", tmp_path / "curve" / "reference", 8)]
    assert said == [
        "evaluating the reference fakes.policies:InWorker once",
        "reference: 8/8 succeeded",
    ]
    frozen = tmp_path / "frozen"
    frozen.mkdir()
    (frozen / "run.json").touch()
    watch(asked(tmp_path, protocol_file(), reference=str(frozen)), said.append)
    assert len(said) == 2, "a run is not evaluated again"


def test_two_watches_in_one_folder_are_refused(tmp_path, protocol_file):
    """They would evaluate each checkpoint twice."""
    from filelock import FileLock

    (tmp_path / "curve").mkdir()
    lock = FileLock(tmp_path / "curve" / ".watch.lock")
    with lock, pytest.raises(RunFolderError, match="another process watches"):
        watch(asked(tmp_path, protocol_file()), print)


def test_a_spec_without_a_place_for_the_checkpoint_is_refused(tmp_path):
    """Otherwise every step would be the same policy."""
    with pytest.raises(UsageError, match=r"has no \{checkpoint\}"):
        asked(tmp_path, "p", policy="expert")


def test_a_damaged_journal_is_refused_in_a_sentence(tmp_path):
    """The sentence names the line."""
    file = tmp_path / "watch.jsonl"
    file.write_text('{"step": 1, "state": "done"}\n{"step": 2, "sta')
    with pytest.raises(UsageError, match="line 2: is damaged"):
        Journal(file)
