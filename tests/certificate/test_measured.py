"""A certificate of a measure: means, times and power of 50 states whose results were written by hand."""

from __future__ import annotations

import numpy as np
import pytest

from fakes.by_hand import MARGIN, Run, protocol_of, small_protocol
from vla_eval import stats
from vla_eval.certificate import Certificate, Roles
from vla_eval.certificate.issue import issue_from
from vla_eval.certificate.wording import Words
from vla_eval.protocol import Protocol
from vla_eval.stats import MeanDifferences

LIMIT, STATES = 50, 50
ROLES = Roles("student", "teacher")
STEPS = {
    "student": [10 + at % 7 if at < 44 else None for at in range(STATES)],
    "teacher": [14 + at % 11 if at >= 5 else None for at in range(STATES)],
}
"""Control steps to success by state; None: a failure."""
SCORES = {
    "student": [(1.0, 0.75, 1.0, 0.5, 1.0)[at % 5] for at in range(STATES)],
    "teacher": [(1.0, 1.0, 0.75, 0.5)[at % 4] for at in range(STATES)],
}


def certified(protocol: Protocol, all_steps=STEPS) -> Certificate:
    run = Run(protocol)
    for at, key in enumerate(run.keys):
        for arm, every in all_steps.items():
            steps = every[at]
            run.attempt(
                arm,
                key,
                "failure" if steps is None else "success",
                steps=steps or 30,
                score=SCORES[arm][at],
            )
    return issue_from(run.evidence(ROLES))


@pytest.fixture(scope="module")
def timed() -> Certificate:
    return certified(protocol_of(measure="time-to-success"))


def test_times_in_control_steps(timed):
    """A failure counts as the limit; below 0 the candidate is faster, and the interval has that sign too."""
    times = {arm: [LIMIT if each is None else each for each in STEPS[arm]] for arm in STEPS}
    found = timed.measured.time
    assert found.limit_steps == LIMIT
    assert found.mean_steps == {
        arm: pytest.approx(sum(each) / STATES) for arm, each in times.items()
    }
    slower = np.array(times["student"]) - np.array(times["teacher"])
    assert found.difference_steps == pytest.approx(slower.mean())
    assert slower.mean() < -1
    low, high = MeanDifferences.of(slower / LIMIT).interval(alpha=0.05)
    assert found.ci95_steps == pytest.approx((LIMIT * low, LIMIT * high))
    assert timed.measured.arms["teacher"].mean == pytest.approx(
        1 - sum(times["teacher"]) / STATES / LIMIT
    )
    low, high = timed.measured.arms["teacher"].ci95
    assert low < timed.measured.arms["teacher"].mean < high


def test_the_curve_of_solved_episodes(timed):
    """61 times from the start to the limit: the share that had succeeded by each."""
    found = timed.measured.time
    assert (found.grid[0], found.grid[1], found.grid[-1], len(found.grid)) == (0, 0.0167, 1, 61)
    for arm, every in STEPS.items():
        for share, solved in ((12, 10), (18, 15), (24, 20), (60, 50)):
            done = sum(steps is not None and steps <= solved for steps in every)
            assert found.solved[arm][share] == pytest.approx(done / STATES)


def test_power_at_parity_keeps_the_spread_of_times(timed):
    """Differences of the states less their mean; and the states that 80 % of the certificates take."""
    times = np.array([[LIMIT if each is None else each for each in STEPS[arm]] for arm in STEPS])
    gains = (times[1] - times[0]) / LIMIT
    found, levels = timed.measured.power, {"margin": MARGIN, "alpha": 0.02}
    assert found.states_planned == STATES
    assert found.spread == pytest.approx(gains.std())
    expected = stats.power_of_means(np.clip(gains - gains.mean(), -1, 1), STATES, **levels)
    assert found.at_parity == pytest.approx(expected, abs=0.02)
    assert found.states_for_80 == stats.states_for_power(gains - gains.mean(), **levels)


def test_power_at_parity_of_scores_is_that_of_both_signs():
    """A state's difference is as likely as its opposite, and the exact test joins the bets."""
    issued = certified(protocol_of(measure="score"))
    gains = np.array(SCORES["student"]) - np.array(SCORES["teacher"])
    both, levels = [*gains, *-gains], {"margin": MARGIN, "alpha": 0.02, "exact": True}
    found = issued.measured
    assert (found.name, found.time) == ("score", None)
    assert found.power.at_parity == stats.power_of_means(both, STATES, **levels)
    assert found.power.states_for_80 == stats.states_for_power(both, **levels)
    assert found.power.states_for_80 != stats.states_for_power(gains, **levels)


