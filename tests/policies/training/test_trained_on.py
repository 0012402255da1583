"""The scenes of demonstrations: from the data through the card into a policy's identity."""

from __future__ import annotations

import dataclasses

import pytest

from vla_eval.spec import build_policy
from vla_eval_policies.flow.checkpoint import read_card
from vla_eval_policies.training import run
from vla_eval_policies.training.data import Frames
from vla_eval_policies.training.run import train

ONE, TWO, THREE = (digit * 16 for digit in "123")


@pytest.mark.parametrize(
    ("taught", "shown", "known"),
    [
        ((ONE, TWO), (TWO, THREE), (ONE, TWO, THREE)),
        (None, (TWO, THREE), None),
        ((ONE, TWO), None, None),
    ],
)
def test_a_student_saw_what_its_teacher_saw(
    recipe, frames, monkeypatch, tmp_path, taught, shown, known
):
    """Scenes go from the data through the card into the identity; what is unknown stays unknown."""

    def show(scenes):
        monkeypatch.setattr(
            run, "read_frames", lambda *_: dataclasses.replace(frames, scenes=scenes)
        )

    show(taught)
    teacher = train(recipe("fm", "training.steps=2"), tmp_path / "teacher")
    assert build_policy(f"flow:{teacher}").metadata.trained_on == taught
    show(shown)
    changes = (f"training.start='{teacher}'", "training.steps=2")
    student = train(recipe("snapflow", *changes), tmp_path / "student")
    assert read_card(student).trained_on == known
    assert build_policy(f"flow:{student}").metadata.trained_on == known
    assert build_policy(f"impaired:flow:{student}?stale=0.1").metadata.trained_on == known


def test_scenes_are_no_data(frames):
    """They change neither what training sees nor its digest; joined frames have those of all parts."""
    first = dataclasses.replace(frames, scenes=(ONE,))
    second = dataclasses.replace(frames, scenes=(TWO,))
    assert first.sha256() == second.sha256() == frames.sha256()
    assert Frames.joined([first, second, first]).scenes == (ONE, TWO)
    assert Frames.joined([first, frames]).scenes is None
