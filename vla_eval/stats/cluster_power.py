"""Power of repeats of initial states, and the fewest states that a margin needs.

The model has one parameter of dependence: with probability ICC all repeats of a state are copies of
one draw, otherwise they are independent draws. The pairs' probabilities are the same for all states.
Then two repeats of a state have correlation ICC, and the design effect is 1 + (m − 1) ICC. Repeats of
real policies may depend in other ways; this changes the power but never the error rate.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from vla_eval.stats._numeric import Array, Ints
from vla_eval.stats.bounded import SHARES
from vla_eval.stats.clusters import ClusteredPairs, ClusterTest
from vla_eval.stats.design import PairedCase
from vla_eval.stats.exact import (
    binomial_pmf,
    largest_losses,
    rejection_probability,
    worst_rejection_probability,
)
from vla_eval.stats.verdicts import judge_clustered

__all__ = ["ClusterPower", "estimated_icc", "minimum_states", "power_clustered"]

_SEED = 20260730
_JUDGED_UP_TO = 1000
_TIE = 1e-9
DRAWS = 40_000
"""Number of simulated runs; the standard error of a power is at most ½/√DRAWS, a quarter point."""


@dataclass(frozen=True)
class ClusterPower:
    """Chance of each test to show "not worse by the margin"."""

    worst_repeat: float
    """Exact power: a sum over all tables of recoded states."""
    bets: float
    """Power simulated with a fixed seed."""
    both: float
    """Power simulated with a fixed seed."""
    standard_error: float
    """Larger standard error of the two simulated powers."""

    def of(self, test: ClusterTest) -> float:
        """Return the power of one test."""
        return {"worst-repeat": self.worst_repeat, "bets": self.bets, "both": self.both}[test]


def power_clustered(
    states: int,
    repeats: int,
    case: PairedCase,
    *,
    icc: float,
    margin: float,
    alpha: float = 0.05,
) -> ClusterPower:
    """Return the power of the three tests, in the model of this module.

    A verdict also needs its interval, whose limits are rounded outwards by at most 0.02 points. So a
    table at the very edge of a test can fail to get the verdict.

    Args:
        states: K, number of different initial states, in all tasks.
        repeats: m, number of pairs of each state.
        case: the true probabilities of one pair.
        icc: share of the states whose repeats are copies of one draw, in [0, 1].
        margin: above 0.
        alpha: one-sided.

    Raises:
        ValueError: no states or repeats, or numbers outside their ranges.
    """
    if states < 1 or repeats < 1:
        raise ValueError(f"{states} states with {repeats} repeats: expected 1 or more of each")
    if not 0 <= icc <= 1:
        raise ValueError(f"ICC {icc:g} is not in [0, 1]")
    if not (0 < margin < 1 and 0 < alpha < 0.5):
        raise ValueError(f"margin {margin:g} or alpha {alpha:g} is out of range")
    chances, means, lost = _outcomes(case, repeats, icc)
    won = (means == 1) & ~lost
    alone = most_losses(states, margin, alpha)
    exact = rejection_probability(alone, chances[won].sum(), chances[lost].sum())
    counts = np.random.default_rng(_SEED).multinomial(states, chances, DRAWS)
    recoded = counts[:, won].sum(axis=1), counts[:, lost].sum(axis=1)
    by_bets = np.exp(-_log_wealth(counts, means, -margin))
    half = most_losses(states, margin, alpha / 2)
    either = (recoded[1] <= half[recoded[0]]) | (by_bets <= alpha / 2)
    bets, both = float(np.mean(by_bets <= alpha)), float(np.mean(either))
    error = max(math.sqrt(share * (1 - share) / DRAWS) for share in (bets, both))
    return ClusterPower(float(exact[0]), bets, both, error)


def minimum_states(margin: float, *, alpha: float = 0.05, test: ClusterTest = "both") -> int:
    """Return the fewest states that show "not worse by the margin" if no pair is discordant.

    The number holds for any number of repeats: a repeated state counts once. Fewer states suffice only
    if the candidate wins some of them. Above 1000, the number is that of the test alone, which can be
    slightly below that of the whole verdict.

    Args:
        margin: in (0, 1).
        alpha: one-sided.
        test: see `vla_eval.stats.clusters`.
    """

    def silent(states: int) -> ClusteredPairs:
        none: Ints = np.zeros(states, dtype=np.int64)
        return ClusteredPairs(none + 1, none, none)

    def passes(states: int) -> bool:
        return silent(states).p_above(-margin, test=test) <= alpha

    # No test passes with fewer states than (1 − δ)^K ≤ alpha needs.
    low = max(0, math.ceil(math.log(alpha) / math.log1p(-margin) - 1e-9) - 1)
    high = low + 1
    while not passes(high):
        low, high = high, math.ceil(1.25 * high) + 1
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if passes(middle) else (middle, high)
    # The interval's limits are rounded outwards, so the verdict can need a few states more.
    while (
        high <= _JUDGED_UP_TO
        and not judge_clustered(silent(high), margin=margin, alpha=alpha, test=test).noninferior
    ):
        high += 1
    return high


def estimated_icc(data: ClusteredPairs) -> float:
    """Return (VIF − 1)/(m − 1) for m repeats on average, in [0, 1]; 0 without repeats."""
    repeats = data.n / len(data.pairs)
    return min(1.0, (data.vif - 1) / (repeats - 1)) if repeats > 1 else 0.0


@lru_cache(maxsize=512)
def most_losses(states: int, margin: float, alpha: float) -> Ints:
    """Return J: for every number of won states, the most lost states with exact p ≤ alpha, or −1.

    The exact p-value falls as the score rises, so one critical score decides all tables.

    Args:
        states: K.
        margin: the hypothesis is "worse by the margin or more".
        alpha: one-sided.
    """
    fails, passes = -5.0, 45.0
    outer, inner = (largest_losses(z, states, delta=-margin) for z in (fails, passes))
    # Stop if at most one table lies between, or only tables with the same score.
    while int(np.sum(outer - inner)) > 1 and passes - fails > _TIE:
        middle = (fails + passes) / 2
        border = largest_losses(middle, states, delta=-margin)
        if worst_rejection_probability(border, margin) <= alpha:
            passes, inner = middle, border
        else:
            fails, outer = middle, border
    inner.flags.writeable = False
    return inner


def _outcomes(
    case: PairedCase, repeats: int, icc: float
) -> tuple[Array, Array, npt.NDArray[np.bool_]]:
    """Return the possible outcomes of a state: chance, mean difference, whether a repeat is lost.

    Likely outcomes come first, because multinomial numbers are then drawn fastest.
    """
    p10, p01 = max(0.0, case.p10), max(0.0, case.p01)
    chance_of: dict[tuple[int, bool], float] = {}
    for lost in range(repeats + 1):
        some = float(binomial_pmf(lost, repeats, p01))
        rest = repeats - lost
        given = binomial_pmf(np.arange(rest + 1), rest, min(1.0, p10 / (1 - p01)) if rest else 0.0)
        for won, chance in enumerate(given):
            outcome = (won - lost, lost > 0)
            chance_of[outcome] = chance_of.get(outcome, 0.0) + (1 - icc) * some * float(chance)
    for outcome, chance in (
        ((repeats, False), p10),
        ((-repeats, True), p01),
        ((0, False), 1 - p10 - p01),
    ):
        chance_of[outcome] += icc * chance
    ranked = sorted(chance_of, key=lambda outcome: -chance_of[outcome])
    chances = np.array([chance_of[outcome] for outcome in ranked])
    means = np.array([difference / repeats for difference, _ in ranked])
    return chances / chances.sum(), means, np.array([lost for _, lost in ranked])


def _log_wealth(counts: Ints, means: Array, delta: float) -> Array:
    """Return `vla_eval.stats.bounded.log_wealth` for every row of counts of states."""
    gain = (1 + means) / (1 + delta) - 1
    logs = [counts @ np.log1p(share * gain) for share in SHARES]
    return np.asarray(np.logaddexp.reduce(logs, axis=0) - math.log(len(SHARES)))
