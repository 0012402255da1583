"""Error rates, power and coverage of runs whose size is set from their first pairs.

The sum is over the splits (n10, n01) of the first pairs and of the later ones, without the shortcut of
`vla_eval.stats.resizing`, which sums over the numbers of discordant pairs alone. So the two check each other.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import cache

import numpy as np
from bars import Bar
from scipy.signal import fftconvolve

from vla_eval.stats import PairedCase, ResizeRule, resized_outlook, tango_z
from vla_eval.stats.exact import binomial_pmf
from vla_eval.stats.paired import tango_scores
from vla_eval.stats.power import guarded_critical_score
from vla_eval.stats.resizing import critical_score

RULES = (
    ResizeRule(40, 80, 200, 0.10, step=2),
    ResizeRule(30, 30, 180, 0.10, step=2),
    ResizeRule(80, 120, 360, 0.05, step=40),
)
CORNERS = (0.0, 0.01, 0.05, 0.20)
"""Chances that only the candidate succeeds; that of the reference is larger by the margin."""
Z95 = 1.959963984540054

Sizes = np.ndarray
"""Number of pairs by (n10, n01) of the first ones."""


def bars() -> Iterator[Bar]:
    """Error at the margin, coverage and power, by summing over all splits before and after the decision.

    At the margin at least as many pairs are discordant as the margin says. The largest error is over 30 chances to win, and over pairs of chances inside the hypothesis. Controls:
    the exact test of a run of fixed size, after resizing; and rules that read the split of the first pairs.
    """
    for rule in RULES:
        score = dict.fromkeys(
            range(rule.at_most + 1), critical_score(rule, rule.margin, rule.alpha)
        )
        name = f"{rule.after}, {rule.planned} to {rule.at_most} pairs, {100 * rule.margin:g} points"
        sizes, region = blinded(rule), above(score, -rule.margin)
        worst = max(error(rule, sizes, region, p10) for p10 in chances(rule.margin))
        yield Bar(f"error of a resized run, {name}", worst, high=rule.alpha + 1e-6)
        inside = max(
            error(rule, sizes, region, p10, beyond=beyond)
            for p10 in (0.0, 0.02, 0.1)
            for beyond in (0.005, 0.05)
        )
        yield Bar(f"error below the margin, {name}", inside, high=rule.alpha + 1e-6)
    yield from corners()
    yield from wrong()
    yield from coverage()
    yield from power()


def corners(repetitions: int = 4_000) -> Iterator[Bar]:
    """Simulated nulls: pairs are drawn, and each run is sized and judged by itself."""
    rule, rng = RULES[0], np.random.default_rng(17)
    score = critical_score(rule, rule.margin, rule.alpha)
    for p10 in CORNERS:
        p01 = p10 + rule.margin
        chance = [p10, p01, 1 - p10 - p01]
        first = rng.multinomial(rule.after, chance, repetitions)
        certified = 0
        for won, lost, _ in first:
            size = rule.size(int(won + lost))
            more = rng.multinomial(size - rule.after, chance)
            certified += tango_z(won + more[0], lost + more[1], size, -rule.margin) >= score - 1e-9
        limit = rule.alpha + 3 * (rule.alpha * (1 - rule.alpha) / repetitions) ** 0.5
        what = f"simulated error of a resized run, {100 * (p10 + p01):.0f} % discordant"
        yield Bar(what, certified / repetitions, high=limit)


def wrong() -> Iterator[Bar]:
    """Yield the controls."""
    rule = RULES[1]
    fixed = {size: guarded_critical_score(size, margin=rule.margin) for size, _ in rule.stages}
    worst = largest(rule, blinded(rule), fixed)
    what = "error of the exact test of a fixed size, after resizing"
    yield Bar(what, worst, high=rule.alpha + 1e-6, control=True)
    for what, sizes in (("the difference", by_difference(rule)), ("the score", by_score(rule))):
        needed = {
            int(size): guarded_critical_score(int(size), margin=rule.margin)
            for size in np.unique(sizes[sizes > 0])
        }
        worst = largest(rule, sizes, needed)
        label = f"error of a size set from {what} of the first {rule.after} pairs"
        yield Bar(label, worst, high=rule.alpha + 1e-6, control=True)


def coverage() -> Iterator[Bar]:
    """Coverage of Tango's 95 % interval in a resized run."""
    for rule in RULES[:1]:
        sizes, covered = blinded(rule), []
        for gap in (-rule.margin, 0.0, rule.margin / 2):
            possible = np.unique(sizes).tolist()
            low, high = dict.fromkeys(possible, Z95), dict.fromkeys(possible, -Z95)
            for p10 in (0.01, 0.03, 0.08, 0.2):
                if p10 < gap:
                    continue
                outside = error(rule, sizes, above(low, gap), p10, gap=-gap)
                inside = error(rule, sizes, above(high, gap), p10, gap=-gap)
                covered.append(inside - outside)
        what = f"least coverage of Tango, resized to {rule.planned} to {rule.at_most} pairs"
        yield Bar(what, min(covered), low=0.93)