def test_steps_of_tasks_with_different_limits_have_no_mean():
    """Only fractions of the limits are judged then; rates of control that differ are not one rate."""
    protocol = small_protocol(2, 25, max_steps=(40, 80), measure="time-to-success", margin=MARGIN)
    found = certified(protocol).measured.time
    assert (found.limit_steps, found.control_hz) == (None, None)
    assert (found.mean_steps, found.difference_steps, found.ci95_steps) == (None, None, None)


def test_success_has_no_other_measure():
    """A certificate of success says nothing about means."""
    assert certified(protocol_of()).measured is None


def test_no_difference_at_parity_is_larger_than_the_whole_range():
    """Less the mean a difference of times can leave [−1, 1]; for the power it counts as the end of it."""
    steps = {"student": [2] * 49 + [None], "teacher": [48] * 49 + [2]}
    found = certified(protocol_of(measure="time-to-success"), steps).measured.power
    gains = np.array([46 / LIMIT] * 49 + [-48 / LIMIT])
    assert (gains - gains.mean()).min() < -1.8
    units = [46 / LIMIT - gains.mean()] * 49 + [-1.0]
    expected = stats.power_of_means(units, STATES, margin=MARGIN, alpha=0.02)
    assert found.at_parity == pytest.approx(expected)


def test_a_control_that_did_not_act_shows_nothing():
    """Its invalid actions and exceptions count as full scores, its other failures as what they are."""
    run = Run(protocol_of(measure="score"))
    gains = []
    for at, key in enumerate(run.keys):
        reason = (None, "invalid_action", "policy_raised", "time_limit")[at % 4]
        own = 1.0 if at % 4 < 3 else 0.25
        run.attempt("student", key, "success")
        run.attempt("teacher", key, "success", score=SCORES["teacher"][at])
        outcome = "success" if reason is None else "failure"
        run.attempt("bad", key, outcome, reason=reason, score=own if at % 4 in (0, 3) else 0.125)
        gains.append(own - SCORES["teacher"][at])
    issued = issue_from(run.evidence(Roles("student", "teacher", "bad")))
    weights = np.full(STATES, 1 / STATES)
    expected = MeanDifferences(np.array(gains), weights, exact=True).p_below(0.0)
    assert issued.assay.p == pytest.approx(expected)
    assert issued.assay.grade == "not shown"


@pytest.mark.parametrize(
    ("hertz", "limits", "unit", "margin", "mean", "counted"),
    [
        (None, (50,), "control steps", "15 control steps", "20.0 control steps", "50 control steps"),
        (10.0, (50,), "s", "1.5 s", "2.00 s", "5 s"),
        (None, (50, 100), "points of each task's time limit", "30 points of each task's time limit",
         "40.0 points of each task's time limit", "the whole time limit"),
    ],
)  # fmt: skip
def test_times_are_said_in_seconds_where_the_rate_of_control_is_known(
    hertz, limits, unit, margin, mean, counted
):
    """Else in control steps; and where limits differ, as points of each task's own."""
    solved = {50: 20, 100: 40}
    protocol = small_protocol(
        len(limits), 10, max_steps=limits, measure="time-to-success", margin=0.3
    )
    if hertz is not None:
        blocks = tuple(each.model_copy(update={"control_hz": hertz}) for each in protocol.blocks)
        protocol = protocol.model_copy(update={"blocks": blocks})
    run = Run(protocol)
    for key in run.keys:
        steps = solved[limits[int(key.task[1:])]]
        run.attempt("student", key, "success", steps=steps)
        run.attempt("teacher", key, "success", steps=steps)
    issued = issue_from(run.evidence(ROLES))
    words = Words.of(issued)
    assert (words.unit, words.margin(0.3)) == (unit, margin)
    said, interval = words.mean("student")
    assert said == mean
    low, high = (float(limit) for limit in interval.strip("[]").split(", "))
    assert low < float(mean.split()[0]) < high
    assert words.mean_name == f"mean time to success (a failure counts {counted})"
    assert words.test(issued.comparison) == "bets"
    (line,) = words.mean_lines()
    assert line.startswith(f"{words.mean_name}, 95 %: student {mean} [")
    assert f"margin {margin}" in issued.sentence
