"""Paired differences watched while they come in: "worse", "not worse" or "not yet", valid at any time.

States come in rounds of one state of each task, drawn in random order. Under "the mean difference is Δ
or less" the wealth of :func:`~vla_eval.stats.bounded.log_wealth` has expectation at most 1 after every
round, given all earlier rounds: its factors are independent, and those of one round have a mean of at
most 1 (see there). By Ville's inequality the chance that it ever reaches 1/alpha is at most alpha, so one
may look after each round and stop whenever one likes. Waudby-Smith and Ramdas 2024 (JRSS B 86:1).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum

from vla_eval.stats._numeric import Array, Interval
from vla_eval.stats.bounded import bet_interval, log_wealth

__all__ = ["AnytimeDifference", "Standing"]


class Standing(StrEnum):
    """What the pairs so far show."""

    WORSE = "worse"
    """The candidate is worse than the reference, by whatever amount."""
    NOT_YET = "not yet"
    """Neither is shown yet."""
    NOT_WORSE = "not worse"
    """The candidate is not worse by the margin."""


@dataclass(frozen=True)
class AnytimeDifference:
    """Differences of whole rounds, in the order in which they were drawn."""

    worst: Array
    """(K,) candidate minus reference in [−1, 1], with lost episodes at the candidate's worst."""
    best: Array
    """(K,) the same at the candidate's best."""
    margin: float
    alpha: float
    """One-sided level of each of the two claims."""

    @property
    def e_worse(self) -> float:
        """e-value against "the difference is 0 or more", at most 1e300."""
        return _capped(log_wealth(-self.best, 0.0))

    @property
    def e_not_worse(self) -> float:
        """e-value against "the difference is −margin or less", at most 1e300."""
        return _capped(log_wealth(self.worst, -self.margin))

    @property
    def standing(self) -> Standing:
        """What is shown; a loss that is shown counts, even if it is below the margin."""
        if self.e_worse >= 1 / self.alpha:
            return Standing.WORSE
        return Standing.NOT_WORSE if self.e_not_worse >= 1 / self.alpha else Standing.NOT_YET

    @property
    def interval(self) -> Interval:
        """Interval of the difference at level 1 − 2 alpha, which holds at every round together."""
        if not len(self.worst):
            return -1.0, 1.0
        low = bet_interval(self.worst, alpha=2 * self.alpha)[0]
        return low, bet_interval(self.best, alpha=2 * self.alpha)[1]


def _capped(log_e: float) -> float:
    return math.exp(min(math.log(1e300), log_e))
