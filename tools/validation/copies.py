"""Exact errors of the verdicts on repeated states, where the repeats of a state are copies.

The least that repeats can tell: a state is then won, lost, or neither as a whole, and a table is the
numbers of states won and lost. The number of repeats does not matter to any of the tests (tests show
that), the number of states does. Whether a table passes is asked of `judge_clustered`, along the
border between the tables that pass and those that do not: a verdict that a table allows, it also
allows with a state less on the wrong side, or with one more on the right side.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from unittest.mock import patch

import numpy as np
import yesterday
from bars import Bar
from scipy.special import bdtrc

import vla_eval.stats.clusters as under_test
from vla_eval.stats import (
    ClusteredPairs,
    ClusteredRate,
    ClusterTest,
    Judgement,
    Verdict,
    judge_clustered,
    wilson_interval,
)
from vla_eval.stats.exact import binomial_pmf, exact_p_above, rejection_probability

ALPHA = 0.05
HIGH = ALPHA + 1e-6
STATES = (5, 10, 25, 44, 50, 100, 200)
MARGINS = (0.02, 0.05, 0.10, 0.20)
INTERVALS_UP_TO = 100
"""States up to which intervals are computed; with more they count as allowing every verdict, so that
the errors shown are those of the guards, which are not smaller."""
_NEVER = 1e-9

_REMEMBERED = lru_cache(maxsize=None)(exact_p_above.__wrapped__)
"""A table is asked for many p-values, by many verdicts, and its mirror image for the same ones."""


@dataclass(frozen=True)
class OneSided(ClusteredPairs):
    """Counts with one judged side; every claim about the other side counts as shown.

    More tables pass so, and the error is not underestimated. A table passes or not by one border.
    """

    above: bool = True
    """Whether it is the lower limit and the tests of "the difference is Δ or less" that judge."""
    only: float | None = None
    """The one Δ of which a guard is computed; then the interval counts as allowing the verdict."""

    def p_above(self, delta: float, *, test: ClusterTest = "both") -> float:
        """Return the p-value, or 0 where this side does not judge."""
        asked = self.above and self.only in {None, delta}
        return super().p_above(delta, test=test) if asked else 0.0

    def p_below(self, delta: float, *, test: ClusterTest = "both") -> float:
        """Return the p-value, or 0 where this side does not judge."""
        asked = not self.above and self.only in {None, delta}
        return super().p_below(delta, test=test) if asked else 0.0

    def interval(self, *, alpha: float = 0.05, test: ClusterTest = "both") -> tuple[float, float]:
        """Return the interval, whose limit on the other side allows every verdict."""
        if self.only is not None:
            return 1.0, -1.0
        lower, upper = super().interval(alpha=alpha, test=test)
        return (lower, -1.0) if self.above else (1.0, upper)


@dataclass(frozen=True)
class Claim:
    """A verdict, and the truth at which giving it is an error."""

    name: str
    holds: Callable[[Judgement], bool]
    truth: float
    """Difference, in margins."""
    above: bool
    """Whether it says that the difference is above something: then won states speak for it."""

    @property
    def gap(self) -> float:
        """Chance of a state against the claim minus that of one for it, in margins."""
        return -self.truth if self.above else self.truth


def _given(verdict: Verdict) -> Callable[[Judgement], bool]:
    return lambda judgement: verdict in {judgement.verdict, *judgement.also}


NON_INFERIOR = Claim("NON-INFERIOR", lambda judgement: judgement.noninferior, -1.0, above=True)
SUPERIOR = Claim("SUPERIOR", _given(Verdict.SUPERIOR), 0.0, above=True)
EQUIVALENT = Claim("EQUIVALENT", _given(Verdict.EQUIVALENT), 1.0, above=False)
INFERIOR = Claim("INFERIOR", _given(Verdict.INFERIOR), -1.0, above=False)
WORSE = Claim("WORSE", _given(Verdict.WORSE), 0.0, above=False)
CLAIMS = (NON_INFERIOR, SUPERIOR, EQUIVALENT, INFERIOR, WORSE)


def counts(states: int, won: int, lost: int, repeats: int = 4) -> ClusteredPairs:
    """Return the counts of so many states won and lost in all repeats."""
    pairs = np.full(states, repeats)
    position = np.arange(states)
    wins = np.where(position < won, repeats, 0)
    return ClusteredPairs(pairs, wins, np.where(position >= states - lost, repeats, 0))


def passes(
    claim: Claim, test: ClusterTest, states: int, margin: float, most: int = INTERVALS_UP_TO
) -> Callable[[int, int], bool]:
    """Return whether a table of (states for the claim, states against it) passes.

    Args:
        claim: what is shown.
        test: by which states are judged.
        states: all.
        margin: of the verdict.
        most: states up to which the interval is computed too.
    """

    def asked(good: int, bad: int) -> bool:
        data = counts(states, good, bad) if claim.above else counts(states, bad, good)
        only = None if states <= most else claim.truth * margin
        sided = OneSided(data.pairs, data.wins, data.losses, above=claim.above, only=only)
        return claim.holds(judge_clustered(sided, margin=margin, alpha=ALPHA, test=test))

    return asked


def staircase(size: int, allowed: Callable[[int, int], bool], rows: int) -> np.ndarray:
    """Return J: for every number of units for a claim, the most against it that pass, or −1.

    Args:
        size: all units.
        allowed: whether (for, against) passes; monotone in both.
        rows: the first so many are asked for; in the others all tables count as passing.
    """
    border = size - np.arange(size + 1)
    most = -1
    for good in range(min(rows, size + 1)):
        while most + 1 <= size - good and allowed(good, most + 1):
            most += 1
        border[good] = min(most, size - good)
    return border


def needed_rows(size: int, gap: float) -> int:
    """Return the rows of a staircase outside of which nothing happens at that difference."""
    highest = (1 - abs(gap)) / 2 + max(0.0, -gap)
    return int(np.argmax(bdtrc(np.arange(size + 1.0), size, highest) < _NEVER)) + 1


def largest_error(border: np.ndarray, gap: float) -> float:
    """Return the largest chance of {against ≤ J(for)} over the whole nuisance parameter.

    Args:
        border: J.
        gap: chance of a unit against minus that of one for the claim.
    """
    top = (1 - abs(gap)) / 2
    good, bad = max(0.0, -gap), max(0.0, gap)
    grid = np.unique(np.concatenate([np.linspace(0, top, 2001), np.geomspace(1e-6, top, 500)]))
    values = rejection_probability(border, grid + good, grid + bad)
    highest = float(values.max())
    padded = np.concatenate([[-1.0], values, [-1.0]])
    peaks = np.flatnonzero((values >= padded[:-2]) & (values >= padded[2:]))
    for peak in peaks[np.argsort(-values[peaks])][:8]:
        low, high = grid[max(0, peak - 1)], grid[min(len(grid) - 1, peak + 1)]
        fine = np.linspace(low, high, 101)
        highest = max(highest, float(rejection_probability(border, fine + good, fine + bad).max()))
    return highest


def error(claim: Claim, test: ClusterTest, states: int, margin: float) -> float:
    """Return the largest error of one claim at its truth."""
    gap = claim.gap * margin
    border = staircase(states, passes(claim, test, states, margin), needed_rows(states, gap))
    return largest_error(border, gap)


def errors(test: ClusterTest) -> list[Bar]:
    """Return the exact errors of one test."""
    with patch.object(under_test, "exact_p_above", _REMEMBERED):
        return list(_errors(test))


def _errors(test: ClusterTest) -> Iterator[Bar]:
    for states in STATES:
        worst = max(error(NON_INFERIOR, test, states, margin) for margin in MARGINS)
        yield Bar(f"error of NON-INFERIOR, {test}, {states} states, copies", worst, high=HIGH)
    for claim in CLAIMS[1:]:
        # At a difference of 0 the margin plays no part.
        margins = MARGINS if claim.truth else MARGINS[:1]
        worst = max(error(claim, test, states, each) for states in STATES for each in margins)
        yield Bar(f"error of {claim.name}, {test}, 5 to 200 states, copies", worst, high=HIGH)
    for states in (5, 10, 25):
        yield Bar(
            f"tables that pass beyond the border, {test}, {states} states",
            _beyond(test, states),
            high=0.0,
        )
    for states in (100, 200):
        yield Bar(
            f"tables on the wrong side of the border, {test}, {states} states, sampled",
            _misplaced(test, states),
            high=0.0,
        )
    for states in (10, 25):
        yield Bar(
            f"least coverage, 90 % interval, {test}, {states} states, copies",
            _coverage(test, states),
            low=0.90,
        )


def _beyond(test: ClusterTest, states: int, margins: tuple[float, ...] = (0.05, 0.20)) -> float:
    """Return the share of all tables where the whole verdict passes beyond the border."""
    wrong = 0
    tables = [(i, j) for i in range(states + 1) for j in range(states + 1 - i)]
    for margin in margins:
        borders = {
            claim: staircase(states, passes(claim, test, states, margin), states + 1)
            for claim in CLAIMS
        }
        for won, lost in tables:
            judgement = judge_clustered(counts(states, won, lost), margin=margin, test=test)
            for claim, border in borders.items():
                good, bad = (won, lost) if claim.above else (lost, won)
                wrong += claim.holds(judgement) and bad > border[good]
    return wrong / (len(tables) * len(margins) * len(CLAIMS))


def _misplaced(test: ClusterTest, states: int, tables: int = 100) -> float:
    """Return the share of random tables that pass and should not, or the other way round."""
    rng, margin, wrong = np.random.default_rng(23), 0.05, 0
    for claim in (NON_INFERIOR, INFERIOR):
        allowed = passes(claim, test, states, margin, most=0)
        border = staircase(states, allowed, needed_rows(states, claim.gap * margin))
        for good in rng.integers(0, states // 2, tables):
            bad = int(rng.integers(0, states - good + 1))
            wrong += allowed(int(good), bad) != (bad <= border[good])
    return wrong / (2 * tables)


def _coverage(test: ClusterTest, states: int) -> float:
    """Return the least coverage of the 90 % interval over differences and chances to win."""
    tables = [(i, j) for i in range(states + 1) for j in range(states + 1 - i)]
    won, lost = np.array(tables).T
    limits = [counts(states, *table).interval(alpha=2 * ALPHA, test=test) for table in tables]
    lower, upper = np.array(limits).T
    least = 1.0
    for truth in np.concatenate([-np.array(MARGINS), [0.0, -0.3, -0.5], MARGINS]):
        covered = (lower <= truth) & (truth <= upper)
        for rest in np.linspace(0, (1 - abs(truth)) / 2, 200):
            p10, p01 = rest + max(0.0, truth), rest + max(0.0, -truth)
            chance = binomial_pmf(won, states, p10) * binomial_pmf(
                lost, states - won, min(1.0, p01 / (1 - p10))
            )
            least = min(least, float(chance[covered].sum()))
    return least


def worst_repeat() -> Iterator[Bar]:
    """Repeats that are copies, judged by the worst repeat of each state: an exact test of states.

    States are won, lost or neither as a whole. The error is the largest over the whole nuisance
    parameter and the margins 2, 5, 10 and 20 points, at exactly the margin (SUPERIOR and WORSE: at
    no difference), by asking `judge_clustered` along the border of the tables that pass. With 200
    states intervals count as allowing the verdict, which can only add to the error.
    """
    yield from errors("worst-repeat")


def bets() -> Iterator[Bar]:
    """The same, judged by bets on the states' mean differences."""
    yield from errors("bets")


