"""KeyStone: what it selects, and when its guard fires."""

from __future__ import annotations

import numpy as np
import pytest

from vla_eval_policies.methods import KeyStone, TrainingCost


def chunks(*shape: int, seed: int = 0):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def test_one_candidate_is_taken():
    """K = 1 changes nothing."""
    assert KeyStone(samples=1).select(chunks(1, 16, 6)).index == 0


def test_a_thousand_candidates_and_some_are_the_most():
    """From 1 to 1024."""
    for samples, allowed in ((0, False), (1, True), (1024, True), (1025, False)):
        if allowed:
            assert KeyStone(samples=samples).samples == samples
        else:
            with pytest.raises(ValueError, match="samples"):
                KeyStone(samples=samples)


def test_equal_candidates():
    """Of K equal chunks the first is taken, and the guard fires."""
    same = np.repeat(chunks(1, 16, 6), 8, 0)
    selection = KeyStone().select(same)
    assert (selection.index, selection.unimodal) == (0, True)


@pytest.mark.parametrize("outlier", range(8))
def test_outlier_is_not_taken(outlier: int):
    """Seven close ones and one far away: one of the seven, wherever the outlier stands."""
    candidates = 0.05 * chunks(8, 16, 6)
    candidates[outlier] += 10
    assert KeyStone().select(candidates).index != outlier


def test_majority_wins():
    """Of five and three the five; with the camps swapped the others."""
    candidates = 0.05 * chunks(8, 16, 6)
    camp = np.array([1, 0, 1, 1, 0, 1, 0, 1], dtype=bool)
    candidates[camp] += 1
    assert camp[KeyStone().select(candidates).index]
    assert not KeyStone().select(candidates).unimodal
    swapped = np.where(camp[:, None, None], candidates - 1, candidates + 1)
    swapped[np.flatnonzero(camp)[:2]] += 1
    minority = np.flatnonzero(~camp).tolist() + np.flatnonzero(camp)[:2].tolist()
    assert KeyStone().select(swapped).index in minority


def test_medoid_does_not_depend_on_the_order():
    """Where the guard fires, the same chunk is taken from any order."""
    candidates = chunks(16, 1, 3, seed=3)
    keystone = KeyStone(guard=10.0)
    chosen = candidates[keystone.select(candidates).index]
    for seed in range(5):
        order = np.random.default_rng(seed).permutation(16)
        assert np.array_equal(candidates[order][keystone.select(candidates[order]).index], chosen)


def test_guard_measures_dimension():
    """For one Gaussian mode the guard fires often in 3 dimensions and never in 350."""
    keystone = KeyStone(samples=16)
    fired = [
        np.mean([keystone.select(chunks(16, 1, size, seed=i)).unimodal for i in range(200)])
        for size in (3, 350)
    ]
    assert fired[0] > 0.5
    assert fired[1] == 0.0
    spread = np.mean([KeyStone().select(chunks(8, 1, 350, seed=i)).spread for i in range(100)])
    assert spread == pytest.approx(((1 - 1 / 8) / 2) ** 0.5, abs=0.04)


def test_selection_draws_nothing():
    """The global generator is where it was."""
    before = np.random.get_state()[1].copy()  # noqa: NPY002 - it is what must not move
    KeyStone().select(chunks(8, 16, 6))
    assert np.array_equal(before, np.random.get_state()[1])  # noqa: NPY002


def test_cost_counts_every_sample():
    """K samples in n passes are K × n evaluations of one prefix."""
    cost = KeyStone(samples=8).cost(TrainingCost(prefix=1, passes=10))
    assert (cost.prefix, cost.passes, cost.batch, cost.nfe, str(cost)) == (1, 10, 8, 80, "8 × 10")
    assert str(TrainingCost(prefix=1, passes=10)) == "10"
