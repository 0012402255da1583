"""Intervals against published tables, by exact enumeration, and with a wrong method as a control."""

from __future__ import annotations

import math
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import multinomial, norm

from vla_eval.stats import PairedTable, tango_interval, tango_z, wilson_interval
from vla_eval.stats.paired import tango_scores

# n11, n10, n01, n00; 95 % and 90 % intervals. The first rows are published: Tango 1998 tables VII
# and V; Bentur, Cavo, in Fagerland, Lydersen and Laake 2014; Agresti and Min 2005; Tang 2010.
TANGO = [
    ((4, 9, 3, 16), (-0.027090, 0.389697), (0.010190, 0.357445)),
    ((43, 0, 1, 0), (-0.118077, 0.059393), (-0.095662, 0.036517)),
    ((1, 1, 7, 12), (-0.517232, -0.026003), (-0.481622, -0.074631)),
    ((59, 6, 16, 80), (-0.124023, -0.005433), (-0.113126, -0.015058)),
    ((53, 16, 8, 9), (-0.019659, 0.206911), (-0.000704, 0.187887)),
    ((8, 3, 1, 2), (-0.166975, 0.432664), (-0.109285, 0.385569)),
    ((386, 9, 5, 0), (-0.009450, 0.031344), (-0.005901, 0.027337)),
    ((30, 0, 0, 0), (-0.113513, 0.113513), (-0.082724, 0.082724)),
]


@pytest.mark.parametrize(("table", "ci95", "ci90"), TANGO)
def test_tango_equals_published_intervals(table, ci95, ci90):
    """Tango's interval reproduces published tables to the last printed digit."""
    paired = PairedTable(*table)
    assert paired.interval() == pytest.approx(ci95, abs=1e-6)
    assert paired.interval(alpha=0.10) == pytest.approx(ci90, abs=1e-6)


@given(
    counts=st.tuples(*[st.integers(0, 3000)] * 3).filter(sum),
    delta=st.one_of(st.floats(-1, 1), st.sampled_from([-1.0, -0.05, 0.0, 0.05, 1.0])),
    at_estimate=st.booleans(),
)
def test_one_score_of_tango_is_that_of_an_array_to_the_last_bit(counts, delta, at_estimate):
    """The form for floats and the form for arrays are one statistic, also where its variance is 0."""
    n10, n01, equal = counts
    n = n10 + n01 + equal
    delta = (n10 - n01) / n if at_estimate else delta
    assert tango_z(n10, n01, n, delta) == float(tango_scores(n10, n01, n, delta))


def test_tango_at_the_edge():
    """With only one kind of discordant pair the outer limit is the parameter's own limit."""
    low, high = tango_interval(3, 0, 3)
    assert low == pytest.approx(-0.1230, abs=1e-4)
    assert high == 1.0
    assert tango_interval(0, 3, 3) == pytest.approx((-1.0, 0.1230), abs=1e-4)


def test_tango_at_zero_is_mcnemar():
    """The statistic at difference 0 is McNemar's z."""
    assert tango_z(12, 5, 100, 0.0) == pytest.approx((12 - 5) / math.sqrt(12 + 5), abs=1e-12)


counts = st.integers(0, 60)


@pytest.mark.long
@settings(deadline=None)
@given(counts, counts, counts)
def test_tango_swaps_and_inverts_the_test(n10, n01, rest):
    """Swapping the arms mirrors the interval, and its ends are where the test just rejects."""
    n = n10 + n01 + rest
    if n == 0:
        return
    low, high = tango_interval(n10, n01, n)
    assert -1 <= low <= (n10 - n01) / n <= high <= 1
    assert tango_interval(n01, n10, n) == pytest.approx((-high, -low), abs=1e-9)
    z = float(norm.ppf(0.975))
    for end, target in ((low, z), (high, -z)):
        if abs(end) < 1 - 1e-9:
            assert tango_z(n10, n01, n, end) == pytest.approx(target, abs=1e-6)


def test_impossible_counts_are_refused():
    """Counts that cannot be raise ValueError, and say which."""
    with pytest.raises(ValueError, match="n10=3"):
        tango_interval(3, 3, 5)
    with pytest.raises(ValueError, match="negative"):
        PairedTable(1, -1, 0, 0)
    with pytest.raises(ValueError, match="5 successes"):
        wilson_interval(5, 4)


def _wald(n10: int, n01: int, n: int) -> tuple[float, float]:
    difference = (n10 - n01) / n
    half = 1.96 * math.sqrt(max(0.0, n10 + n01 - n * difference**2)) / n
    return difference - half, difference + half


def _coverage(interval, n: int, p10: float, p01: float) -> float:
    """Sum the probability of all tables whose interval contains the truth: no Monte Carlo."""
    tables = [(i, j) for i, j in product(range(n + 1), repeat=2) if i + j <= n]
    cells = np.array([(i, j, n - i - j) for i, j in tables])
    weights = multinomial.pmf(cells, n, [p10, p01, 1 - p10 - p01])
    likely = weights > 1e-9
    covered = [
        low - 1e-12 <= p10 - p01 <= high + 1e-12
        for (i, j), use in zip(tables, likely, strict=True)
        if use
        for low, high in [interval(i, j, n)]
    ]
    return float(weights[likely][np.array(covered)].sum())


# The last one is where a success rate near 1 meets a teacher that never loses: Wald covers 64 %.
GRID = [(0.05, 0.05), (0.02, 0.02), (0.10, 0.05), (0.02, 0.12), (0.005, 0.055), (0.02, 0.0)]


@pytest.mark.long
def test_tango_covers_and_wald_does_not():
    """Exact coverage at N = 50 is at least 93 % for Tango; the same check catches Wald's interval."""
    tango = [_coverage(tango_interval, 50, *p) for p in GRID]
    wald = [_coverage(_wald, 50, *p) for p in GRID]
    assert min(tango) >= 0.93
    assert min(wald) < 0.90, "the control must fail, or this test cannot"


# Newcombe 1998, Brown, Cai and DasGupta 2001.
WILSON = [
    (15, 148, 0.0624, 0.1605),
    (0, 20, 0.0, 0.1611),
    (1, 29, 0.0061, 0.1718),
    (29, 30, 0.8333, 0.9941),
    (395, 400, 0.9711, 0.9946),
    (400, 400, 0.9905, 1.0),
]


@pytest.mark.parametrize(("successes", "n", "low", "high"), WILSON)
def test_wilson_equals_published_intervals(successes, n, low, high):
    """Wilson's interval reproduces published tables to the last printed digit."""
    assert wilson_interval(successes, n) == pytest.approx((low, high), abs=5.1e-5)


def test_wilson_of_nothing_is_everything():
    """Without an episode nothing is known."""
    assert wilson_interval(0, 0) == (0.0, 1.0)
