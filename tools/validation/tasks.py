"""Single tasks: whether they agree, the guard rail, and further tasks like these."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cache

import numpy as np
from bars import Bar
from copies import largest_error, needed_rows, staircase

from vla_eval.stats import (
    PairedTable,
    exact_p_above,
    further_tasks,
    stratified_paired_interval,
    tasks_agree,
)
from vla_eval.stats.bounded import bet_p_above

ALPHA = 0.05
NOISE = 3 * np.sqrt(ALPHA * (1 - ALPHA) / 2000)
"""Three standard errors of an error of 5 % in 2,000 runs."""

type Chances = Sequence[tuple[float, float]]
"""Chance to win and to lose a state, for each task."""


def agreement(runs: int = 2000) -> Iterator[Bar]:
    """The permutation test of equal tasks: its size, and its power where a task loses.

    Its null hypothesis is that the tasks share one distribution of a state's difference; there it is
    exact. Tasks of the same difference whose discordance differs are beyond that null, and rarely
    flagged. The wrong method permutes the plain sum of squared differences, which takes a task with more
    discordant pairs for another one.
    """
    for label, chances, n in (
        ("10 tasks of 50, 2 % discordant", [(0.01, 0.01)] * 10, 50),
        ("10 tasks of 50, 6 % discordant", [(0.03, 0.03)] * 10, 50),
        ("4 tasks of 100, 6 % discordant", [(0.03, 0.03)] * 4, 100),
        ("40 tasks of 10, 10 % discordant", [(0.05, 0.05)] * 40, 10),
        ("4 tasks of 100, all lose 5 points", [(0.01, 0.06)] * 4, 100),
    ):
        yield Bar(f"size, {label}", _flagged(chances, n, runs), low=0.025, high=ALPHA + NOISE)
    unequal = [(0.2, 0.2)] + [(0.01, 0.01)] * 9
    what = "10 tasks of 50, one with 40 % discordant, the others 2 %"
    yield Bar(f"flagged, {what}", _flagged(unequal, 50, runs), high=ALPHA + NOISE)
    plain = _flagged(unequal, 50, runs, plain=True)
    yield Bar(f"flagged by plain squares, {what}", plain, high=ALPHA + NOISE, control=True)
    half = [(0.1, 0.1)] * 5 + [(0.01, 0.01)] * 5
    what = "10 tasks of 50, half with 20 % discordant, half 2 %"
    yield Bar(f"flagged, {what}", _flagged(half, 50, runs), high=ALPHA + NOISE)
    for label, low, chances, n in (
        ("one of 4 loses 10, mean 0", 0.75, [(0.02, 0.12)] + [(0.053, 0.02)] * 3, 100),
        ("one of 4 loses 10, mean -2.5", 0.55, [(0.02, 0.12)] + [(0.02, 0.02)] * 3, 100),
        ("two of 40 lose 30, mean -1.5", 0.55, [(0.0, 0.3)] * 2 + [(0.02, 0.02)] * 38, 10),
    ):
        yield Bar(f"power, {label} points", _flagged(chances, n, runs // 4), low=low)


def _flagged(chances: Chances, n: int, runs: int, *, plain: bool = False) -> float:
    """Return how often tasks with these chances, n states each, are called unequal."""
    rng = np.random.default_rng(80)
    draws = [rng.multinomial(n, (win, lose, 1 - win - lose), runs) for win, lose in chances]
    found = 0
    for run in np.stack(draws, axis=1):
        tasks = [np.repeat([1.0, -1.0, 0.0], counts) for counts in run]
        if plain:
            found += _plain_p(np.stack(tasks), rng) <= ALPHA
        else:
            found += tasks_agree(tasks, seed=int(rng.integers(2**32)), permutations=199).p <= ALPHA
    return found / runs


def _plain_p(tasks: np.ndarray, rng: np.random.Generator) -> float:
    """Return the permutation p-value of the sum of squared differences of equally large tasks."""
    dealt = rng.permuted(np.tile(tasks.ravel(), (199, 1)), axis=1).reshape(199, *tasks.shape)
    squares = np.square(dealt.mean(axis=2)).sum(axis=1)
    larger = np.sum(squares >= np.square(tasks.mean(axis=1)).sum() - 1e-12)
    return float((larger + 1) / 200)


def guard_rails() -> Iterator[Bar]:
    """The guard rail, exactly: the chance of any false finding where every task loses exactly its margin.

    With all hypotheses true Holm's procedure errs if the smallest p-value is at most alpha over the number
    of tasks, so the chance is 1 − (1 − s)^m for the largest size s of one task's exact test. The wrong method
    tests each task at 5 %.
    """
    for tasks in (4, 10, 40):
        for n, margin in ((20, 0.30), (50, 0.20), (100, 0.10)):
            label = f"{tasks} tasks of {n}, {100 * margin:g} points"
            worse = _any(tasks, _size(n, margin, ALPHA / tasks))
            held = _any(tasks, _size(n, -margin, ALPHA / tasks))
            yield Bar(f"any task falsely shown to be worse, {label}", worse, high=ALPHA + 1e-6)
            yield Bar(f"any loss falsely ruled out, {label}", held, high=ALPHA + 1e-6)
    each = _any(10, _size(50, 0.20, ALPHA))
    what = "any of 10 tasks of 50 falsely shown to be worse, each at 5 %"
    yield Bar(what, each, high=ALPHA + 1e-6, control=True)


def _any(tasks: int, size: float) -> float:
    return float(1 - (1 - size) ** tasks)


@cache
def _size(n: int, margin: float, level: float) -> float:
    """Return the largest size of one task's exact test where the truth is a loss of the margin.

    Args:
        n: pairs of the task.
        margin: above 0, for "loses more than this"; below 0, for "loses less than this".
        level: of the test.
    """

    def passes(good: int, bad: int) -> bool:
        return exact_p_above(good, bad, n, delta=margin) <= level

    return largest_error(staircase(n, passes, needed_rows(n, -margin)), -margin)


def further(runs: int = 2000) -> Iterator[Bar]:
    """Coverage of the 95 % interval for further tasks like these; the tasks' true differences are normal.

    The wrong method is the interval for these tasks alone, which knows no spread between tasks.
    """
    for tasks in (4, 10, 40):
        for spread in (0.0, 0.05, 0.10):
            covered, fixed = _coverage(tasks, spread, runs)
            label = f"{tasks} tasks of 25, SD {100 * spread:g} points"
            yield Bar(f"coverage, {label}", covered, low=0.95 - NOISE)
            if spread == 0.10:
                what = f"coverage of the interval for these tasks, {label}"
                yield Bar(what, fixed, low=0.95 - NOISE, control=True)


def _coverage(tasks: int, spread: float, runs: int, n: int = 25) -> tuple[float, float]:
    rng = np.random.default_rng(81)
    mean, discordance = -0.02, 0.4
    covered = fixed = 0
    for number in range(runs):
        truths = np.clip(rng.normal(mean, spread, tasks), -discordance, discordance)
        wins = rng.binomial(n, (discordance + truths) / 2)
        losses = rng.binomial(
            n - wins, (discordance - truths) / 2 / (1 - (discordance + truths) / 2)
        )
        values = [
            np.repeat([1.0, -1.0, 0.0], (win, loss, n - win - loss))
            for win, loss in zip(wins, losses, strict=True)
        ]
        low, high = further_tasks(values).interval
        covered += low <= mean <= high
        if spread == 0.10 and number < runs // 4:
            tables = [
                PairedTable(n - win - loss, int(win), int(loss), 0)
                for win, loss in zip(wins, losses, strict=True)
            ]
            low, high = stratified_paired_interval(tables)
            fixed += low <= mean <= high
    return covered / runs, fixed / (runs // 4)


def weights(runs: int = 20_000) -> Iterator[Bar]:
    """Declared weights: the error of the bets where the weighted mean is exactly at the margin.

    Four tasks of 25 states with weights 3, 1, 1, 1 lose 16, 4, 4, 4 points: 10 by weight, 7 by pairs. The
    wrong method weighs pairs.
    """
    rng = np.random.default_rng(82)
    lost = np.stack([rng.binomial(25, p, runs) for p in (0.16, 0.04, 0.04, 0.04)], axis=1)
    shares = np.repeat(np.array([3.0, 1, 1, 1]) / 6 / 25, 25)
    patterns, counts = np.unique(lost, axis=0, return_counts=True)
    right = wrong = 0
    for pattern, count in zip(patterns, counts, strict=True):
        x = -(np.tile(np.arange(25), 4) < np.repeat(pattern, 25)).astype(float)
        right += count * (bet_p_above(x, -0.10, shares) <= ALPHA)
        wrong += count * (exact_p_above(0, int(pattern.sum()), 100, delta=-0.10) <= ALPHA)
    yield Bar("error, bets with the tasks' weights", right / runs, high=ALPHA)
    yield Bar("error, the pairs' exact test in their place", wrong / runs, high=ALPHA, control=True)
