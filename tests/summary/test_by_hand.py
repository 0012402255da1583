"""The summary of a run that was laid out by hand, number by number."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
from statsmodels.stats.proportion import proportion_confint

from fakes.by_hand import Run, laid_out, protocol_of
from vla_eval import stats
from vla_eval.errors import RunFolderError
from vla_eval.judging.timings import quantile
from vla_eval.record import EventRecord
from vla_eval.runs.header import Arm
from vla_eval.summary.model import RunSummary, merge_records, summarise_records

ARMS = {"student": None, "teacher": None, "bad": None}


@pytest.fixture(scope="module")
def summary() -> RunSummary:
    protocol = protocol_of()
    return summarise_records(protocol, ARMS, laid_out(protocol).records)


def test_each_arm(summary):
    """Results, missing, retried and pending episodes, and what the missing ones could change."""
    student, teacher, bad = summary.arms.values()
    assert (student.n, student.successes, student.errors, student.retried) == (48, 33, 2, 1)
    assert (teacher.n, teacher.successes, teacher.errors, teacher.retried) == (48, 31, 2, 0)
    assert (bad.n, bad.successes, bad.errors, bad.pending) == (50, 5, 0, 0)
    assert student.worst_and_best_rate() == (33 / 50, 35 / 50)
    assert student.wilson95 == pytest.approx(proportion_confint(33, 48, method="wilson"))
    assert student.reasons == {"time_limit": 15, "env_error": 2}
    assert teacher.reasons == {"time_limit": 17, "env_timeout": 2}
    assert (student.nfe_per_chunk, bad.nfe_per_chunk) == (7, 3)
    assert bad.clipped_actions == 150
    assert {name: (task.successes, task.n) for name, task in student.tasks.items()} == {
        "s/A": (18, 29),
        "s/B": (15, 19),
    }
    assert student.tasks["s/A"].wilson95 == pytest.approx(
        proportion_confint(18, 29, method="wilson")
    )
    assert summary.attempts == 48 + 5 + 48 + 5 + 50
    assert not summary.complete
    assert summary.beyond == 0


def test_each_pair_of_arms(summary):
    """In the order of the arms, the later one as the reference."""
    assert [(pair.candidate, pair.reference) for pair in summary.pairs] == [
        ("student", "teacher"),
        ("student", "bad"),
        ("teacher", "bad"),
    ]
    pair = summary.pairs[0]
    assert pair.table == stats.PairedTable(24, 7, 5, 10)
    assert (pair.unequal_scenes, pair.unknown_scenes) == (0, 0)
    said = summary.to_json()["pairs"][0]
    assert [said[f"n{cell}"] for cell in ("11", "10", "01", "00")] == [24, 7, 5, 10]
    assert said["difference"] == pytest.approx(2 / 46)
    assert said["ci95"] == pytest.approx(stats.tango_interval(7, 5, 46))
    assert said["ci90"] == pytest.approx(stats.tango_interval(7, 5, 46, alpha=0.1))
    assert (said["method"], said["measure"]) == ("Tango", "success")


def test_what_scripts_read(summary):
    """The protocol's facts, and every number of an arm under its own name."""
    said = summary.to_json()
    assert said["protocol"]["episodes_per_arm"] == 50
    assert said["protocol"]["modified"] is False
    assert (said["complete"], said["standins"], said["contradictions"]) == (False, False, 0)
    student = said["arms"]["student"]
    facts = {name: student[name] for name in ("n", "successes", "errors", "pending", "retried")}
    assert facts == {"n": 48, "successes": 33, "errors": 2, "pending": 0, "retried": 1}
    assert student["rate_if_missing"] == [33 / 50, 35 / 50]
    assert student["tasks"]["s/B"]["n"] == 19
    assert "beyond_the_stop" not in said
    assert "curves" not in said


