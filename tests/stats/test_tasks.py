"""Tasks: the permutation test of equal tasks, and the interval for further tasks."""

from __future__ import annotations

import numpy as np
import pytest

from vla_eval.stats import further_tasks, holm, holm_levels, tasks_agree


def task(won: int, lost: int, n: int) -> np.ndarray:
    """Return the paired differences of one task."""
    return np.repeat([1.0, -1.0, 0.0], [won, lost, n - won - lost])


def test_permutations_agree_with_scipy():
    """Scipy's permutation test of the same statistic gives the same p-value, up to its own draws."""
    from scipy.stats import permutation_test

    def q(*tasks: np.ndarray, axis: int) -> np.ndarray:
        means = np.stack([each.mean(axis) for each in tasks], -1)
        n = tasks[0].shape[axis]
        squares = np.stack([(np.square(each).sum(axis) + 2) / (n + 2) for each in tasks], -1)
        variances = (squares - np.square(means * n / (n + 2))) / (n + 2)
        centre = (means / variances).sum(-1) / (1 / variances).sum(-1)
        return ((means - centre[..., None]) ** 2 / variances).sum(-1)

    tasks = [task(0, 6, 30), task(2, 1, 30), task(1, 1, 30)]
    theirs = permutation_test(
        tasks, q, permutation_type="independent", n_resamples=999, alternative="greater", rng=1
    )
    assert tasks_agree(tasks, seed=1).p == pytest.approx(theirs.pvalue, abs=0.02)


def test_a_task_that_loses_is_found():
    """One task of ten loses a fifth of its states: the tasks disagree."""
    assert tasks_agree([task(0, 10, 50)] + [task(1, 1, 50)] * 9, seed=1).p < 0.05


def test_equal_tasks_agree():
    """Without any variation every deal has the same Q, and p is 1."""
    found = tasks_agree([task(0, 0, 20)] * 3, seed=1)
    assert (found.q, found.df, found.p) == (0.0, 2, 1.0)


def test_whole_states_are_dealt():
    """Repeats of a state stay together: two states lost in both repeats weigh as two, not as four."""
    paired = [task(0, 2, 10), task(0, 0, 10)]
    copies = [np.repeat(each, 2) for each in paired]
    assert tasks_agree(paired, seed=1).p > tasks_agree(copies, seed=1).p


def test_the_seed_decides_the_p_value():
    """Equal seeds give equal p-values, and others others."""
    tasks = [task(0, 4, 30), task(2, 1, 30), task(1, 1, 30)]
    first, again, other = (tasks_agree(tasks, seed=seed).p for seed in (1, 1, 2))
    assert first == again != other


@pytest.mark.parametrize("judge", [further_tasks, lambda tasks: tasks_agree(tasks, seed=1)])
def test_one_task_is_refused(judge):
    """There is nothing to compare in one task, or in a task without states."""
    with pytest.raises(ValueError, match="two or more tasks"):
        judge([task(1, 1, 5)])
    with pytest.raises(ValueError, match="two or more tasks"):
        judge([task(1, 1, 5), np.array([])])


def test_further_tasks_is_student_s_t():
    """Where tasks differ by more than their noise, the interval is Student's t on their means."""
    tasks = [np.full(50, value) for value in (-0.5, 0.0, 0.1, 0.4)]
    found = further_tasks(tasks)
    half = 3.182446 * np.std([-0.5, 0.0, 0.1, 0.4], ddof=1) / 2
    assert found.interval == pytest.approx((-half, half), abs=1e-4)


def test_further_tasks_has_a_floor():
    """Tasks that agree exactly still have the noise of their states."""
    found = further_tasks([task(0, 0, 20)] * 4)
    assert found.spread == 0.0
    assert found.interval[1] > 0.01


def test_holm_s_levels_are_his_p_values():
    """A p-value reaches its level exactly when the adjusted one reaches alpha."""
    for p_values in np.random.default_rng(1).random((50, 5)) ** 4:
        levels = holm_levels(p_values.tolist(), alpha=0.05)
        assert list(p_values <= levels) == [p <= 0.05 for p in holm(p_values.tolist())]


def test_holm_s_levels_stop_rising():
    """From the first that fails on, the level stays."""
    assert holm_levels([0.01, 0.03, 0.04], alpha=0.05) == pytest.approx([0.05 / 3, 0.025, 0.025])
