"""Blinded re-estimation of the sample size, with an exact test of the whole two-stage design.

After the first pairs, only the number of discordant pairs among them is read, never their split; it
decides how many pairs there are in all. Let π be the chance that a pair is discordant, and θ the chance
that a discordant pair is the candidate's. The law of the size N and of all discordant pairs D depends on
π alone, and given both, the candidate's wins are binomial: Bin(D, θ).

The p-value of "the difference is Δ or less" is the probability of a score at least as high, summed over
all sizes that the rule can choose, and maximised over π. For every π it grows with θ, so the maximum lies
on the boundary π(2θ − 1) = Δ, as in a run of fixed size (:mod:`vla_eval.stats.exact`). A rule that reads
the split has no such proof. The idea is that of internal pilot studies (Wittes and Brittain 1990,
Statistics in Medicine 9:65). The exact test of a fixed size does not keep its level after it: where the
candidate wins no pair, the count tells everything.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache
from itertools import groupby

import numpy as np

from vla_eval.stats._numeric import Array, Ints, z_quantile
from vla_eval.stats.design import PairedCase, pairs_by_discordance
from vla_eval.stats.exact import binomial_pmf, check_table, largest_on, nuisance_grid
from vla_eval.stats.paired import tango_scores, tango_z

__all__ = ["ResizeRule", "ResizedOutlook", "exact_p_above_resized", "resized_outlook"]

_TIE = 1e-9
"""Scores closer than this are equal up to rounding."""
_RARE = 1e-12
"""Probability below which a count is left out."""
_CERTAIN = np.arange(1, 50) / 50
"""Share of the difference Δ > 0 at which a chance of discordance below Δ is tried."""


@dataclass(frozen=True)
class ResizeRule:
    """The rule that decides the number of pairs; fixed before the first episode."""

    after: int
    """Number of pairs after which the discordant ones are counted."""
    planned: int
    """Fewest pairs, at least ``after``."""
    at_most: int
    """Most pairs, above ``planned``."""
    margin: float
    alpha: float = 0.05
    """One-sided."""
    power: float = 0.8
    """Wanted chance of a certificate at parity."""
    step: int = 1
    """Sizes are multiples of it: whole rounds over the tasks."""

    def __post_init__(self) -> None:
        """Refuse sizes out of order."""
        if not 1 <= self.after <= self.planned < self.at_most or self.step < 1:
            raise ValueError(
                f"after {self.after}, planned {self.planned} and at most {self.at_most} pairs are "
                "not in order"
            )

    def wanted(self, discordant: int) -> int:
        """Return the pairs that certify parity with the wanted power, by formula, without limits."""
        share = discordant / self.after
        needed = pairs_by_discordance(share, margin=self.margin, alpha=self.alpha, power=self.power)
        return self.step * math.ceil(needed / self.step)

    def size(self, discordant: int) -> int:
        """Return the number of pairs, given the discordant ones among the first ``after``."""
        return min(self.at_most, max(self.planned, self.wanted(discordant)))

    @cached_property
    def stages(self) -> tuple[tuple[int, Ints], ...]:
        """Every possible size, rising, with the counts of discordant pairs that lead to it."""
        groups = groupby(range(self.after + 1), key=self.size)
        return tuple((size, np.array(list(counts))) for size, counts in groups)


@lru_cache(maxsize=1024)
def exact_p_above_resized(rule: ResizeRule, n10: int, n01: int, n: int, *, delta: float) -> float:
    """Return the exact one-sided p-value of "the difference is Δ or less" in a resized run.

    Args:
        rule: the rule that chose the size.
        n10: pairs in which only the candidate succeeded.
        n01: pairs in which only the reference succeeded.
        n: all pairs.
        delta: Δ in (−1, 1), candidate minus reference.

    Raises:
        ValueError: the counts are impossible, or the difference is outside (−1, 1).
    """
    check_table(n10, n01, n, delta)
    return _worst(rule, tango_z(n10, n01, n, delta), delta)


def _worst(rule: ResizeRule, z: float, delta: float) -> float:
    """Return the largest probability of a score of at least z where the difference is Δ or less."""
    needed = {size: fewest_wins(z, size, delta=delta) for size, _ in rule.stages}

    def curve(pi: Array) -> Array:
        return passing(rule, needed, pi, np.minimum(1.0, (1 + delta / np.maximum(pi, 1e-300)) / 2))

    grid = abs(delta) + 2 * nuisance_grid((1 - abs(delta)) / 2)
    if delta > 0:  # below π = Δ every split is within the hypothesis, and θ = 1 is the worst
        grid = np.concatenate([_CERTAIN * delta, grid])
    return min(1.0, largest_on(curve, grid))


def fewest_wins(z: float, n: int, *, delta: float) -> Ints:
    """Return K: for every number D = 0 … n of discordant pairs the fewest wins with a score of at least z.

    It is D + 1 where no number of wins suffices. The score rises with the wins.
    """
    discordant: Ints = np.arange(n + 1)
    low: Ints = np.full(n + 1, -1)  # outside the set
    high: Ints = discordant + 1  # inside it, or D + 1
    while np.any(high - low > 1):
        open_ = high - low > 1
        wins = np.clip((low + high) // 2, 0, discordant)
        inside = tango_scores(wins, discordant - wins, n, delta) >= z - _TIE
        high, low = np.where(open_ & inside, wins, high), np.where(open_ & ~inside, wins, low)
    return high


def passing(rule: ResizeRule, needed: Mapping[int, Ints], pi: Array, theta: Array) -> Array:
    """Return the probability that the wins reach the needed ones, for each pair of chances, (G,).

    Args:
        rule: the rule that chooses the size.
        needed: for each size the fewest wins by the number of discordant pairs, from `fewest_wins`.
        pi: chances that a pair is discordant, (G,).
        theta: chances that a discordant pair is the candidate's, (G,).
    """
    from scipy.special import bdtrc

    total: Array = np.zeros(len(pi))
    for size, weights in _law(rule, pi):
        row, pairs = np.nonzero(weights > _RARE)
        fewest = needed[size][pairs]
        above = bdtrc(np.clip(fewest - 1.0, 0.0, pairs), pairs, theta[row])
        above = np.where(fewest <= 0, 1.0, np.where(fewest > pairs, 0.0, above))
        total += np.bincount(row, weights=weights[row, pairs] * above, minlength=len(pi))
    return np.minimum(1.0, total)


def _law(rule: ResizeRule, pi: Array) -> Iterator[tuple[int, Array]]:
    """Yield for every size the probabilities of that size with D = 0 … size discordant pairs, (G, size + 1)."""
    from scipy.signal import fftconvolve

    rows = pi[:, None]
    for size, early in rule.stages:
        first = binomial_pmf(early, rule.after, rows)
        later = np.arange(size - rule.after + 1)
        weights: Array = np.zeros((len(pi), size + 1))
        if (frequent := np.flatnonzero(first.max(axis=1) > _RARE)).size:
            second = binomial_pmf(later, size - rule.after, rows[frequent])
            both = fftconvolve(first[frequent], second, axes=1)
            weights[frequent, early[0] : early[0] + both.shape[1]] = both
        yield size, weights


@dataclass(frozen=True)
class ResizedOutlook:
    """Operating characteristics of a rule, for given true probabilities; exact."""

    certified: float
    """Probability of a certificate."""
    pairs: float
    """Expected number of pairs."""
    at_most: float
    """Probability that the rule sets the largest size."""


def resized_outlook(
    rule: ResizeRule,
    case: PairedCase,
    *,
    margin: float | None = None,
    alpha: float | None = None,
    guard: bool = True,
) -> ResizedOutlook:
    """Return the exact operating characteristics of a rule.

    Args:
        rule: the rule.
        case: the true probabilities.
        margin: margin of the claim; default the rule's.
        alpha: one-sided level of the claim; default the rule's.
        guard: certify only if the exact test of the design agrees, as certificates do; this takes seconds.
    """
    margin = rule.margin if margin is None else margin
    alpha = rule.alpha if alpha is None else alpha
    score = critical_score(rule, margin, alpha) if guard else z_quantile(1 - alpha)
    p10, p01 = max(0.0, case.p10), max(0.0, case.p01)
    pi = np.array([p10 + p01])
    certified = 0.0
    if math.isfinite(score):
        needed = {size: fewest_wins(score, size, delta=-margin) for size, _ in rule.stages}
        certified = float(passing(rule, needed, pi, p10 / np.maximum(pi, 1e-300))[0])
    chances = {size: float(weights.sum()) for size, weights in _law(rule, pi)}
    pairs = sum(size * chance for size, chance in chances.items())
    return ResizedOutlook(certified, pairs, chances.get(rule.at_most, 0.0))


@lru_cache(maxsize=64)
def critical_score(rule: ResizeRule, margin: float, alpha: float) -> float:
    """Return the score from which on both Tango's test and the exact test of the design pass.

    It is infinite if no table passes.
    """
    low = z_quantile(1 - alpha)
    if _worst(rule, low, -margin) <= alpha:
        return low
    high = low + 0.25
    while _worst(rule, high, -margin) > alpha:
        low, high = high, high + 1
        if high > 40:
            return math.inf
    for _ in range(10):
        middle = (low + high) / 2
        low, high = (low, middle) if _worst(rule, middle, -margin) <= alpha else (middle, high)
    return high
