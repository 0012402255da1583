"""Open-loop replay: the same episode without its policy, or an error that says where it differs."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import vla_eval
from fakes.env import PointEnv
from vla_eval.errors import NotReproducedError, UsageError
from vla_eval.playback import Player, play
from vla_eval.runs.folder import RunFolder
from vla_eval.runs.traces import Traces

ARMS = {"good": "fakes.policies:InWorker", "bad": "fakes.policies:InWorker?skill=0.4"}
pytestmark = pytest.mark.long


@pytest.fixture(scope="module")
def runs(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("runs")


@pytest.fixture
def folder(runs, protocol_file) -> RunFolder:
    """A complete run of two arms, made once."""
    path = runs / "run"
    if not path.exists():
        vla_eval.run(str(protocol_file(count=3)), ARMS, path, workers=1)
    return RunFolder.open(path)


@pytest.fixture
def episode(folder):
    """Record and trace of one success; the point is half way after some steps, and then at its goal."""
    record = next(
        each
        for each in folder.records().final.values()
        if (each.arm, each.init_state) == ("good", 0)
    )
    assert list(record.subgoal_steps) == ["half", "goal"]
    return record, Traces(folder.path).get(record)


def played(folder, record, trace, **options):
    with Player(folder, trust=True, **options) as player:
        return list(player.play(record, trace))


def test_every_episode_plays_as_it_was(folder, monkeypatch):
    """All moments of successes and failures come again, with what holds then, and no policy is built."""
    monkeypatch.delattr("fakes.policies.InWorker")
    traces = Traces(folder.path)
    outcomes = set()
    with Player(folder, trust=True) as player:
        for record in folder.records().final.values():
            trace = traces.get(record)
            moments = list(player.play(record, trace))
            outcomes.add(record.outcome)
            assert [each.step for each in moments] == list(range(record.steps + 1))
            acted = np.array([each.action for each in moments[:-1]])
            assert np.array_equal(acted, trace.actions)
            last = moments[-1]
            assert last.action is None
            assert (last.success, last.score) == (record.outcome == "success", record.score)
            assert last.subgoals == record.subgoals
            for name, step in record.subgoal_steps.items():
                assert moments[step].subgoals[name]
                assert not any(each.subgoals[name] for each in moments[:step])
            assert all(each.frames["front"].shape == (8, 8, 3) for each in moments)
    assert outcomes == {"success", "failure"}


def test_without_pictures_nothing_is_rendered(folder, episode):
    """An episode can be checked without looking."""
    with Player(folder, pictures=False, trust=True) as player:
        moments = list(player.play(*episode))
        assert player.env_of(episode[0]).observed == 1, "its reset looks once"
    assert all(each.frames == {} for each in moments)


def test_the_function_plays_one_episode(folder, episode):
    """`play` is a player for a single episode; the environment's code needs the user's word."""
    assert len(list(play(folder, *episode, trust=True))) == episode[0].steps + 1
    with pytest.raises(UsageError, match="names code that would be run"):
        next(play(folder, *episode))


DIFFERENCES = {
    "scene": ({"scene_hash": "0"}, "it begins in another scene"),
    "early": (
        {"subgoal_steps": {"half": 1}},
        "'half' is not done after step 1, as it is in the rec",
    ),
    "late": (
        {"subgoal_steps": {"half": 11}},
        r"'half' is done after step \d, and in the record after",
    ),
    "never": ({"subgoal_steps": {}}, r"'half' is done after step \d, and in the record never"),
    "outcome": ({"outcome": "failure", "reason": "time_limit"}, "after the last step it succeeds"),
    "score": ({"score": 0.5}, r"after the last step the score is 1\.0, and in the record 0\.5"),
    "parts": (
        {"subgoals": {"half": True, "goal": False}},
        "after the last step the parts that are",
    ),
    "end": ({"end_hash": "0"}, r"in another state; the difference begins between steps \d and 1\d"),
    "steps": ({"steps": 99}, r"there are \d+ actions, and the record has 99"),
    "actions": ({"actions_sha256": "0"}, "these are the actions of another episode"),
}


@pytest.mark.parametrize("name", DIFFERENCES)
def test_a_difference_is_an_error_that_says_where_it_begins(folder, episode, name):
    """Every part of a record that the actions decide is compared, in one sentence."""
    record, trace = episode
    changes, words = DIFFERENCES[name]
    with pytest.raises(NotReproducedError, match=words) as caught:
        played(folder, record.model_copy(update=changes), trace)
    assert "\n" not in str(caught.value)
    assert caught.value.exit_code == 1


def test_a_scene_that_behaves_otherwise_is_found_where_it_does(folder, episode, monkeypatch):
    """Another speed of the simulator shows at the first part of the task that it shifts."""
    monkeypatch.setattr("fakes.env._SPEED", 0.2)
    with pytest.raises(NotReproducedError, match="'half' is done after step"):
        played(folder, *episode)
    record, trace = episode
    old = record.model_copy(update={"subgoal_steps": None})
    with pytest.raises(NotReproducedError, match=f"over after step [0-9]+ of {record.steps}"):
        played(folder, old, trace)


def test_another_simulator_is_refused_before_a_step(folder, episode, monkeypatch):
    """Other versions or assets are a usage error that names them; another renderer is not."""
    record, trace = episode
    monkeypatch.setattr(PointEnv, "advance", lambda *_: pytest.fail("it was stepped"))
    other = {"simulator": "line", "gl": "egl"}
    with pytest.raises(UsageError, match=r"\(simulator line then, point now\)"):
        played(folder, record.model_copy(update={"provenance": other}), trace)
    monkeypatch.undo()
    drawn = {**record.provenance, "gl": "egl"}
    assert played(folder, record.model_copy(update={"provenance": drawn}), trace)


def test_actions_of_another_robot_are_refused(folder, episode):
    """A forged file may hold any numbers: actions that do not fit are one sentence."""
    record, trace = episode
    wide = replace(trace, actions=np.ones((2, 9), np.float32))
    forged = record.model_copy(update={"actions_sha256": wide.actions_sha256, "steps": 2})
    with pytest.raises(
        NotReproducedError, match=r"have the shape \(9,\), those of this robot \(2,\)"
    ):
        played(folder, forged, wide)


def test_records_of_earlier_versions_play(folder, episode):
    """A record without steps of its subgoals and without a hash of its end is compared in the rest."""
    record, trace = episode
    old = record.model_copy(update={"subgoal_steps": None, "end_hash": None})
    assert len(played(folder, old, trace)) == record.steps + 1


def test_an_attempt_that_ended_in_an_error_plays_to_where_it_was(folder, episode):
    """What an attempt did before the machine failed can be looked at."""
    record, trace = episode
    cut = replace(trace, actions=trace.actions[:3])
    changes = {"outcome": "error", "reason": "env_error", "steps": 3, "end_hash": None}
    changes |= {"score": 0.0, "subgoals": {"half": False, "goal": False}, "subgoal_steps": {}}
    changes |= {"actions_sha256": cut.actions_sha256}
    assert len(played(folder, record.model_copy(update=changes), cut)) == 4


def test_a_size_that_cannot_be_is_refused(folder, episode):
    """A size in pixels has bounds, and needs an environment that knows sizes."""
    with pytest.raises(UsageError, match="pictures have 1 to 2048 px"):
        Player(folder, size=0, trust=True)
    with pytest.raises(UsageError, match="without a size its pictures are as the policy saw them"):
        played(folder, *episode, size=64)
    stranger = episode[0].model_copy(update={"init_state": 99})
    with pytest.raises(UsageError, match="has no episode 'fake/Point/i99/e0/p0'"):
        played(folder, stranger, episode[1])
