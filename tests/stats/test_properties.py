"""What must hold for any counts: symmetry, duality, limits, and size of the exact test."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from references import bonett_price_interval, newcombe_paired_interval
from scipy.optimize import minimize_scalar
from scipy.stats import binom

from vla_eval import stats
from vla_eval.stats import PairedTable, Verdict
from vla_eval.stats.exact import largest_losses, rejection_probability, worst_rejection_probability
from vla_eval.stats.independent import restricted_rates
from vla_eval.stats.paired import tango_scores

Z95 = 1.959963984540054
sizes = st.integers(1, 80)
parts = st.floats(0, 1)
counts = st.integers(0, 40)


def successes(part: float, n: int) -> int:
    return round(part * n)


@pytest.mark.long
@settings(deadline=None)
@given(sizes, sizes, parts, parts)
def test_miettinen_nurminen_swaps_and_inverts_the_test(n1, n2, a, b):
    """Swapping the arms mirrors the interval, to 1e-12; its ends are where the test just rejects."""
    x1, x2 = successes(a, n1), successes(b, n2)
    low, high = stats.miettinen_nurminen_interval(x1, n1, x2, n2)
    assert -1 <= low <= x1 / n1 - x2 / n2 + 1e-12
    assert x1 / n1 - x2 / n2 - 1e-12 <= high <= 1
    mirrored = stats.miettinen_nurminen_interval(x2, n2, x1, n1)
    assert mirrored == pytest.approx((-high, -low), abs=1e-9)
    for end, target in ((low, Z95), (high, -Z95)):
        if abs(end) < 1 - 1e-6:
            z = stats.miettinen_nurminen_z(x1, n1, x2, n2, end)
            assert z == pytest.approx(target, abs=1e-4)


@pytest.mark.long
@settings(deadline=None)
@given(sizes, sizes, parts, parts, st.floats(-0.95, 0.95))
def test_restricted_rates_maximise_the_likelihood(n1, n2, a, b, d):
    """The closed-form cubic against a search; they lie in [0, 1] and differ by d."""
    x1, x2 = successes(a, n1), successes(b, n2)
    p1, p2 = (float(each) for each in restricted_rates(x1, n1, x2, n2, d))
    assert -1e-12 <= p1 <= 1 + 1e-12
    assert -1e-12 <= p2 <= 1 + 1e-12
    assert p1 - p2 == pytest.approx(d, abs=1e-9)

    def loss(rate: float) -> float:
        return -binom.logpmf(x1, n1, min(1, max(0, rate + d))) - binom.logpmf(x2, n2, rate)

    low, high = max(0.0, -d), min(1.0, 1 - d)
    best = minimize_scalar(loss, bounds=(low, high), method="bounded", options={"xatol": 1e-10})
    assert loss(min(high, max(low, p2))) <= best.fun + 1e-6


@pytest.mark.long
@settings(deadline=None)
@given(counts, counts, counts, counts)
def test_paired_statistics_are_equivariant(n11, n10, n01, n00):
    """Every paired interval mirrors under a swap of the arms; verdicts turn with them."""
    table = PairedTable(n11, n10, n01, n00)
    if table.n == 0:
        return
    swapped = table.swapped()
    for interval in (
        lambda t: t.interval(),
        newcombe_paired_interval,
        bonett_price_interval,
        lambda t: stats.stratified_paired_interval([t, t]),
    ):
        low, high = interval(table)
        assert interval(swapped) == pytest.approx((-high, -low), abs=1e-9)
    assert stats.mcnemar_p(table) == pytest.approx(stats.mcnemar_p(swapped), abs=1e-12)
    judged = stats.judge_paired(table, margin=0.1).verdict
    if judged is Verdict.EQUIVALENT:
        turned = stats.judge_paired(swapped, margin=0.1).verdict
        assert turned in (Verdict.EQUIVALENT, Verdict.SUPERIOR)
    if judged is Verdict.INFERIOR:
        assert stats.judge_paired(swapped, margin=0.1).noninferior


@settings(deadline=None)
@given(counts, counts, counts)
def test_the_score_at_0_is_mcnemar(n10, n01, rest):
    """Tango's z at difference 0 is (n10 − n01) / √(n10 + n01)."""
    n = n10 + n01 + rest
    if n10 + n01 == 0:
        return
    expected = (n10 - n01) / math.sqrt(n10 + n01)
    assert stats.tango_z(n10, n01, n, 0.0) == pytest.approx(expected, abs=1e-12)


@pytest.mark.long
@settings(deadline=None)
@given(counts, counts, counts, st.sampled_from([0.02, 0.05, 0.1, 0.2]))
def test_the_exact_p_is_a_probability_that_prefers_the_candidate(n10, n01, rest, margin):
    """In [0, 1], lower when a pair turns from lost to won, and at least (1 − δ)^N."""
    n = n10 + n01 + rest
    if n == 0:
        return
    p = stats.exact_p_noninferior(n10, n01, n, margin=margin)
    assert (1 - margin) ** n * (n01 == n10 == 0) - 1e-12 <= p <= 1
    if n01 > 0:
        assert stats.exact_p_noninferior(n10 + 1, n01 - 1, n, margin=margin) <= p + 1e-9


@pytest.mark.parametrize("n", [1, 7, 30])
def test_the_rejection_region_by_enumeration(n):
    """The trick with the largest n01 of each n10 finds exactly the tables that score z or more."""
    z = 1.2
    losses = largest_losses(z, n, delta=-0.1)
    total = 0.0
    p10, p01 = 0.08, 0.18
    for i in range(n + 1):
        for j in range(n - i + 1):
            inside = float(tango_scores(i, j, n, -0.1)) >= z
            assert inside == (j <= losses[i])
            if inside:
                total += binom.pmf(i, n, p10) * binom.pmf(j, n - i, p01 / (1 - p10))
    assert rejection_probability(losses, p10, p01)[0] == pytest.approx(total, abs=1e-12)


