"""Runs that are judged together, written by hand: what is added up, and each reason against it alone."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import pytest

from fakes.by_hand import Run, small_protocol, write_results
from vla_eval.certificate import Roles, gather
from vla_eval.certificate.comparison import cases
from vla_eval.certificate.issue import _standing as standing_of
from vla_eval.certificate.issue import issue_from
from vla_eval.certificate.pooled import gather_all
from vla_eval.errors import RunFolderError, UsageError
from vla_eval.judging.look_files import take_looks
from vla_eval.policy import PolicyMetadata
from vla_eval.protocol import Protocol, parse_protocol
from vla_eval.released import load_protocol
from vla_eval.runs.folder import RunFolder

ROLES = Roles("a", "b")


def protocol_from(first: int, count: int = 20, seed: int = 0, **analysis) -> Protocol:
    """One task, states from a number on, one environment seed."""
    run = {"limits": {"error_cap": 0 if "stopping" in analysis else 0.5}, "env_seeds": [seed]}
    data = small_protocol(1, count, run=run, margin=0.3, **analysis).model_dump(
        mode="json", exclude_none=True
    )
    data["blocks"][0]["init_states"] = {"first": first, "count": count}
    return parse_protocol(data, "here")


def written(
    path: Path, ours: str, theirs: str, *, first: int, hour: int = 0, seed: int = 0, **analysis
) -> Path:
    run = Run(protocol_from(first, len(ours), seed, **analysis))
    run.second = 60 * hour
    write_results(run, "a", ours)
    write_results(run, "b", theirs)
    return on_disk(run, path)


def with_control(path: Path, letters: str, *, first: int, hour: int = 0) -> Path:
    """Write a run whose control has these results, and both other arms succeed."""
    run = Run(protocol_from(first, len(letters)))
    run.second = 60 * hour
    for arm, each in (("a", "1" * len(letters)), ("b", "1" * len(letters)), ("c", letters)):
        write_results(run, arm, each)
    return on_disk(run, path, "a", "b", "c")


def on_disk(run: Run, path: Path, *arms: str) -> Path:
    """Write a run of these arms, by default a and b, that was begun before its episodes."""
    file = run.write(path, *(arms or ("a", "b"))).path / "run.json"
    file.write_text(
        json.dumps(json.loads(file.read_text()) | {"created_at": "2026-01-01T09:00:00+00:00"})
    )
    return path


@pytest.fixture
def runs(tmp_path) -> list[Path]:
    """The second one began first, has another seed, and lacks an episode of either arm."""
    return [
        written(tmp_path / "x", "11110" * 4, "11101" * 4, first=0, hour=1),
        written(tmp_path / "y", "1" * 19 + "x", "x" + "1" * 18 + "0", first=20, seed=5),
    ]


def test_one_run_is_no_pool(runs):
    """It is judged by its own test, and has no parts."""
    alone = gather_all([runs[0]], ROLES)
    assert alone.parts == ()
    assert (issue_from(alone).runs, issue_from(alone).comparison.method) == ((), "Tango")
    assert issue_from(alone).seeds.env_seeds == (0,)


@pytest.mark.parametrize("turned", [False, True])
def test_what_is_added_up(runs, turned):
    """States, results, missing episodes with their reasons, attempts and seeds, in the order of the starts."""
    pooled = gather_all(runs[::-1] if turned else runs, ROLES)
    assert [key.init_state for key in pooled.keys] == [*range(20, 40), *range(20)]
    assert [part.path for part in pooled.parts] == [runs[1], runs[0]]
    ours, theirs = pooled.arms["a"], pooled.arms["b"]
    assert (ours.n, ours.successes, theirs.n, theirs.successes) == (39, 16 + 19, 39, 16 + 18)
    assert [key.init_state for key in ours.missing] == [39]
    assert [key.init_state for key in theirs.missing] == [20]
    assert (ours.attempts, theirs.attempts) == (40, 40)
    assert dict(ours.error_reasons) == dict(theirs.error_reasons) == {"env_error": 1}
    assert len(pooled.sessions) == 78
    assert pooled.records_sha256 == gather_all(runs, ROLES).records_sha256
    issued = issue_from(pooled)
    assert issued.seeds.env_seeds == (0, 5)
    assert [part.pairs for part in issued.runs] == [18, 20]
    assert [part.difference for part in issued.runs] == [pytest.approx(0.0), pytest.approx(0.0)]
    first, second = (part.e_value for part in issued.runs)
    assert issued.comparison.e_value == pytest.approx(first * second)
    assert 0 < first != second


def test_retried_episodes_of_any_run_are_doubtful(tmp_path, runs):
    """An episode that was lost while its policy acted counts at its worst in the pool, too."""
    run = Run(protocol_from(40, 20))
    run.second = 600
    run.lost("a", run.keys[3], "policy_error", 2, 1)
    write_results(run, "a", "1" * 20)
    write_results(run, "b", "1" * 20)
    on_disk(run, tmp_path / "z")
    pooled = gather_all([runs[0], tmp_path / "z"], ROLES)
    assert pooled.arms["a"].retried == {run.keys[3]}
    assert pooled.arms["b"].retried == frozenset()
    assert (pooled.arms["a"].attempts, pooled.arms["b"].attempts) == (41, 40)


@pytest.mark.parametrize(
    ("other", "error", "words"),
    [
        ({"first": 19}, RunFolderError, r"initial state 19 of s/T0 is in .*x and in .*y: the same"),
        ({"first": 20, "alpha": 0.04}, RunFolderError, r"states and seeds only \(.*alpha"),
        (
            {"first": 20, "measure": "score"},
            UsageError,
            "judges 'score'; only runs that judge succ",
        ),
        ({"first": 20, "stopping": "obrien-fleming-5"}, UsageError, "judged alone"),
    ],
)
def test_what_does_not_belong_together(tmp_path, other, error, words):
    """The same state, another level, a measure, looks."""
    kind = {name: value for name, value in other.items() if name in ("measure", "stopping")}
    one = written(tmp_path / "x", "1" * 20, "1" * 20, first=0, hour=0, **kind)
    two = written(tmp_path / "y", "1" * 20, "1" * 20, hour=1, **other)
    if kind.get("stopping"):
        for path in (one, two):
            take_looks(RunFolder.open(path))
    with pytest.raises(error, match=words):
        gather_all([one, two], ROLES)
    assert gather(one, ROLES).path == one


def test_another_policy_is_refused(tmp_path, runs, monkeypatch):
    """The arm is named, and what differs."""
    run = Run(protocol_from(40, 20))
    run.second = 600
    write_results(run, "a", "1" * 20)
    write_results(run, "b", "1" * 20)
    made = PolicyMetadata("by-hand", "by-hand", chunk_size=1, n_action_steps=1, nfe=7)
    monkeypatch.setattr("fakes.by_hand.PolicyMetadata", lambda *_, **__: made)
    on_disk(run, tmp_path / "z")
    with pytest.raises(RunFolderError, match=r"arm 'a' is another policy in .*z than in .*nfe"):
        gather_all([runs[0], tmp_path / "z"], ROLES)


def test_the_control_is_judged_over_the_runs_too(tmp_path):
    """Its p-value is 1 over the product of the runs' e-values, not that of all pairs together."""
    roles = Roles("a", "b", "c")
    paths = [
        with_control(tmp_path / "x", "10" * 5, first=0),
        with_control(tmp_path / "y", "1101" * 4, first=10, hour=1),
    ]
    alone = [cases(gather(path, roles), "c")[0] for path in paths]
    e_values = [math.exp(method.log_e_below(0.0)) for method in alone]
    assert 1 < e_values[1] < e_values[0]
    issued = issue_from(gather_all(paths, roles))
    assert issued.assay.p == pytest.approx(1 / (e_values[0] * e_values[1]))
    assert issued.control.method == "over runs"
    assert issued.assay.p > 0.5 ** (5 + 4), "the sign test of all pairs"


