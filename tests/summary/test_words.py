"""What a summary says: lines of the report, and the names of the numbers that trackers get."""

from __future__ import annotations

import dataclasses
from types import SimpleNamespace

import pytest

from fakes.by_hand import (
    Run,
    laid_out,
    paired_result,
    protocol_of,
    small_protocol,
    write_results,
)
from vla_eval.judging.looks import look_sentence
from vla_eval.stats import tango_interval
from vla_eval.summary.model import RunSummary, summarise_records
from vla_eval.summary.scalars import arm_scalars, pair_scalars, paired_scalars, rate_scalars
from vla_eval.summary.text import report_text


def summary_of(
    tasks: int, states: int, letters: dict[str, str], changes=None, **analysis
) -> RunSummary:
    protocol = small_protocol(tasks, states, **analysis)
    run = Run(protocol)
    for arm, each in letters.items():
        write_results(run, arm, each, **(changes or {}))
    return summarise_records(protocol, dict.fromkeys(letters), run.records)


@pytest.fixture(scope="module")
def summary() -> RunSummary:
    protocol = protocol_of()
    arms = {"student": None, "teacher": None, "bad": None}
    return summarise_records(protocol, arms, laid_out(protocol).records)


def test_the_head_of_a_report(summary):
    """How many episodes, at most or exactly, and whether they are all there."""
    text = report_text(summary)
    assert "50 episodes an arm · NOT COMPLETE" in text
    assert "at most" not in text.splitlines()[1]
    whole = summary_of(1, 4, {"a": "1101", "b": "1100"})
    assert "4 episodes an arm · complete" in report_text(whole)
    looked = summary_of(1, 50, {"a": "0" * 20, "b": "1" * 20}, stopping="obrien-fleming-5")
    lines = report_text(looked).splitlines()
    assert "at most 50 episodes an arm · complete" in lines[1]
    assert len(lines[2]) > 20
    assert look_sentence(looked.looks[-1], 5).startswith(lines[2].strip())


def test_what_a_report_shows_of_tasks_pairs_and_stand_ins(summary):
    """A table by task where there are several; the pairs that are asked for; a warning above all."""
    text = report_text(summary)
    assert "s/A" in text
    assert "student" in report_text(summary, [("student", "bad")])
    pairs = [
        report_text(summary, chosen).count("paired") for chosen in ([], [("student", "bad")], None)
    ]
    assert pairs == sorted(pairs)
    one = report_text(summary_of(1, 4, {"a": "1101", "b": "1100"}))
    two = report_text(summary_of(2, 2, {"a": "1101", "b": "1100"}))
    assert ("s/T0" in one, "s/T0" in two, "s/T1" in two) == (False, True, True)
    faked = summary_of(1, 4, {"a": "1101", "b": "1100"}, {"provenance": {"standins": True}})
    assert faked.standins == 8
    assert "stand-in" in report_text(faked).lower()
    assert "stand-in" not in one.lower()


def test_what_a_report_warns_of(summary):
    """Each trouble in a line of its own; of contradictions the first three."""
    troubled = dataclasses.replace(
        summary,
        unknown=("new",),
        torn=["x/w.jsonl"],
        contradictions=["one", "two", "three", "four"],
        objection="no look",
    )
    warned = [line for line in report_text(troubled).splitlines() if line.startswith("! ")]
    assert [line.partition(": ")[2] for line in warned if "DETERMINISTIC" in line] == [
        "one",
        "two",
        "three",
    ]
    assert "! no look" in warned
    assert any(line.startswith("! new: WHO THIS POLICY IS") for line in warned)
    assert any(line.startswith("! x/w.jsonl: last line cut off") for line in warned)
    assert "! bad: 150 actions were out of bounds and clipped" in warned
    assert any(line.startswith("! student: 1 episodes have a result only after") for line in warned)
    rows = [line.split() for line in report_text(summary).splitlines()]
    assert next(row for row in rows if row[:2] == ["student", "33/48"])[-1] == "7"
    still = summary_of(1, 4, {"a": "1101"}, {"clipped_actions": 0})
    assert not any(line.startswith("! ") for line in report_text(still).splitlines())