@pytest.mark.parametrize("p10", [1e-5, 0.004, 0.1, 0.5, 0.93])
def test_what_is_left_out_of_a_large_sum_is_nothing(p10):
    """Of 2,000 pairs the terms far from the mean are skipped: the sum over all of them is the same."""
    n, p01 = 2000, 0.02
    losses = largest_losses(1.6, n, delta=-0.02)
    wins = np.arange(n + 1)
    below = np.where(losses < 0, 0.0, binom.cdf(losses, n - wins, p01 / (1 - p10)))
    total = float((binom.pmf(wins, n, p10) * below).sum())
    assert rejection_probability(losses, p10, p01)[0] == pytest.approx(total, abs=1e-12)


@pytest.mark.parametrize("n", [30, 59, 100])
@pytest.mark.parametrize("margin", [0.02, 0.05, 0.10])
def test_the_exact_test_keeps_its_level(n, margin):
    """On a fine grid of the nuisance parameter the guarded test errs in at most 5 %."""
    from vla_eval.stats.power import guarded_critical_score

    z = guarded_critical_score(n, margin=margin)
    if math.isinf(z):
        assert n < stats.minimum_pairs_exact(margin) or n == 30
        return
    losses = largest_losses(z, n, delta=-margin)
    grid = np.append(0.0, np.geomspace(1e-6, (1 - margin) / 2, 2000))
    assert rejection_probability(losses, grid, grid + margin).max() <= 0.05 + 1e-6


def test_the_guard_is_needed():
    """The control: Tango's test alone exceeds 5 % at N = 100."""
    losses = largest_losses(1.6448536, 100, delta=-0.05)
    assert worst_rejection_probability(losses, 0.05) > 0.0501


@settings(deadline=None)
@given(st.integers(1, 60))
def test_perfect_agreement_in_closed_form(n):
    """Without discordant pairs z(−δ) = √(Nδ/(1 − δ)), at N = 1 as well."""
    assert stats.tango_z(0, 0, n, -0.05) == pytest.approx(math.sqrt(n * 0.05 / 0.95), abs=1e-12)
    low, high = stats.tango_interval(0, 0, n)
    assert high == pytest.approx(Z95**2 / (n + Z95**2), abs=1e-9)
    assert low == pytest.approx(-high, abs=1e-12)


@settings(deadline=None)
@given(counts, counts, counts, counts)
def test_failure_ratios_turn_with_the_arms(n11, n10, n01, n00):
    """Swapping the arms inverts the ratio; its score is 0 at the observed ratio."""
    table = PairedTable(n11, n10, n01, n00)
    if table.n == 0:
        return
    low, high = stats.failure_ratio_paired(table)
    f1, f2 = n01 + n00, n10 + n00
    if f1 and f2:
        assert low <= f1 / f2 <= high
        inverted = stats.failure_ratio_paired(table.swapped())
        assert inverted == pytest.approx((1 / high, 1 / low), rel=1e-6)
    else:
        assert f1 or low == 0.0
        assert f2 or high == math.inf


def _restricted_discordance(table: PairedTable, ratio: float) -> float:
    """Search the most likely probabilities with failure ratio θ; return P(one arm fails)."""
    cells = (table.n11, table.n10, table.n01, table.n00)

    def only_reference(both: float) -> tuple[float, float]:
        def loss(q2: float) -> float:
            q1 = ratio * (q2 + both) - both
            chances = (1 - q1 - q2 - both, q2, q1, both)
            return -sum(n * math.log(max(q, 1e-300)) for n, q in zip(cells, chances, strict=True))

        bounds = (max(0.0, both * (1 - ratio) / ratio), (1 - ratio * both) / (1 + ratio))
        found = minimize_scalar(loss, bounds=bounds, method="bounded", options={"xatol": 1e-10})
        return found.fun, found.x

    top = min(ratio, 1 / ratio) * 0.999
    both = minimize_scalar(
        lambda q: only_reference(q)[0], bounds=(0, top), method="bounded", options={"xatol": 1e-10}
    ).x
    q2 = only_reference(both)[1]
    return ratio * (q2 + both) - both + q2


@pytest.mark.parametrize("table", [(386, 9, 5, 3), (20, 4, 9, 7), (950, 20, 10, 20)])
def test_failure_ratio_score_by_search(table):
    """At both limits the score from a searched maximum of the likelihood is ±1.96."""
    paired = PairedTable(*table)
    f1, f2 = (paired.n01 + paired.n00) / paired.n, (paired.n10 + paired.n00) / paired.n
    for limit, target in zip(stats.failure_ratio_paired(paired), (Z95, -Z95), strict=True):
        variance = limit * _restricted_discordance(paired, limit) / paired.n
        assert (f1 - limit * f2) / math.sqrt(variance) == pytest.approx(target, abs=2e-3)


def test_impossible_requests_are_refused():
    """Counts, margins and weights that cannot be."""
    with pytest.raises(ValueError, match="no success rates"):
        stats.miettinen_nurminen_interval(5, 4, 1, 2)
    with pytest.raises(ValueError, match="cannot be in"):
        stats.exact_p_noninferior(3, 3, 5, margin=0.1)
    with pytest.raises(ValueError, match="margin"):
        stats.exact_p_noninferior(0, 0, 5, margin=1.0)
    with pytest.raises(ValueError, match="margin"):
        stats.judge((0.0, 0.1), 0.0)