def test_runs_in_different_simulators_are_refused(tmp_path, runs):
    """In the words of a single run, with the folder of the first one."""
    run = Run(protocol_from(40, 20))
    run.second = 600
    for arm in ("a", "b"):
        write_results(run, arm, "1" * 20, provenance={"simulator": "other"})
    later = on_disk(run, tmp_path / "z")
    with pytest.raises(RunFolderError, match=r"/x: episodes of s/T0 ran in different simulators"):
        gather_all([later, runs[0]], ROLES)
    assert len(gather(later, ROLES).keys) == 20


def test_no_look_without_its_episodes(tmp_path):
    """42 states make looks of 8, 17, 25, 34 and 42; with three episodes there is none yet."""
    path = written(tmp_path / "x", "111" + "-" * 39, "111", first=0, stopping="obrien-fleming-5")
    with pytest.raises(RunFolderError, match="the first look needs all 8 episodes of every arm"):
        gather(path, ROLES)


@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize(
    ("names", "worst"),
    [
        (("released", "released"), "released"),
        (("released", "modified"), "modified"),
        (("modified", "unreleased"), "unreleased"),
        (("released", "unreleased"), "unreleased"),
    ],
)
def test_the_protocol_that_is_furthest_from_a_release_decides(runs, names, worst, turned):
    """Whichever run began first: a released protocol does not vouch for the other one."""
    protocols = {
        "released": load_protocol("so101-pick-place"),
        "modified": load_protocol("so101-pick-place", overrides=["analysis.margin=0.25"]),
        "unreleased": protocol_from(0),
    }
    part = gather(runs[0], ROLES)
    parts = tuple(
        replace(part, header=part.header.model_copy(update={"protocol": protocols[name]}))
        for name in (names[::-1] if turned else names)
    )
    assert standing_of(replace(part, parts=parts)) == worst
