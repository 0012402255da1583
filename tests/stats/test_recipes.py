"""A difference over training seeds and initial states: the parts of its variance, and both tests."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from vla_eval.stats.bounded import bet_p_above
from vla_eval.stats.recipes import SeedsOnStates, recipe_df, recipe_power
from vla_eval.stats.seeds import Checkpoints, compare_distilled

RNG = np.random.default_rng(7)
ONE_TASK = np.zeros(30, dtype=np.int64)


def outcomes(seeds: int, states: int, rate: float) -> np.ndarray:
    return (RNG.random((seeds, states)) < rate).astype(float)


def test_the_parts_are_the_mean_squares_of_a_two_way_table():
    """Q, S and O are those of the analysis of variance of seeds by states, for one task."""
    rows = outcomes(3, 30, 0.6) - outcomes(3, 30, 0.7)
    data = SeedsOnStates(np.clip(rows, 0, 1), np.clip(-rows, 0, 1), ONE_TASK, paired=True)
    k, n = rows.shape
    residuals = rows - rows.mean(0) - rows.mean(1, keepdims=True) + rows.mean()
    error = np.sum(residuals**2) / ((k - 1) * (n - 1))
    assert data.variance.states == pytest.approx(np.var(rows.mean(0), ddof=1) / n)
    assert data.variance.seeds == pytest.approx(np.var(rows.mean(1), ddof=1) / k)
    assert data.variance.shared == pytest.approx(error / (k * n))
    assert data.variance.df == k - 1


def test_what_states_do_to_all_seeds_alike_does_not_shrink_with_seeds():
    """Copies of one student beside copies of one teacher are worth one pair, however many they are."""
    ours, theirs = outcomes(1, 30, 0.6), outcomes(1, 30, 0.7)
    errors = [
        SeedsOnStates(ours.repeat(k, 0), theirs.repeat(k, 0), ONE_TASK, paired=True).variance.total
        for k in (2, 10)
    ]
    assert errors[0] == errors[1] == pytest.approx(np.var(ours - theirs, ddof=1) / 30)


def test_states_without_influence_leave_students_t_over_seeds():
    """If every seed fails as often in every state, only the spread of the seeds counts."""
    rates = np.array([0.9, 0.8, 0.85])
    data = SeedsOnStates(
        np.repeat(rates[:, None], 30, axis=1), np.ones((3, 30)), ONE_TASK, paired=True
    )
    low, high = stats.t.interval(0.9, 2, loc=-0.15, scale=np.std(rates, ddof=1) / math.sqrt(3))
    assert data.t_interval(0.10) == pytest.approx((low, high))


def test_independent_seeds_have_welchs_degrees_of_freedom():
    """Two samples of seeds: 2(K − 1) if they vary alike, K − 1 if one side does not vary."""
    assert recipe_df([(0.01, 3), (0.01, 3)]) == pytest.approx(4)
    assert recipe_df([(0.01, 3), (0.0, 3)]) == pytest.approx(2)
    assert recipe_df([(0.0, 3), (0.0, 5)]) == 2


def test_a_frozen_reference_is_no_sample():
    """One reference checkpoint adds no spread of seeds; its luck is in the states."""
    data = SeedsOnStates(outcomes(4, 30, 0.6), outcomes(1, 30, 0.7), ONE_TASK)
    assert data.variance.df == 3
    assert [len(rows) for rows in data.rows] == [4]


def test_tasks_weigh_the_same():
    """A task of 5 states counts as much as one of 25."""
    tasks = np.array([0] * 25 + [1] * 5)
    ours = np.array([[1.0] * 25 + [0.0] * 5] * 2)
    data = SeedsOnStates(ours, np.ones((2, 30)), tasks, paired=True)
    assert data.difference == pytest.approx(-0.5)


def test_every_claim_also_needs_the_test_by_state():
    """Without a discordant episode Student's t is certain, and the bets are not."""
    data = SeedsOnStates(np.ones((3, 30)), np.ones((3, 30)), ONE_TASK, paired=True)
    assert data.t_p_above(-0.05) == 0.0
    assert data.p_above(-0.05) == bet_p_above(np.zeros(30), -0.05, data.weights) > 0.05
    assert data.interval(0.10)[0] < -0.05


def test_the_arms_can_be_exchanged():
    """The interval of the mirrored comparison is the mirrored interval."""
    data = SeedsOnStates(outcomes(3, 30, 0.6), outcomes(3, 30, 0.8), ONE_TASK)
    low, high = data.interval(0.10)
    assert data.swapped().interval(0.10) == pytest.approx((-high, -low))
    assert data.p_below(0.0) == data.swapped().p_above(0.0)


def test_the_spread_over_seeds_is_apart_from_that_of_the_episodes():
    """SD² over seeds = the episodes' part + the training part, with its χ² interval (K = 3: 0.52 to 6.28)."""
    rates = np.array([0.9, 0.6, 0.3])
    rows = (np.linspace(0.01, 0.99, 30)[None] < rates[:, None]).astype(float)
    data = SeedsOnStates(rows, rows, ONE_TASK, paired=True)
    spread = data.spread(rows)
    assert spread.sd**2 == pytest.approx(spread.evaluation_sd**2 + spread.training_sd**2)
    assert np.array(spread.sd_interval) / spread.sd == pytest.approx([0.5207, 6.2847], abs=1e-3)
    assert data.spread(rows[:1]) is None


def test_shapes_that_cannot_be_are_refused():
    """Unpaired rows in pairs, missing states, and a task with one state."""
    with pytest.raises(ValueError, match="in pairs"):
        SeedsOnStates(np.ones((3, 30)), np.ones((2, 30)), ONE_TASK, paired=True)
    with pytest.raises(ValueError, match="in every state"):
        SeedsOnStates(np.ones((3, 30)), np.ones((3, 29)), ONE_TASK)
    with pytest.raises(ValueError, match="two states"):
        SeedsOnStates(np.ones((2, 3)), np.ones((2, 3)), np.array([0, 0, 1]))


def test_power_at_parity_is_that_of_students_t():
    """Published: an SD of 4 points needs about nine pairs of checkpoints for 5 points and 80 %."""
    powers = [recipe_power(2 * 0.04**2 / k, 2 * k - 2, margin=0.05, alpha=0.05) for k in (8, 9)]
    assert powers[0] < 0.8 < powers[1] + 0.01
    assert recipe_power(0.0, 2, margin=0.05, alpha=0.05) == 1.0


def test_two_students_of_their_own_teachers_are_compared():
    """One is not, nor are two of which one has no teacher."""
    two, one = Checkpoints.of([8, 6], 10), Checkpoints.of([7], 10)
    found = compare_distilled(two, Checkpoints.of([7, 7], 10), floor=False)
    assert (found.difference, found.df) == (pytest.approx(0.0), 1)
    assert found.standard_error == pytest.approx(0.1)
    for students, teachers in ((one, one), (two, one)):
        with pytest.raises(ValueError, match="as many students as teachers expected"):
            compare_distilled(students, teachers)
