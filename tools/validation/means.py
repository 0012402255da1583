"""Errors and coverage of measures from 0 to 1 (partial credit, time to success), by simulation.

Every null is at exactly the margin, in corners that hurt a mean: times with an atom at the limit, scores
of 0, ½ and 1, small differences with a rare total loss, repeats of one state that are anything from
independent to copies. Seeds are fixed; an error is held to 5 % and coverage of the 90 % interval to 90 %,
each with three standard errors.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import numpy as np
from bars import Bar

from vla_eval.stats import MeanDifferences

ALPHA = 0.05
MARGIN = 0.10
RUNS = 2_000
STATES = (10, 40, 200)
ICCS = (0.0, 0.5, 1.0)
REPEATS = 3
HIGH = ALPHA + 3 * math.sqrt(ALPHA * (1 - ALPHA) / RUNS)
LOW = 1 - 2 * ALPHA - 3 * math.sqrt(2 * ALPHA * (1 - 2 * ALPHA) / RUNS)

type Draw = Callable[[np.random.Generator, tuple[int, int]], np.ndarray]
"""Draws differences of pairs, (states, repeats), whose mean is −MARGIN."""


def _times(rng: np.random.Generator, shape: tuple[int, int]) -> np.ndarray:
    """Time saved: log-normal times about .25 of the limit; the candidate fails more often."""
    reference = _time_saved(rng, shape, 0.98)
    return _time_saved(rng, shape, 0.98 - MARGIN / _MEAN_SAVED) - reference


def _time_saved(rng: np.random.Generator, shape: tuple[int, int], rate: float) -> np.ndarray:
    saved = 1 - np.minimum(1, rng.lognormal(math.log(0.25), 0.5, shape))
    return np.where(rng.random(shape) < rate, saved, 0.0)


_MEAN_SAVED = float(
    np.mean(1 - np.minimum(1, np.random.default_rng(1).lognormal(math.log(0.25), 0.5, 4_000_000)))
)
"""Mean time saved of a success."""


def _scores(rng: np.random.Generator, shape: tuple[int, int]) -> np.ndarray:
    """Scores of 0, ½ and 1: the candidate loses the grasp or the placement more often."""
    reference = rng.choice((0.0, 0.5, 1.0), shape, p=(0.03, 0.04, 0.93))
    return rng.choice((0.0, 0.5, 1.0), shape, p=(0.09, 0.12, 0.79)) - reference


def _halves(rng: np.random.Generator, shape: tuple[int, int]) -> np.ndarray:
    """Scores that differ by a half only: rounding down loses most."""
    return -0.5 * (rng.random(shape) < 2 * MARGIN)


def _rare(rng: np.random.Generator, shape: tuple[int, int]) -> np.ndarray:
    """Differences that are all but 0, and a total loss in as many pairs as the margin allows."""
    small = rng.normal(0, 0.005, shape)
    return np.where(rng.random(shape) < MARGIN, -1.0, small)


CORNERS: dict[str, tuple[Draw, bool]] = {
    "skewed times with failures": (_times, False),
    "rare losses": (_rare, False),
    "scores 0, ½, 1": (_scores, True),
    "half scores": (_halves, True),
    "rare losses, with the exact test": (_rare, True),
}
"""Differences at the margin, and whether the exact test joins the bets."""


def _runs(draw: Draw, states: int, icc: float) -> Iterator[np.ndarray]:
    """Yield the states' mean differences; a share of the states copies its first repeat."""
    rng = np.random.default_rng([51, states, round(100 * icc)])
    for _ in range(RUNS):
        pairs = draw(rng, (states, REPEATS))
        copies = rng.random(states) < icc
        yield np.where(copies, pairs[:, 0], pairs.mean(axis=1))


def measures() -> Iterator[Bar]:
    """Bets on measures from 0 to 1, for scores with the exact test, at a margin of 10 points.

    The largest error and the least coverage over repeats with ICC 0, .5 and 1.
    """
    for name, (draw, exact) in CORNERS.items():
        for states in STATES:
            found = [_judged(draw, states, icc, exact=exact) for icc in ICCS]
            errors, covered = (max(each[0] for each in found), min(each[1] for each in found))
            yield Bar(f"error, {name}, {states} states", errors, high=HIGH)
            yield Bar(f"coverage, {name}, {states} states", covered, low=LOW)


def _judged(draw: Draw, states: int, icc: float, *, exact: bool) -> tuple[float, float]:
    """Return the share of runs that err at the margin, and of those whose interval covers it."""
    errors = covered = 0
    for units in _runs(draw, states, icc):
        data = MeanDifferences.of(units, exact=exact)
        above = data.p_above(-MARGIN) <= ALPHA
        errors += above
        covered += not above and data.p_below(-MARGIN) > ALPHA
    return errors / RUNS, covered / RUNS


def wrong() -> Iterator[Bar]:
    """The wrong methods for measures: Student's t, repeats as independent pairs, means over successes.

    A mean over successes alone has no error to control: here a candidate is as quick as its reference where
    it succeeds, and fails in the slow half of the states. It would be certified nearly always.
    """
    for states in (10, 40, 200):
        errors = sum(_t_passes(units) for units in _runs(_rare, states, 1.0))
        what = f"error, Student's t, rare losses, {states} states"
        yield Bar(what, errors / RUNS, high=HIGH, control=True)
    for states in (40, 200):
        rng = np.random.default_rng([52, states])
        errors = 0
        for _ in range(RUNS):
            copied = np.repeat(_scores(rng, (states, 1)), 10)
            errors += MeanDifferences.of(copied).p_above(-MARGIN) <= ALPHA
        what = f"error, ten copies of a state as pairs, {states} states"
        yield Bar(what, errors / RUNS, high=HIGH, control=True)
    errors = sum(_successes_pass(np.random.default_rng([53, run])) for run in range(RUNS))
    yield Bar("error, mean time over successes, 100 states", errors / RUNS, high=HIGH, control=True)


def _t_passes(units: np.ndarray) -> bool:
    from scipy.special import stdtrit

    n = len(units)
    half = float(stdtrit(n - 1, 1 - ALPHA)) * float(units.std(ddof=1)) / math.sqrt(n)
    return float(units.mean()) - half > -MARGIN


def _successes_pass(rng: np.random.Generator) -> bool:
    """Whether a candidate that fails in the slow half passes by its mean time over successes."""
    reference = np.minimum(1, rng.lognormal(math.log(0.25), 0.5, 100))
    quick = reference < np.median(reference)
    candidate = reference[quick] + rng.normal(0, 0.01, quick.sum())
    difference = reference.mean() - candidate.mean()
    spread = math.sqrt(reference.var(ddof=1) / 100 + candidate.var(ddof=1) / quick.sum())
    return difference - 1.66 * spread > -MARGIN
