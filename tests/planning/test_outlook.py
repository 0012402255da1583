"""What a plan knows of its size: states are tasks times initial states, whatever is judged."""

from __future__ import annotations

import pytest

from vla_eval.planning import outlook as module
from vla_eval.planning.outlook import outlook
from vla_eval.protocol import parse_protocol


def plan_of(**analysis):
    data = {
        "schema_version": 1,
        "protocol": "synthetic",
        "version": 1,
        "title": "x",
        "source": "tests",
        "blocks": [
            {
                "suite": "suite",
                "env_id": "fakes:fakes/{task}-v0",
                "tasks": ["one", "two", "three"],
                "init_states": {"count": 4},
                "max_steps": 10,
            }
        ],
        "run": {"policy_seeds": [0, 1]},
        "analysis": {"estimand": "x", "margin": 0.4, "margin_reason": "x", **analysis},
    }
    return outlook(parse_protocol(data, "here"), workers=1)


@pytest.fixture(autouse=True)
def _any_task(monkeypatch):
    monkeypatch.setattr(module, "check_catalogue", lambda _: None)


def test_repeated_states_are_counted_once():
    """Three tasks of four states, twice each: 12 states, 24 episodes."""
    found = plan_of(cluster="initial-state")
    assert found["episodes_per_arm"] == 24
    assert (found["clustered"]["states"], found["clustered"]["repeats"]) == (12, 2)
    assert found["means"] is None, "success is judged"


def test_a_measure_other_than_success_has_the_power_of_means():
    """Of the same states, and not that of clusters of successes."""
    found = plan_of(cluster="initial-state", measure="score")
    assert found["means"]["measure"] == "score"
    assert found["means"]["states"] == 12
    assert found["clustered"] is None
    powers = {row["spread"]: row["power"] for row in found["means"]["at_parity"]}
    assert powers[min(powers)] > powers[max(powers)], "the more states differ, the less is shown"
