"""Error rates, coverage and power by summing over all tables: no Monte Carlo."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from unittest.mock import patch

import copies
import numpy as np
from bars import Bar

from vla_eval.stats import (
    PairedCase,
    PairedTable,
    episodes_per_arm,
    judge,
    judge_paired,
    pairs_by_formula,
    pairs_needed,
    verdicts,
)
from vla_eval.stats.exact import (
    binomial_pmf,
    exact_p_above,
    largest_losses,
    rejection_probability,
    worst_rejection_probability,
)
from vla_eval.stats.power import guarded_critical_score

Z90, Z95 = 1.6448536269514722, 1.959963984540054
MARGINS = (0.02, 0.03, 0.05, 0.10)


def bars() -> Iterator[Bar]:
    """Yield all bars of this module."""
    yield from tango_errors()
    yield from guard_errors()
    yield from harm_errors()
    yield from coverage()
    yield from sample_sizes()


def tango_errors() -> Iterator[Bar]:
    """One-sided error at the margin, nominally 5 %, at its largest over p10 in [0, .2]."""
    grid = np.linspace(0.0025, 0.20, 400)
    for n in (100, 200, 400, 1000):
        within, edge = 0.0, 0.0
        for margin in MARGINS:
            losses = largest_losses(Z90, n, delta=-margin)
            within = max(within, rejection_probability(losses, grid, grid + margin).max())
            edge = max(edge, rejection_probability(losses, 0.0, margin)[0])
        yield Bar(f"error of Tango, N = {n}, p10 >= .0025", within, high=0.052)
        yield Bar(f"error of Tango, N = {n}, p10 = 0", edge, high=0.060)
    wald = max(
        _sum(_wald_rejects(100, margin), 100, p, margin) for margin in MARGINS for p in grid[::20]
    )
    yield Bar("error of Wald, N = 100", wald, high=0.052, control=True)


def guard_errors() -> Iterator[Bar]:
    """Error of the guarded test at its largest over the whole nuisance parameter."""
    for n in (59, 100, 200, 400):
        worst = 0.0
        for margin in (0.05, 0.10):
            z = guarded_critical_score(n, margin=margin)
            losses = largest_losses(z, n, delta=-margin)
            top = (1 - margin) / 2
            grid = np.concatenate([np.linspace(0, top, 3000), np.geomspace(1e-6, top, 1000)])
            worst = max(worst, rejection_probability(losses, grid, grid + margin).max())
        yield Bar(f"error of the exact guard, N = {n}", worst, high=0.05 + 1e-6)
    losses = largest_losses(Z90, 100, delta=-0.05)
    alone = worst_rejection_probability(losses, 0.05)
    yield Bar("error of Tango without guard, N = 100", alone, high=0.05 + 1e-6, control=True)
    losses = largest_losses(Z90, 25, delta=-0.10)
    alone = worst_rejection_probability(losses, 0.10)
    what = "error of Tango without guard, N = 25, 10 points (no pair is discordant: .9^25)"
    yield Bar(what, alone, high=0.05 + 1e-6, control=True)


def harm_errors() -> Iterator[Bar]:
    """Error of INFERIOR at exactly the margin, and of WORSE at no difference, for unclustered pairs.

    `judge_paired` is asked along the border of the tables that pass; the largest error over the whole
    nuisance parameter, INFERIOR at margins of 2, 5, 10 and 20 points. The wrong method is Tango's
    interval alone.
    """
    for n in (20, 30, 100, 400):
        worst = max(_harm(copies.INFERIOR, n, margin) for margin in (0.02, 0.05, 0.10, 0.20))
        yield Bar(f"error of INFERIOR, N = {n}", worst, high=0.05 + 1e-6)
        # With so large a margin WORSE is never left out for INFERIOR, which says more.
        yield Bar(f"error of WORSE, N = {n}", _harm(copies.WORSE, n, 0.50), high=0.05 + 1e-6)
    alone = _harm(copies.INFERIOR, 30, 0.10, guarded=False)
    what = "error of INFERIOR by Tango without guard, N = 30, 10 points"
    yield Bar(what, alone, high=0.05 + 1e-6, control=True)


def _harm(claim: copies.Claim, n: int, margin: float, *, guarded: bool = True) -> float:
    """Return the largest error of a claim of harm, judged on all pairs or by the interval alone."""

    def passes(lost: int, won: int) -> bool:
        table = PairedTable(n - won - lost, won, lost, 0)
        if guarded:
            return claim.holds(judge_paired(table, margin=margin))
        return claim.holds(judge(table.interval(alpha=0.10), margin))

    def only(n10: int, n01: int, pairs: int, *, delta: float) -> float:
        """Compute the guard in question; the others count as passed, and more tables pass so."""
        asked = delta == -claim.truth * margin
        return exact_p_above(n10, n01, pairs, delta=delta) if asked else 0.0

    gap = claim.gap * margin
    with patch.object(verdicts, "exact_p_above", only):
        border = copies.staircase(n, passes, copies.needed_rows(n, gap))
    return copies.largest_error(border, gap)


def coverage() -> Iterator[Bar]:
    """Coverage of the 95 % interval on a grid of rates, differences and correlations."""
    for n in (30, 50, 100, 200, 400):
        covered = [_covers_tango(n, case) for case in _cases()]
        floor = 0.93 if n >= 100 else 0.945
        yield Bar(f"least coverage of Tango, N = {n}", min(covered), low=floor)
        if n >= 100:
            mean = float(np.mean(covered))
            yield Bar(f"mean coverage of Tango, N = {n}", mean, low=0.949, high=0.956)
    for n in (50, 100):
        wald = [
            _sum(_wald_covers(n, case.difference), n, case.p10, case.p01 - case.p10)
            for case in _cases()
        ]
        yield Bar(f"least coverage of Wald, N = {n}", min(wald), low=0.90, control=True)


def sample_sizes() -> Iterator[Bar]:
    """Relative distance of sample sizes from the table of statistics.md, which must be 0."""
    table = [
        (0.90, 0.10, (118, 91, 64), (123, 94, 67), 118),
        (0.95, 0.05, (256, 193, 130), (263, 201, 143), 253),
        (0.98, 0.05, (140, 112, 87), (145, 122, 98), 140),
        (0.90, 0.05, (454, 326, 202), (459, 333, 213), 453),
        (0.95, 0.03, (673, 489, 309), (685, 502, 328), 674),
    ]
    for p, margin, exact, formula, unpaired in table:
        off = abs(episodes_per_arm(p, p, margin=margin) / unpaired - 1)
        for rho, pairs, approximate in zip((0.0, 0.3, 0.6), exact, formula, strict=True):
            case = PairedCase(p, correlation=rho)
            off = max(off, abs(pairs_needed(case, margin=margin) / pairs - 1))
            off = max(off, abs(pairs_by_formula(case, margin=margin) / approximate - 1))
        yield Bar(f"sample sizes off the table, p = {p}, margin = {margin}", off, high=0.0)


def _cases() -> Iterator[PairedCase]:
    rates, differences = (0.5, 0.7, 0.8, 0.9, 0.95, 0.98), (0.0, -0.02, -0.05, -0.10, 0.05)
    for p, difference, rho in product(rates, differences, (0.0, 0.3, 0.6, 0.9)):
        try:
            yield PairedCase(p, difference, rho)
        except ValueError:
            continue


def _covers_tango(n: int, case: PairedCase) -> float:
    """P(abs(z at the true difference) <= 1.96), from the two rejection regions."""
    at_most = largest_losses(-Z95, n, delta=case.difference)
    above = largest_losses(Z95, n, delta=case.difference)
    p10, p01 = max(0.0, case.p10), max(0.0, case.p01)
    inside = rejection_probability(at_most, p10, p01) - rejection_probability(above, p10, p01)
    return float(inside[0])


def _tables(n: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    wins, losses = np.meshgrid(np.arange(n + 1), np.arange(n + 1), indexing="ij")
    return wins, losses, wins + losses <= n


def _wald_deviation(n: int) -> tuple[np.ndarray, np.ndarray]:
    """Return difference and standard error of every table."""
    wins, losses, _ = _tables(n)
    difference = (wins - losses) / n
    return difference, np.sqrt(np.maximum(0.0, (wins + losses) / n - difference**2) / n)


def _wald_rejects(n: int, margin: float) -> np.ndarray:
    difference, error = _wald_deviation(n)
    return difference + margin >= Z90 * error


def _wald_covers(n: int, truth: float) -> np.ndarray:
    difference, error = _wald_deviation(n)
    return np.abs(difference - truth) <= Z95 * error + 1e-12


def _sum(region: np.ndarray, n: int, p10: float, gap: float) -> float:
    """Probability of a set of tables when p01 = p10 + gap."""
    wins, losses, possible = _tables(n)
    p10, p01 = max(0.0, p10), max(0.0, p10 + gap)
    given = np.zeros((n + 1, n + 1))
    for i in range(n + 1):
        given[i, : n - i + 1] = binomial_pmf(losses[i, : n - i + 1], n - i, p01 / (1 - p10))
    return float((binomial_pmf(wins, n, p10) * given)[region & possible].sum())
