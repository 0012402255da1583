"""`vlaeval replay`: from stored actions where there are any, else with the policy."""

from __future__ import annotations

import shutil

import pytest

import vla_eval
from vla_eval.cli import main
from vla_eval.recording import replay

pytestmark = pytest.mark.long

KEY = "fake/Point/i0/e0/p0"


@pytest.fixture
def run(tmp_path, protocol_file):
    path = tmp_path / "run"
    vla_eval.run(str(protocol_file(count=1)), {"a": "fakes.policies:InWorker"}, path, workers=1)
    return path


def test_actions_come_before_the_policy(run, tmp_path, capsys, monkeypatch):
    """Stored actions are played without the policy, also into a video; --with-policy and old runs need it."""
    built = []
    build = replay.build_policy
    monkeypatch.setattr(replay, "build_policy", lambda spec: built.append(spec) or build(spec))
    command = ["replay", str(run), KEY, "--arm", "a", "--trust"]
    video = tmp_path / "one.gif"
    assert main([*command, "--video", str(video)]) == 0
    assert "the same end by the same actions" in capsys.readouterr().out
    assert video.read_bytes().startswith(b"GIF8")
    assert not built
    assert main([*command, "--with-policy"]) == 0
    assert len(built) == 1
    shutil.rmtree(run / "actions")
    assert main(command) == 0
    assert len(built) == 2
    assert "the same scene and the same actions" in capsys.readouterr().out


def test_another_episode_is_refuted_and_a_wrong_request_refused(run, capsys, monkeypatch):
    """A difference ends with code 1 and says where it begins; a size without stored actions with code 4."""
    command = ["replay", str(run), KEY, "--arm", "a", "--trust"]
    assert main([*command, "--size", "64", "--with-policy"]) == 4
    assert "--size is for stored actions" in capsys.readouterr().err
    monkeypatch.setattr("fakes.env._SPEED", 0.2)
    assert main(command) == 1
    assert "is another episode here: 'half' is done after step" in capsys.readouterr().err