def test_scripts_read_the_rest_where_there_is_any(summary):
    """Results beyond the stop, curves, and reactions to events."""
    curves = SimpleNamespace(to_json=lambda: {"grid": [0, 1]})
    said = replace(summary, beyond=3, curves=curves).to_json()
    assert (said["beyond_the_stop"], said["curves"]) == (3, {"grid": [0, 1]})
    assert "events" not in said["arms"]["student"]
    protocol = protocol_of()
    run = Run(protocol)
    push = {"push": EventRecord(shown=4, answered=9)}
    run.attempt("student", run.keys[0], "success", events=push)
    found = summarise_records(protocol, {"student": None}, run.records)
    assert found.to_json()["arms"]["student"]["events"] == {
        "push": {"episodes": 1, "answered": 1, "mean_ticks": 5, "min_ticks": 5, "max_ticks": 5}
    }


def shard(path: str, *arms: Arm, protocol: str = "p") -> SimpleNamespace:
    run = Run(protocol_of())
    run.attempt("a", run.keys[len(path)], "success")
    run.records.torn.append("w.jsonl")
    header = SimpleNamespace(arms=arms, protocol_sha256=protocol)
    return SimpleNamespace(path=Path(path), header=header, records=lambda: run.records)


A, B = Arm(name="a", spec="random"), Arm(name="b", spec="expert", identity={"nfe": 1})


def test_shards_are_one_run():
    """Their records together; an arm that has not begun in one of them has no identity there."""
    unknown = B.model_copy(update={"identity": None})
    merged = merge_records([shard("x", A, B), shard("yy", A, unknown)])
    assert [record.init_state for record in merged.attempts] == [1, 2]
    assert merged.torn == ["x/w.jsonl", "yy/w.jsonl"]


@pytest.mark.parametrize(
    "other",
    [
        shard("yy", A),
        shard("yy", A, B, A),
        shard("yy", A, B.model_copy(update={"identity": {"nfe": 2}})),
        shard("yy", A, B.model_copy(update={"spec": "random"})),
        shard("yy", A.model_copy(update={"name": "c"}), B),
        shard("yy", A, B, protocol="q"),
    ],
)
def test_runs_that_differ_are_no_shards(other):
    """Another number of arms, another policy, spec or name, another protocol."""
    with pytest.raises(RunFolderError, match=r"yy: is not of the same run as x \(another"):
        merge_records([shard("x", A, B), other])


def test_times_counts_and_stand_ins():
    """Sums over the episodes, the policy's counts by name, quantiles without an episode's first inference."""
    protocol = protocol_of()
    run = Run(protocol)
    for index, key in enumerate(run.keys[:4]):
        changes = {
            "counts": {"asked": 1, "never": 0},
            "infer_ms": (90.0, 10.0 + index, 20.0 + index),
        }
        if index == 3:
            changes |= {"provenance": {"standins": True}, "policy_known": False}
        run.attempt("student", key, "success", inferences=3, **changes)
    found = summarise_records(protocol, {"student": None, "teacher": None}, run.records)
    student, teacher = found.arms.values()
    assert (student.n, student.pending, student.mean_score) == (4, 46, 1.0)
    assert student.counts == {"asked": 4, "never": 0}
    times = [10.0, 20.0, 11.0, 21.0, 12.0, 22.0, 13.0, 23.0]
    assert student.infer_ms_p50 == quantile(times, 0.5)
    assert student.infer_ms_p95 == quantile(times, 0.95)
    assert (found.standins, found.unknown) == (1, ("student",))
    assert (teacher.n, teacher.mean_score, teacher.nfe_per_chunk) == (0, None, None)
    assert (teacher.infer_ms_p50, teacher.infer_ms_p95) == (None, None)
    assert teacher.worst_and_best_rate() == (0.0, 1.0)
    assert found.pairs[0].method is None
    assert found.pairs[0].table.n == 0
    assert found.to_json()["pairs"][0]["ci95"] is None


def test_other_and_unknown_scenes_are_counted():
    """They are no pairs; a run with every result is complete all the same."""
    protocol = protocol_of()
    run = Run(protocol)
    for index, key in enumerate(run.keys):
        for arm in ("student", "teacher"):
            scene = {0: "", 1: "", 2: arm, 3: arm, 4: arm}.get(index, "same")
            run.attempt(arm, key, "success", scene_hash=scene)
    found = summarise_records(protocol, {"student": None, "teacher": None}, run.records)
    assert found.complete
    pair = found.pairs[0]
    assert (pair.unequal_scenes, pair.unknown_scenes, pair.table.n) == (3, 2, 45)
