"""The excess of the highest of several rates."""

from __future__ import annotations

import numpy as np
import pytest

from vla_eval.stats import expected_excess

RNG = np.random.default_rng(5)


def drawn(count, states, reps, correlation=0.0):
    """Return (reps, count, states) successes with probability 0.85; states may be shared in part."""
    from scipy.special import ndtri

    own = RNG.standard_normal((reps, count, states))
    shared = RNG.standard_normal((reps, 1, states))
    score = np.sqrt(correlation) * shared + np.sqrt(1 - correlation) * own
    return score < ndtri(0.85)


@pytest.mark.parametrize(
    ("states", "count", "known"),
    [(10, 3, 8.9), (10, 20, 14.9), (50, 5, 5.6), (50, 10, 7.3), (100, 10, 5.3), (500, 10, 2.4)],
)
def test_the_excess_of_equal_checkpoints_is_the_simulated_one(states, count, known):
    """K checkpoints of 85 %: the highest rate is too high by so many points, and the estimate says so."""
    wins = drawn(count, states, 4000 // (1 + states // 50))
    truth = 100 * (wins.mean(axis=2).max(axis=1).mean() - 0.85)
    assert truth == pytest.approx(known, abs=0.5)
    estimates = [100 * expected_excess(each.astype(float)) for each in wins[:12]]
    assert np.mean(estimates) == pytest.approx(truth, abs=0.12 * truth)


def test_shared_states_lower_the_excess():
    """Checkpoints that win and lose on the same states are less different by chance."""
    apart, alike = (drawn(10, 50, 8, rho).astype(float) for rho in (0.0, 0.8))
    assert np.mean([*map(expected_excess, alike)]) < np.mean([*map(expected_excess, apart)])


def test_one_checkpoint_has_no_excess():
    """Nothing was chosen."""
    assert expected_excess(np.ones((1, 50))) == 0.0
