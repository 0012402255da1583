"""One run of two arms for the tests of trackers."""

from __future__ import annotations

import pytest

import vla_eval
from vla_eval.protocol import parse_protocol

PROTOCOL = {
    "schema_version": 1,
    "protocol": "fake",
    "version": 1,
    "title": "a point on a line",
    "source": "tests",
    "blocks": [
        {
            "suite": "fake",
            "env_id": "fakes:fakes/{task}-v0",
            "tasks": ["Point"],
            "init_states": {"count": 8},
            "max_steps": 12,
        }
    ],
    "run": {"n_action_steps": 4},
    "analysis": {"estimand": "difference", "margin": 0.1, "margin_reason": "a test"},
}


@pytest.fixture(scope="session")
def finished(tmp_path_factory):
    """Return the folder of a run in which the walker loses some episodes that the teacher wins."""
    folder = tmp_path_factory.mktemp("finished") / "run"
    arms = {"walker": "fakes.policies:InWorker?skill=0.6", "teacher": "fakes.policies:InWorker"}
    protocol = parse_protocol(PROTOCOL, "tests")
    assert vla_eval.run(protocol, arms, folder, workers=1).complete
    return folder
