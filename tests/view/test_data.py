"""What the page gets is what the records say."""

from __future__ import annotations

import base64
import json

import numpy as np
import pytest

from fakes.watching import HORIZON, make_run
from vla_eval.errors import UsageError
from vla_eval.keys import EpisodeKey
from vla_eval.view.data import details, overview
from vla_eval.view.films import FilmStyle
from vla_eval.view.gather import arms_of, read_runs, signature


def test_overview_has_every_planned_episode_in_the_plans_order(run):
    """Each has one entry an arm, with outcome, reason, score and subgoals."""
    data = overview(read_runs([run]), FilmStyle())
    assert [arm["name"] for arm in data["arms"]] == ["student", "teacher"]
    assert [episode["state"] for episode in data["episodes"]] == list(range(8))
    first = data["episodes"][0]["arms"][0]
    assert (first["outcome"], first["reason"], first["score"]) == ("failure", "time_limit", 0.5)
    assert data["tasks"][0]["subgoals"] == ["half", "goal"]
    assert first["subgoals"] == [1, 0]
    assert first["clipped"] == 1
    json.dumps(data, allow_nan=False)


def test_arms_have_counts_and_intervals(run):
    """The numbers are those of the run's summary."""
    student, teacher = overview(read_runs([run]), FilmStyle())["arms"]
    assert (student["successes"], student["n"]) == (5, 8)
    assert (teacher["successes"], teacher["n"]) == (7, 8)
    assert student["interval"][0] < 5 / 8 < student["interval"][1]


def test_details_hold_the_executed_actions_bit_for_bit(run):
    """Base 64 of little-endian float32, row by row; and where each action comes from."""
    (shown,) = read_runs([run])
    key = next(iter(shown.planned))
    detail = details([shown], key, FilmStyle())[0]
    trace = shown.trace(arms_of([shown])[0].record(key))
    actions = np.frombuffer(base64.b64decode(detail["trace"]["actions"]), "<f4")
    assert np.array_equal(actions.reshape(40, 3), trace.actions)
    assert detail["trace"]["source"] == [[k * HORIZON, k] for k in range(5)]
    assert detail["trace"]["clipped"] == [5]
    assert detail["trace"]["steps"] * detail["trace"]["dim"] == actions.size
    assert detail["trace"]["dim"] > 0
    assert "vlaeval replay" in detail["replay"]


def test_a_run_without_actions_says_so(tmp_path, protocol):
    """Such an episode has records and a command, and no trace."""
    path = make_run(tmp_path / "run", protocol, {"a": lambda _: {"steps": 9}}, traces=False)
    runs = read_runs([path])
    detail = details(runs, next(iter(runs[0].planned)), FilmStyle())[0]
    assert detail["trace"] is None
    assert detail["without"] == "this run stored no actions"


def test_an_unknown_episode_is_a_key_error(run):
    """Nothing is made up for it."""
    with pytest.raises(KeyError):
        details(read_runs([run]), EpisodeKey("no", "such", 0, 0, 0), FilmStyle())


def test_two_runs_are_joined_by_their_episodes(tmp_path, protocol):
    """Arms of one name are told apart by their folders, and stand side by side."""
    one = make_run(tmp_path / "one", protocol, {"policy": lambda _: {"steps": 9}})
    two = make_run(
        tmp_path / "two", protocol, {"policy": lambda _: {"steps": 5}, "b": lambda _: {"steps": 5}}
    )
    data = overview(read_runs([one, two]), FilmStyle())
    assert [arm["name"] for arm in data["arms"]] == ["one/policy", "two/policy", "b"]
    assert [arm["steps"] for arm in data["episodes"][0]["arms"]] == [9, 5, 5]


def test_shards_are_one_run(tmp_path, protocol):
    """Two folders of one protocol with the same arms are read as one."""
    from fakes.watching import write_attempts

    paths = [make_run(tmp_path / name, protocol, {}) for name in "ab"]
    for path, part in zip(paths, (slice(0, 4), slice(4, 8)), strict=True):
        header = json.loads((path / "run.json").read_text())
        header["arms"] = [{"name": "policy", "spec": "hold"}]
        (path / "run.json").write_text(json.dumps(header))
        write_attempts(path, protocol, "policy", lambda _: {"steps": 9}, episodes=part)
    (merged,) = read_runs(paths)
    assert merged.summary.complete
    detail = details([merged], list(merged.planned)[6], FilmStyle())[0]
    assert detail["trace"]["steps"] == 9


def test_no_folder_is_a_usage_error():
    """The sentence names the command."""
    with pytest.raises(UsageError, match="vlaeval view"):
        read_runs([])


def test_a_certificate_is_shown_by_its_word_or_by_its_fault(run):
    """A damaged file is reported on the page instead of a verdict."""
    assert overview(read_runs([run]), FilmStyle())["verdict"] is None
    (run / "certificate.json").write_text("{}")
    verdict = overview(read_runs([run]), FilmStyle())["verdict"]
    assert verdict["word"] == ""
    assert "is no certificate" in verdict["sentence"]


def test_the_signature_changes_with_the_records(run):
    """An appended line is noticed."""
    before = signature([run])
    assert signature([run]) == before
    with next((run / "episodes").glob("*.jsonl")).open("a") as file:
        file.write("x")
    assert signature([run]) != before
