"""A certificate of a measure: means, times and power of 50 states whose results were written by hand."""

from __future__ import annotations

import numpy as np
import pytest

from fakes.by_hand import MARGIN, Run, protocol_of, small_protocol
from vla_eval import stats
from vla_eval.certificate import Certificate, Roles
from vla_eval.certificate.issue import issue_from
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


def certified(protocol: Protocol) -> Certificate:
    run = Run(protocol)
    for at, key in enumerate(run.keys):
        for arm, every in STEPS.items():
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
