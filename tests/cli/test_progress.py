"""``vlaeval record`` and ``train``: what reaches the library, and the progress on a terminal."""

from __future__ import annotations

import json
import sys
from types import SimpleNamespace

import pytest

from vla_eval import tools
from vla_eval.cli import main
from vla_eval.recording import folder
from vla_eval.recording.folder import Demonstration, Demonstrations


def be_a_terminal(monkeypatch):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)


@pytest.fixture
def recorded(monkeypatch):
    """What a recording was asked for; of its episodes every second one succeeds, and only these are kept."""
    asked = []

    def record(plan, request, out, *, on_episode):
        asked.append((plan, request, out))
        done = []
        for number, episode in enumerate(plan):
            good = number % 2 == 0
            index = number // 2 if good else None
            done.append(
                Demonstration(
                    key=episode.key,
                    success=good,
                    score=float(good),
                    steps=10,
                    reason=None if good else "time_limit",
                    scene_hash="",
                    episode_index=index,
                )
            )
            on_episode(done[-1])
        return Demonstrations(closed=True, request={}, episodes=tuple(done))

    monkeypatch.setattr(folder, "record", record)
    return asked


WORDS = ["record", "so101-pick-place", "--policy", "expert", "--init-states", "100-103"]


def test_a_recording_is_asked_for_as_the_words_say(recorded, tmp_path, capsys, monkeypatch):
    """Four episodes; how many of them are done, and how many succeeded, is said meanwhile."""
    be_a_terminal(monkeypatch)
    out = tmp_path / "demos"
    assert main([*WORDS, "--out", str(out), "--only-successes", "--env", "image_size=96"]) == 0
    ((plan, request, where),) = recorded
    assert [episode.key.init_state for episode in plan] == [100, 101, 102, 103]
    assert (request.policy, request.only_successes, request.env_kwargs) == (
        "expert",
        True,
        {"image_size": 96},
    )
    assert where == out
    said, progress = capsys.readouterr()
    assert said == f"2 episodes, 20 frames in {out} (2/4 succeeded)\n"
    assert "4/4" in progress
    assert "successes 2/4" in progress


def test_a_recording_for_machines(recorded, tmp_path, capsys):
    """The same numbers as JSON."""
    assert main([*WORDS, "--out", str(tmp_path / "demos"), "--json"]) == 0
    counts = {"tried": 4, "successes": 2, "episodes": 2, "frames": 20}
    assert json.loads(capsys.readouterr().out) == {"folder": str(tmp_path / "demos"), **counts}


@pytest.mark.parametrize("value", ["1e999", "[1e999]", "9" * 5000, "[" * 100_000])
def test_a_value_that_no_file_holds_is_refused(recorded, tmp_path, capsys, value):
    """In one sentence; a text that is no JSON is a text."""
    assert main([*WORDS, "--out", str(tmp_path / "demos"), "--env", f"size={value}"]) == 4
    assert "the value is not finite, nested too deeply or has too many digits" in (
        capsys.readouterr().err
    )
    assert not recorded


def test_a_training_shows_its_steps(monkeypatch, tmp_path, capsys):
    """Of how many, and the loss of the last one."""

    def run(out, *, on_step, on_episode):
        on_episode(1, 2)
        on_step(30, {"loss": 0.25})
        return SimpleNamespace(
            checkpoint=out / "last", method="fm", steps=40, data="demos", spec="flow:last", card={}
        )

    be_a_terminal(monkeypatch)
    training = SimpleNamespace(steps=40, base=None, run=run)
    monkeypatch.setattr(tools, "load_tool", lambda _: lambda request: training)
    assert main(["train", "recipe.toml", "--out", str(tmp_path)]) == 0
    said, progress = capsys.readouterr()
    assert said.splitlines()[0] == f"{tmp_path / 'last'}: fm, 40 steps on demos"
    assert "30/40" in progress
    assert "loss 0.2500" in progress