def test_mean_scores_and_successes_by_time():
    """A score where there is one; numbers stand below each other, aligned to the right."""
    scored = summary_of(1, 4, {"a": "1101"}, {"score": 0.25})
    assert "0.250" in report_text(scored)
    within = {
        "a": [
            SimpleNamespace(time="5 s", solved=1, n=4),
            SimpleNamespace(time="10 s", solved=3, n=4),
        ],
        "arm": [
            SimpleNamespace(time="5 s", solved=0, n=4),
            SimpleNamespace(time="10 s", solved=4, n=4),
        ],
    }
    lines = report_text(
        dataclasses.replace(scored, curves=SimpleNamespace(within=within, cut=[]))
    ).splitlines()
    place = lines.index("solved within  5 s  10 s")
    assert lines[place + 1 : place + 3] == [
        "a              1/4   3/4",
        "arm            0/4   4/4",
    ]


def test_a_rate_has_its_interval_and_counts():
    """Each number under its own name; nothing without an episode."""
    assert rate_scalars("s", 0, 0, 3, (0.0, 1.0)) == {}
    assert rate_scalars("s/t", 3, 4, 2, (0.3, 0.95)) == {
        "eval/s/t/success_rate": 0.75,
        "eval/s/t/success_rate_low": 0.3,
        "eval/s/t/success_rate_high": 0.95,
        "eval/s/t/successes": 3.0,
        "eval/s/t/n": 4.0,
        "eval/s/t/missing": 2.0,
    }


def test_numbers_of_an_arm(summary):
    """Over all tasks, and by task where there are several; tasks count no missing episodes."""
    student = summary.arms["student"]
    found = arm_scalars("s", student)
    assert found["eval/s/successes"] == 33
    assert found["eval/s/missing"] == 2
    assert (found["eval/s/A/n"], found["eval/s/A/missing"]) == (29, 0)
    assert found["eval/s/B/success_rate_low"] == student.tasks["s/B"].wilson95[0]
    assert "time/infer_p50_ms" not in found
    times = {"infer_ms": (9.0, 3.0, 5.0), "inferences": 3}
    timed = summary_of(1, 4, {"a": "1101"}, times).arms["a"]
    assert arm_scalars("s", timed)["time/infer_p50_ms"] == 4.0
    assert {name.count("/") for name in arm_scalars("s", timed) if name.startswith("eval")} == {2}


def test_numbers_of_a_pair(summary):
    """Difference and 95 % interval under the reference's name; without pairs nothing."""
    low, high = tango_interval(7, 5, 46)
    assert pair_scalars(summary.pairs[0]) == {
        "paired/teacher/difference": pytest.approx(2 / 46),
        "paired/teacher/difference_low": pytest.approx(low),
        "paired/teacher/difference_high": pytest.approx(high),
    }
    none = summary_of(1, 4, {"a": "1101", "b": "----"}).pairs[0]
    assert pair_scalars(none) == {}
    frozen = paired_result(
        reference="r", arm="b", n10=1, n01=2, difference=-0.25, interval=(-0.75, 0.5)
    )
    assert paired_scalars(frozen) == {
        "paired/reference/difference": -0.25,
        "paired/reference/difference_low": -0.75,
        "paired/reference/difference_high": 0.5,
    }
    assert paired_scalars(frozen.model_copy(update={"pairs": 0})) == {}


def test_arms_without_a_common_scene_have_no_pairs_yet():
    """The report says why, in place of a table of nothing."""
    protocol = small_protocol(1, 3)
    run = Run(protocol)
    write_results(run, "student", "111", scene_hash="one")
    write_results(run, "teacher", "110", scene_hash="other")
    arms = dict.fromkeys(("student", "teacher"))
    lines = report_text(summarise_records(protocol, arms, run.records)).splitlines()
    at = lines.index("  no pairs yet")
    assert "3 episodes are not paired: the arms' scenes differ" in " ".join(lines[:at])
    assert not any("succeeds" in line for line in lines)