def power() -> Iterator[Bar]:
    """Power at parity where the size is not capped; the control is the planned size, not resized."""
    rule = RULES[2]
    for discordance in (0.03, 0.06):
        case = PairedCase(0.9, 0.0, 1 - discordance / 0.18)
        found = resized_outlook(rule, case).certified
        yield Bar(f"power at parity, resized, {100 * discordance:g} % discordant", found, low=0.76)
    case = PairedCase(0.9, 0.0, 1 - 0.06 / 0.18)
    fixed = {rule.planned: guarded_critical_score(rule.planned, margin=rule.margin)}
    sizes = np.full((rule.after + 1, rule.after + 1), rule.planned)
    alone = error(rule, sizes, above(fixed, -rule.margin), case.p10, gap=0.0)
    yield Bar("power at parity, as planned, 6 % discordant", alone, low=0.76, control=True)


def chances(margin: float) -> np.ndarray:
    """Return chances to win from 0 to the largest possible one."""
    top = (1 - margin) / 2
    return np.concatenate([[0.0], np.geomspace(1e-4, top, 20), np.linspace(0.01, 0.3, 9)])


def largest(rule: ResizeRule, sizes: Sizes, scores: Mapping[int, float]) -> float:
    """Return the largest error at the margin."""
    region = above(scores, -rule.margin)
    return max(error(rule, sizes, region, p10) for p10 in chances(rule.margin))


def blinded(rule: ResizeRule) -> Sizes:
    """Return the sizes of the rule: they depend on n10 + n01 alone."""
    return _sizes(rule, lambda won, lost: rule.size(won + lost))


def by_difference(rule: ResizeRule) -> Sizes:
    """Return the sizes that the formula asks for if the observed difference is taken for the true one."""

    def size(won: int, lost: int) -> int:
        gap = (won - lost) / rule.after + rule.margin
        if gap <= 0.02:
            return rule.at_most  # more pairs may still turn it
        base = rule.wanted(won + lost) * (rule.margin / gap) ** 2
        rounds = rule.step * int(np.ceil(base / rule.step))
        return min(rule.at_most, max(rule.planned, rounds))

    return _sizes(rule, size)


def by_score(rule: ResizeRule) -> Sizes:
    """Return the planned size where the first pairs look good, and the largest one where they do not."""

    def size(won: int, lost: int) -> int:
        looks_good = tango_z(won, lost, rule.after, -rule.margin) >= 1.0
        return rule.planned if looks_good else rule.at_most

    return _sizes(rule, size)


def _sizes(rule: ResizeRule, size: Callable[[int, int], int]) -> Sizes:
    count = rule.after + 1
    return np.array(
        [
            [size(won, lost) if won + lost <= rule.after else 0 for lost in range(count)]
            for won in range(count)
        ]
    )


def above(scores: Mapping[int, float], delta: float) -> Callable[[int], np.ndarray]:
    """Return a function from a size to the mask of (n10, n01) with a score of at least that size's."""

    @cache
    def region(size: int) -> np.ndarray:
        wins, losses = np.meshgrid(np.arange(size + 1), np.arange(size + 1), indexing="ij")
        possible = wins + losses <= size
        z = tango_scores(wins, np.where(possible, losses, 0), size, delta)
        return possible & (z >= scores[size] - 1e-9)

    return region


def error(
    rule: ResizeRule,
    sizes: Sizes,
    region: Callable[[int], np.ndarray],
    p10: float,
    *,
    gap: float | None = None,
    beyond: float = 0.0,
) -> float:
    """Return the probability of the region; the reference wins more often by ``gap``, else the margin."""
    p01 = min(1 - p10, p10 + (rule.margin if gap is None else gap) + beyond)
    first, total = trinomial(rule.after, p10, p01), 0.0
    corner = sizes[: first.shape[0], : first.shape[1]]
    for size in np.unique(corner[first > 1e-13]):
        if size == 0:
            continue
        start = np.where(corner == size, first, 0.0)
        later = trinomial(int(size) - rule.after, p10, p01)
        ended = fftconvolve(start, later)
        mask = region(int(size))[: ended.shape[0], : ended.shape[1]]
        total += float(ended[: mask.shape[0], : mask.shape[1]][mask].sum())
    return total


def trinomial(n: int, p10: float, p01: float) -> np.ndarray:
    """Return P(n10, n01) after n pairs, up to the counts beyond which 10⁻¹³ is left."""
    counts = np.arange(n + 1)
    rows, columns = (
        int(np.flatnonzero(binomial_pmf(counts, n, p) > 1e-13).max()) + 1 for p in (p10, p01)
    )
    won, lost = np.arange(rows)[:, None], np.arange(columns)[None, :]
    left = np.maximum(n - won, lost)
    given = binomial_pmf(lost, left, min(1.0, p01 / max(1e-300, 1 - p10)))
    return np.where(won + lost <= n, binomial_pmf(won, n, p10) * given, 0.0)
