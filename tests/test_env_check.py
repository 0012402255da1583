"""The checker of environments finds what the evaluator would miss, and accepts what keeps the contract."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import gymnasium
import numpy as np
import pytest
from gymnasium.spaces import Box

from vla_eval.cli import main
from vla_eval.env_check import check_environment
from vla_eval.environment import make_env
from vla_eval.errors import UsageError


class Strange(gymnasium.Env):
    """A plain environment; each option leaves something out, or does it wrongly."""

    action_space = Box(-1.0, 1.0, (2,), np.float32)
    observation_space = Box(-9.0, 9.0, (1,), np.float32)
    metadata = {"render_modes": [], "render_fps": 10}  # noqa: RUF012 - Gymnasium's form
    task_description = "move"

    def __init__(self, fault: str = "") -> None:
        self.fault, self.resets = fault, 0
        if fault == "unbounded":
            self.action_space = Box(-np.inf, np.inf, (2,), np.float32)
        if fault == "mute":
            self.task_description = ""

    def reset(self, *, seed=None, options=None):
        self.resets += 1
        if self.fault == "gl":
            raise RuntimeError("an OpenGL platform library has not been loaded")
        state = 0 if self.fault == "one start" else options["init_state"]
        drift = self.resets if self.fault == "drifts" else 0
        counted = self.resets if self.fault == "counts" else 0
        self.at = np.array([state + drift], np.float32)
        info = {"scene_hash": f"{self.at[0]} {counted}", "is_success": False}
        left_out = {"no hash": "scene_hash", "no success": "is_success", "later": "is_success"}
        info.pop(left_out.get(self.fault, ""), None)
        return self.at, info

    def step(self, action):
        info = (
            {"success": True}
            if self.fault in ("no success", "other key")
            else {"is_success": False}
        )
        return self.at, 0.0, False, False, info


gymnasium.register("check/Strange-v0", entry_point=Strange)
ID = "gymnasium:check/Strange-v0"


@pytest.fixture
def failed(monkeypatch):
    """The names of the failed checks of an environment with one fault."""

    def ask(fault: str) -> dict[str, str]:
        monkeypatch.setattr(
            "vla_eval.env_check.make_env", lambda id_, _: make_env(id_, {"fault": fault})
        )
        return {check.name: check.remedy for check in check_environment(ID) if not check.ok}

    return ask


def test_a_sound_environment_passes(failed):
    """Nothing is missing in it; what is optional is no fault, and no start needs to know success."""
    assert failed("") == {}
    assert failed("later") == {}


@pytest.mark.parametrize(
    ("fault", "name", "words"),
    [
        ("no success", "success", "after reset and step"),
        ("other key", "success", "after step: no other key is read"),
        ("no hash", "scene hash", "no two arms are paired"),
        ("drifts", "same start", "the seed and init_state alone"),
        ("counts", "same start", "nothing that counts episodes"),
        ("one start", "other start", "options['init_state']"),
        ("unbounded", "actions", "finite bounds"),
        ("mute", "instruction", "task_description"),
    ],
)
def test_each_fault_is_named_with_its_remedy(failed, fault, name, words):
    """One fault fails its check, and no other."""
    found = failed(fault)
    assert list(found) == [name]
    assert words in found[name]


def test_an_environment_that_cannot_begin_fails_once(failed, monkeypatch):
    """Without MUJOCO_GL the remedy is to set it; the other checks would say the same."""
    monkeypatch.delenv("MUJOCO_GL", raising=False)
    assert list(failed("gl")) == ["begins"]
    env = make_env(ID, {"fault": "gl"})
    with pytest.raises(UsageError, match="export MUJOCO_GL=egl"):
        env.reset(seed=0, options={"init_state": 0})


def test_an_error_of_gl_with_a_backend_is_another_one(monkeypatch):
    """Where MUJOCO_GL is set, setting it is no remedy."""
    monkeypatch.setenv("MUJOCO_GL", "egl")
    with pytest.raises(RuntimeError, match="OpenGL"):
        make_env(ID, {"fault": "gl"}).reset(seed=0, options={"init_state": 0})


@pytest.mark.parametrize(
    ("id_", "code", "words"),
    [(ID, 0, "ok   success"), ("gymnasium:Pendulum-v1", 1, "FAIL success"), ("nopack:X-v0", 1, "not installed")],
)  # fmt: skip
def test_the_command(id_, code, words, capsys):
    """`vlaeval doctor --env` shows every check, and fails with exit code 1."""
    assert main(["doctor", "--env", id_]) == code
    said = capsys.readouterr()
    assert words in " ".join(said.out.split()).replace("ok success", "ok   success")
    assert "UserWarning" not in said.err


def test_the_page_shows_what_the_command_prints():
    """The example of the documentation is this version's output."""
    page = Path(__file__).parents[1] / "docs" / "bring-your-environment.md"
    command = [sys.executable, "-m", "vlaeval_launcher", "doctor", "--env", "gymnasium:Pendulum-v1"]
    calm = {name: value for name, value in os.environ.items() if name != "MUJOCO_GL"}  # is shown
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=calm)
    assert done.stdout.strip() in page.read_text()
