"""Runs for the viewer's tests."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from fakes.watching import make_run, paint_film
from vla_eval.protocol import Protocol
from vla_eval.released import load_protocol
from vla_eval.runs.folder import RunFolder

SUBGOALS = ("half", "goal")
_PROTOCOL = """
schema_version = 1
protocol = "watched"
version = 1
title = "a point on a line"
source = "tests"
[[blocks]]
suite = "fake"
env_id = "fakes:fakes/{task}-v0"
tasks = ["Point"]
init_states = { count = 8 }
max_steps = 40
[run]
n_action_steps = 8
[analysis]
estimand = "difference in success rate"
margin = 0.1
margin_reason = "a test"
"""


def student(number: int) -> dict:
    """Fails in every third episode, after a subgoal."""
    if number % 3:
        return {"steps": 30 + number, "subgoals": dict.fromkeys(SUBGOALS, True)}
    half = {"half": True, "goal": False}
    return {
        "steps": 40, "outcome": "failure", "reason": "time_limit", "score": 0.5, "subgoals": half,
        "clipped_actions": 1,
    }  # fmt: skip


def teacher(number: int) -> dict:
    """Succeeds, but for the fourth episode."""
    if number != 3:
        return {"steps": 25, "subgoals": dict.fromkeys(SUBGOALS, True)}
    return {"steps": 40, "outcome": "failure", "reason": "time_limit", "score": 0.0}


@pytest.fixture(scope="session")
def protocol(tmp_path_factory) -> Protocol:
    file = tmp_path_factory.mktemp("protocol") / "protocol.toml"
    file.write_text(_PROTOCOL)
    return load_protocol(str(file))


@pytest.fixture
def run(tmp_path, protocol):
    """Return a run of two arms over eight episodes: five successes of both, one failure of both."""
    return make_run(tmp_path / "run", protocol, {"student": student, "teacher": teacher})


@pytest.fixture(scope="session")
def painted_once(tmp_path_factory, protocol):
    """Return that run with films of its first four episodes; no test changes it."""
    path = tmp_path_factory.mktemp("painted") / "run"
    make_run(path, protocol, {"student": student, "teacher": teacher})
    for record in RunFolder.open(path).records().final.values():
        if record.init_state < 4:
            paint_film(path, record, subgoals=SUBGOALS)
    return path


@pytest.fixture
def painted(painted_once, tmp_path):
    """Return a copy of that run."""
    return Path(shutil.copytree(painted_once, tmp_path / "painted"))