def both() -> Iterator[Bar]:
    """The same, judged by the smaller p-value of the two, doubled: what protocols use."""
    yield from errors("both")


YESTERDAY = ((10, 4, 0.10), (25, 4, 0.05), (50, 4, 0.02), (50, 2, 0.05), (44, 2, 0.10))


def replaced() -> Iterator[Bar]:
    """What was done before, as the wrong method: Tango's score over √VIF, and the pooled exact test.

    The VIF was taken for 1 where no pair is discordant. Copies, at exactly the margin.
    """
    for states, repeats, margin in YESTERDAY:
        yield Bar(
            f"error of Tango/√VIF, {states} states × {repeats}, {100 * margin:g} points, copies",
            yesterday.error(states, repeats, margin),
            high=HIGH,
            control=True,
        )


def rates() -> Iterator[Bar]:
    """Coverage of one arm's 95 % interval, where the repeats of a state are copies.

    Wilson's interval of the effective counts, against Wilson's own on as many episodes as there are
    states: the largest loss of coverage over success rates from .5 to .99. The wrong method takes
    the variance inflation for 1 where every episode succeeds.
    """
    grid = np.linspace(0.5, 0.99, 99)
    for states in (10, 25, 50, 100):
        own = _covered([wilson_interval(x, states) for x in range(states + 1)], grid)
        for repeats in (2, 4):
            found = _covered(
                [_rate(states, repeats, x).interval() for x in range(states + 1)], grid
            )
            what = f"coverage lost, one arm, {states} states × {repeats}, copies"
            yield Bar(what, max(0.0, float((own - found).max())), high=0.005)
    old = _covered([yesterday.rate_interval(_rate(25, 4, x)) for x in range(26)], grid)
    own = _covered([wilson_interval(x, 25) for x in range(26)], grid)
    what = "coverage lost, one arm, VIF of 1 without a failure, 25 states × 4, copies"
    yield Bar(what, float((own - old).max()), high=0.005, control=True)


def _rate(states: int, repeats: int, succeeded: int) -> ClusteredRate:
    successes = np.where(np.arange(states) < succeeded, repeats, 0)
    return ClusteredRate(np.full(states, repeats), successes)


def _covered(intervals: list[tuple[float, float]], rates: np.ndarray) -> np.ndarray:
    """Return the coverage at each rate; one interval for each number of states that succeed."""
    lower, upper = np.array(intervals).T
    states = len(intervals) - 1
    chances = binomial_pmf(np.arange(states + 1), states, rates[:, None])
    inside = (lower <= rates[:, None]) & (rates[:, None] <= upper)
    return (chances * inside).sum(axis=1)
