"""``vlaeval doctor --policy SPEC``: one inference, and what went in and came out."""

from __future__ import annotations

import dataclasses
import importlib
import json

import numpy as np
import pytest

from vla_eval.catalog import Cost, Suite, Task
from vla_eval.cli import main
from vla_eval.errors import PolicySpecError
from vla_eval.inspection import inspect_policy, representatives
from vla_eval.policy import ActionChunk, Finding
from vla_eval.spec import build_policy

inspection = importlib.import_module("vla_eval.inspection")
command = importlib.import_module("vla_eval.cli.inspect")


def suite(name: str, entry_point: str = "fakes:PointEnv") -> Suite:
    task = Task("Point", "fakes:fakes/Point-v0", "go", 8, 40, entry_point)
    return Suite(name=name, description="", tasks=(task,), extra="", cost=Cost(0, 0, 0, 0))


class Policy:
    """Acts as told, and says what it makes of an observation."""

    def __init__(self, actions: np.ndarray, *findings: Finding, refuses: str = "") -> None:
        metadata = build_policy("random").metadata
        self.metadata = dataclasses.replace(metadata, chunk_size=len(actions), nfe=3)
        self._actions = actions
        self._findings = findings
        self._refuses = refuses
        self.ended: list = []

    def explain(self, observation, context):
        assert observation["pixels"]["front"].shape == (8, 8, 3)
        if context.key.suite == self._refuses:
            raise PolicySpecError("made for another robot")
        return self._findings

    def infer(self, observations, contexts):
        return [ActionChunk(self._actions, nfe=3) for _ in observations]

    def end_episode(self, key, outcome):
        self.ended.append(key)


ACTIONS = np.linspace(-0.5, 0.5, 8).reshape(4, 2).astype(np.float32)


@pytest.fixture
def doctor(monkeypatch, tmp_path, capsys):
    """Run the command on a policy and some suites."""

    def run(policy, *arguments, names=("one", "two")):
        monkeypatch.setattr(inspection, "suites", lambda: tuple(suite(name) for name in names))
        monkeypatch.setattr(command, "build_policy", lambda _: policy)
        code = main(["doctor", "--policy", "any", "--out", str(tmp_path / "new"), *arguments])
        return code, capsys.readouterr().out

    return run


def test_one_suite_stands_for_those_of_the_same_package():
    """Suites of one simulator look alike; asking for one by name looks at that one."""
    chosen = representatives(["libero_goal", "so101"])
    assert [(each.name, others) for each, others in chosen] == [("libero_goal", []), ("so101", [])]
    every = {each.name: others for each, others in representatives()}
    assert set(every["libero_10"]) == {
        "libero_90",
        "libero_goal",
        "libero_object",
        "libero_spatial",
    }
    assert {"so101", "lekiwi"} < every.keys()


def test_report(doctor, tmp_path):
    """Pictures, findings and actions are shown within 80 columns, and drawn."""
    policy = Policy(ACTIONS, Finding("observation.state", "0.1 0.2 " * 20))
    code, out = doctor(policy)
    assert code == 0
    assert max(map(len, out.splitlines())) <= 80 + len(str(tmp_path))
    assert "front: 8x8" in out
    assert "ok  observation.state" in out
    assert "0% of the chunk's numbers are outside" in out
    assert "one/Point (also represents: two)" in out
    assert (tmp_path / "new" / "doctor-one.png").read_bytes().startswith(b"\x89PNG")
    assert {key.suite for key in policy.ended} == {"one"}
    assert "two episodes at once  do not disturb each other" in out


@pytest.mark.long
def test_machines(doctor, tmp_path):
    """--json has the same, and the numbers whole."""
    code, out = doctor(Policy(ACTIONS), "--json", "--suite", "two")
    found = json.loads(out)
    assert code == 0
    assert found["ok"]
    assert [each["suite"] for each in found["suites"]] == ["two"]
    np.testing.assert_allclose(found["suites"][0]["actions"], ACTIONS)


@pytest.mark.long
def test_what_looks_like_a_mistake(doctor):
    """A finding that is not ok, or actions mostly out of bounds, end in exit code 1."""
    code, out = doctor(Policy(ACTIONS, Finding("state", "other units?", ok=False)))
    assert code == 1
    assert "!!  state" in out
    code, out = doctor(Policy(10 * ACTIONS))
    assert code == 1
    assert "!!  bounds" in out


def test_suites_that_it_does_not_fit(doctor):
    """A suite that the policy does not fit is reported, but is no error if another suite fits."""
    code, out = doctor(Policy(ACTIONS, refuses="one"), "--suite", "one", "--suite", "two")
    assert code == 0
    assert "one: does not fit: made for another robot" in out
    code, out = doctor(Policy(ACTIONS, refuses="one"), "--suite", "one")
    assert code == 1
    assert "fits none" in out


def test_what_is_no_action(monkeypatch):
    """A chunk of another width, or not finite, does not fit either."""
    with pytest.raises(PolicySpecError, match="cannot be executed: actions have shape"):
        inspect_policy(Policy(np.zeros((4, 3), np.float32)), suite("one"))


def test_a_policy_that_raises(monkeypatch):
    """The policy is at fault, and the sentence says what it raised: it is no bug of the doctor."""

    def fail(*_):
        raise AssertionError("batch must contain inference_action")

    policy = Policy(ACTIONS)
    monkeypatch.setattr(policy, "infer", fail)
    with pytest.raises(PolicySpecError, match="first inference raises AssertionError: batch must"):
        inspect_policy(policy, suite("one"))


def test_usage(capsys):
    """An unknown suite, and --suite without a policy, are refused."""
    assert main(["doctor", "--suite", "so101"]) == 4
    assert main(["doctor", "--policy", "random", "--suite", "so100"]) == 4
    assert "no suite is named 'so100'" in capsys.readouterr().err
