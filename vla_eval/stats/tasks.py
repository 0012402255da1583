"""Differences between tasks: do the tasks agree, and what of further tasks like these?

A task's data are the mean paired differences of its initial states, in [−1, 1]. The variance of a task's
mean is taken after adding one state that is won and one that is lost: a task without discordant pairs
has a plain variance of 0, which would give it infinite weight (Bonett and Price 2012 for pairs).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from vla_eval.stats._numeric import Array, Interval, Ints

__all__ = ["Agreement", "FurtherTasks", "further_tasks", "tasks_agree"]

_PERMUTATIONS = 1999
_SLACK = 1e-9
"""Relative rounding error below which two values of Q are equal."""


@dataclass(frozen=True)
class Agreement:
    """Result of the permutation test of equal tasks."""

    q: float
    """Cochran's Q over the tasks' differences."""
    df: int
    """Number of tasks minus one."""
    p: float


def tasks_agree(
    tasks: Sequence[Array], *, seed: int, permutations: int = _PERMUTATIONS
) -> Agreement:
    """Test whether the tasks share one distribution of a state's paired difference.

    Under that hypothesis states can be exchanged between tasks, so the states are dealt to the tasks at
    random, each task keeping its number of states. Whole states are dealt, with all their repeats. The
    statistic is Cochran's Q with each task's own variance, and p = (b + 1)/(B + 1) for b of B deals with a Q
    at least as large, so the size never exceeds alpha. Because Q divides by each task's own
    variance, tasks that differ only in how many pairs are discordant are rarely called unequal
    (docs/statistics.md, "Tasks").

    Args:
        tasks: for each task the mean paired differences of its states, (K_h,); two tasks or more.
        seed: seed of the deals: equal data and seeds give equal p-values.
        permutations: B.

    Raises:
        ValueError: there are fewer than two tasks, or a task has no states.
    """
    if len(tasks) < 2 or any(len(task) == 0 for task in tasks):
        raise ValueError("two or more tasks expected, each with states")
    sizes = np.array([len(task) for task in tasks], dtype=np.int64)
    values = np.unique(np.concatenate(tasks))
    counts = np.array([[np.sum(task == value) for value in values] for task in tasks])
    observed = float(_cochran_q(counts[None], values)[0])
    dealt = _deals(counts.sum(axis=0), sizes, permutations, np.random.default_rng(seed))
    larger = int(np.sum(_cochran_q(dealt, values) >= observed * (1 - _SLACK) - _SLACK))
    return Agreement(observed, len(tasks) - 1, (larger + 1) / (permutations + 1))


def _deals(totals: Ints, sizes: Ints, deals: int, rng: np.random.Generator) -> Ints:
    """Return counts of each value in each task after dealing all states, (deals, tasks, values)."""
    left: Ints = np.tile(totals, (deals, 1))
    dealt: Ints = np.zeros((deals, len(sizes), len(totals)), dtype=np.int64)
    for task, size in enumerate(sizes):
        places: Ints = np.full(deals, size)
        beyond: Ints = left.sum(axis=1)
        for value in range(len(totals)):
            beyond = beyond - left[:, value]
            drawn = rng.hypergeometric(left[:, value], beyond, places)
            dealt[:, task, value] = drawn
            places = places - drawn
        left = left - dealt[:, task]
    return dealt


def _cochran_q(counts: Ints, values: Array) -> Array:
    """Return Cochran's Q of each set of tasks: counts (sets, tasks, values), values (values,)."""
    n = counts.sum(axis=2)
    means = counts @ values / n
    # One state won (+1) and one lost (−1) are added: the mean moves towards 0, the squares gain 2.
    variances = ((counts @ values**2 + 2) / (n + 2) - (counts @ values / (n + 2)) ** 2) / (n + 2)
    centre = np.sum(means / variances, axis=1) / np.sum(1 / variances, axis=1)
    return np.asarray(np.sum((means - centre[:, None]) ** 2 / variances, axis=1))


@dataclass(frozen=True)
class FurtherTasks:
    """Mean difference over tasks of which these are a random sample."""

    tasks: int
    difference: float
    """Mean of the tasks' differences."""
    spread: float
    """Estimated SD of the tasks' true differences; 0 if sampling noise explains all."""
    interval: Interval


def further_tasks(tasks: Sequence[Array], *, alpha: float = 0.05) -> FurtherTasks:
    """Return the random-effects interval of the mean difference: Student's t over tasks, with a floor.

    SE² = max(s², v̄)/H with the variance s² between the H tasks' differences, and the mean v̄ of their
    sampling variances as the floor: few tasks that agree by chance are no proof of agreement.

    Args:
        tasks: for each task the mean paired differences of its states, (K_h,); two tasks or more.
        alpha: two-sided.

    Raises:
        ValueError: there are fewer than two tasks, or a task has no states.
    """
    from scipy.special import stdtrit

    if len(tasks) < 2 or any(len(task) == 0 for task in tasks):
        raise ValueError("two or more tasks expected, each with states")
    means = np.array([float(np.mean(task)) for task in tasks])
    noise = float(
        np.mean([np.var(np.append(task, [1.0, -1.0])) / (len(task) + 2) for task in tasks])
    )
    between = float(np.var(means, ddof=1))
    half = float(stdtrit(len(means) - 1, 1 - alpha / 2)) * math.sqrt(
        max(between, noise) / len(means)
    )
    centre = float(np.mean(means))
    return FurtherTasks(
        len(means),
        centre,
        math.sqrt(max(0.0, between - noise)),
        (max(-1.0, centre - half), min(1.0, centre + half)),
    )
