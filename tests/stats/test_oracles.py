"""Intervals, p-values and verdicts against published tables and an independent computation."""

from __future__ import annotations

import numpy as np
import pytest
from references import bonett_price_interval, newcombe_paired_interval
from scipy.optimize import minimize_scalar
from scipy.special import xlogy
from scipy.stats import norm
from statsmodels.stats.proportion import proportion_confint

from vla_eval import stats
from vla_eval.stats import PairedTable, Verdict
from vla_eval.stats.exact import largest_on, nuisance_grid
from vla_eval.stats.independent import newcombe_interval

# counts; MN 95 %, Mee 95 %, Newcombe 95 %, MN 90 %, z at −5 points. Newcombe 1998; Perondi, in
# Fagerland, Lydersen and Laake 2015; SnapFlow, Drift-VLA and Reflex are claims of today.
INDEPENDENT = [
    (
        (56, 70, 48, 80),
        (0.052830, 0.338173),
        (0.053334, 0.337729),
        (0.052431, 0.333873),
        (0.077020, 0.316667),
        3.281099,
    ),
    (
        (7, 34, 1, 34),
        (0.027042, 0.345291),
        (0.028371, 0.343940),
        (0.018921, 0.340369),
        (0.054663, 0.316014),
        2.716401,
    ),
    (
        (395, 400, 391, 400),
        (-0.009271, 0.031214),
        (-0.009257, 0.031198),
        (-0.009557, 0.030960),
        (-0.005758, 0.027228),
        4.519400,
    ),
    (
        (541, 600, 528, 600),
        (-0.013765, 0.057380),
        (-0.013750, 0.057365),
        (-0.013785, 0.057225),
        (-0.008015, 0.051550),
        3.887731,
    ),
    (
        (29, 30, 28, 30),
        (-0.110654, 0.186773),
        (-0.108979, 0.185105),
        (-0.108476, 0.182445),
        (-0.079792, 0.155645),
        1.304458,
    ),
    (
        (400, 400, 400, 400),
        (-0.009524, 0.009524),
        (-0.009512, 0.009512),
        (-0.009512, 0.009512),
        (-0.006727, 0.006727),
        4.585446,
    ),
]


@pytest.mark.parametrize(("counts", "mn95", "mee95", "newcombe95", "mn90", "z"), INDEPENDENT)
def test_independent_intervals(counts, mn95, mee95, newcombe95, mn90, z):
    """Miettinen–Nurminen, with and without N/(N − 1), and Newcombe, to the last printed digit."""
    interval = stats.miettinen_nurminen_interval
    assert interval(*counts) == pytest.approx(mn95, abs=1e-6)
    assert interval(*counts, corrected=False) == pytest.approx(mee95, abs=1e-6)
    assert interval(*counts, alpha=0.10) == pytest.approx(mn90, abs=1e-6)
    assert newcombe_interval(*counts) == pytest.approx(newcombe95, abs=1e-6)
    assert stats.miettinen_nurminen_z(*counts, -0.05) == pytest.approx(z, abs=1e-6)


# table; Newcombe's method 10 and Bonett–Price, 95 %.
CROSS_CHECKS = [
    ((4, 9, 3, 16), (-0.027348, 0.380672), (-0.030904, 0.383845)),
    ((43, 0, 1, 0), (-0.118077, 0.059718), (-0.095270, 0.051792)),
    ((1, 1, 7, 12), (-0.506920, -0.025559), (-0.508359, -0.013380)),
    ((59, 6, 16, 80), (-0.118621, -0.004625), (-0.119499, -0.003201)),
    ((53, 16, 8, 9), (-0.020104, 0.203916), (-0.021058, 0.202876)),
    ((8, 3, 1, 2), (-0.157437, 0.413639), (-0.168739, 0.418739)),
    ((386, 9, 5, 0), (-0.009709, 0.031074), (-0.009528, 0.029428)),
    ((30, 0, 0, 0), (-0.113513, 0.113513), (-0.086619, 0.086619)),
]


@pytest.mark.parametrize(("table", "newcombe", "bonett_price"), CROSS_CHECKS)
def test_cross_checks_of_tango(table, newcombe, bonett_price):
    """The simpler paired intervals reproduce published tables too."""
    paired = PairedTable(*table)
    assert newcombe_paired_interval(paired) == pytest.approx(newcombe, abs=1e-6)
    assert bonett_price_interval(paired) == pytest.approx(bonett_price, abs=1e-6)


# n10, n01, n, margin; Tango's p, exact p.
GUARD = [
    (0, 1, 44, 0.10, 0.04377, 0.05711),
    (9, 5, 400, 0.02, 0.00278, 0.00296),
    (9, 13, 400, 0.05, 0.00192, 0.00217),
    (2, 1, 30, 0.10, 0.03371, 0.03796),
    (1, 0, 30, 0.10, 0.01751, 0.01814),
    (1, 0, 30, 0.05, 0.05238, 0.05991),
    (1, 2, 30, 0.10, 0.15832, 0.19953),
    (72, 59, 600, 0.02, 0.01494, 0.01538),
    (0, 0, 52, 0.05, 0.04903, 0.06944),
    (0, 0, 59, 0.05, 0.03902, 0.04849),
]


@pytest.mark.parametrize(("n10", "n01", "n", "margin", "asymptotic", "exact"), GUARD)
def test_p_values_of_noninferiority(n10, n01, n, margin, asymptotic, exact):
    """Tango's and the exact unconditional p-value, to the last printed digit."""
    assert stats.tango_p_noninferior(n10, n01, n, margin=margin) == pytest.approx(
        asymptotic, abs=5.1e-6
    )
    assert stats.exact_p_noninferior(n10, n01, n, margin=margin) == pytest.approx(exact, abs=5.1e-6)


SINGLE = [
    (15, 148, 0.0624, 0.1605),
    (0, 20, 0.0, 0.1611),
    (1, 29, 0.0061, 0.1718),
    (29, 30, 0.8333, 0.9941),
    (395, 400, 0.9711, 0.9946),
    (400, 400, 0.9905, 1.0),
]


@pytest.mark.parametrize(("successes", "n", "low", "high"), SINGLE)
def test_intervals_of_one_rate(successes, n, low, high):
    """Newcombe 1998 and Brown, Cai and DasGupta 2001, to the last printed digit."""
    assert stats.wilson_interval(successes, n) == pytest.approx((low, high), abs=5.1e-5)


@pytest.mark.parametrize("alpha", [0.05, 0.1, 0.05 / 3])
def test_wilson_is_that_of_statsmodels_to_the_last_bit(alpha):
    """At all counts up to 60, and at counts that are divided by a variance inflation factor."""
    cases = [
        (k / scale, n / scale) for n in range(1, 61) for k in range(n + 1) for scale in (1, 1.7)
    ]
    for successes, n in cases:
        theirs = proportion_confint(successes, n, alpha=alpha, method="wilson")
        assert stats.wilson_interval(successes, n, alpha=alpha) == theirs


# Claims as published, at 5 and at 10 points: SnapFlow (arXiv 2604.05656) and its naive student,
# Reflex, Drift-VLA, a one-step MeanFlow VLA (arXiv 2603.01469), pi0.5 with drift; see docs/audit.md.
AUDIT = [
    ((395, 400, 391, 400), "equivalent", "equivalent"),
    ((387, 400, 391, 400), "equivalent", "equivalent"),
    ((29, 30, 28, 30), "inconclusive", "non-inferior"),
    ((28, 30, 29, 30), "inconclusive", "inconclusive"),
    ((541, 600, 528, 600), "non-inferior", "equivalent"),
    ((64, 100, 81.5, 100), "inferior", "inconclusive"),
    ((82, 100, 85.5, 100), "inconclusive", "inconclusive"),
    ((88, 100, 86.5, 100), "inconclusive", "equivalent"),
    ((5778, 6000, 5586, 6000), "superior", "superior"),
]


@pytest.mark.parametrize(("counts", "at5", "at10"), AUDIT)
def test_verdicts_on_published_claims(counts, at5, at10):
    """The audit's verdicts, from marginal counts."""
    assert stats.judge_independent(*counts, margin=0.05).verdict == at5
    assert stats.judge_independent(*counts, margin=0.10).verdict == at10


def test_the_strict_level_refuses_what_the_default_grants():
    """29/30 against 28/30 is non-inferior at 10 points at 5 %, and not at 2.5 %."""
    judge = stats.judge_independent
    assert judge(29, 30, 28, 30, margin=0.10, alpha=0.05).noninferior
    assert not judge(29, 30, 28, 30, margin=0.10, alpha=0.025).noninferior


def test_the_exact_guard_overrules_tango():
    """Tango 1998's lenses at 10 points: asymptotically non-inferior, exactly not."""
    lenses = PairedTable(43, 0, 1, 0)
    assert stats.tango_p_noninferior(0, 1, 44, margin=0.10) < 0.05
    assert stats.judge_paired(lenses, margin=0.10).verdict is Verdict.INCONCLUSIVE


def test_a_difference_can_be_real_and_within_the_margin():
    """Worse is said beside equivalent; superior beside equivalent; inferior stands alone."""
    worse = stats.judge_paired(PairedTable(950, 5, 25, 20), margin=0.05)
    assert (worse.verdict, worse.also) == (Verdict.EQUIVALENT, (Verdict.WORSE,))
    better = stats.judge_paired(PairedTable(950, 25, 5, 20), margin=0.05)
    assert (better.verdict, better.also) == (Verdict.SUPERIOR, (Verdict.EQUIVALENT,))
    inferior = stats.judge_paired(PairedTable(50, 5, 40, 5), margin=0.05)
    assert (inferior.verdict, inferior.also) == (Verdict.INFERIOR, ())


def test_every_verdict_and_flag_has_a_sentence():
    """Closed sets whose members explain themselves."""
    for member in (*Verdict, *stats.Flag):
        assert member.sentence.endswith(".")
        assert member == member.value


def test_stratified_by_task():
    """MeanFlow's three tasks with equal weights (arXiv 2603.01469); scores, hence not whole."""
    tasks = [(88, 100, 86.5, 100), (64, 100, 81.5, 100), (82, 100, 85.5, 100)]
    interval = stats.stratified_independent_interval
    assert interval(tasks, alpha=0.10) == pytest.approx((-0.1175, -0.0131), abs=5.1e-5)
    assert interval(tasks) == pytest.approx((-0.1277, -0.0032), abs=5.1e-5)


@pytest.mark.parametrize("top", [0.5, 0.45, 0.2])
def test_no_peak_hides_between_the_points_of_the_nuisance_grid(top):
    """From 0 to the top in steps of a 200th at most, and finer towards 0, where peaks are narrow."""
    grid = nuisance_grid(top)
    assert (grid[0], grid[-1]) == (0.0, pytest.approx(top))
    steps = np.diff(grid)
    assert np.all(steps >= 0)
    assert steps.max() <= top / 200 * (1 + 1e-9)
    small = grid[(grid > 0) & (grid < top / 100)]
    assert small[0] == pytest.approx(1e-5)
    assert np.max(small[1:] / small[:-1]) < 1.06


def test_the_largest_value_is_found_between_the_points():
    """A narrow peak beside a lower and broader one, at a place that is on no grid."""

    def curve(q):
        return 0.3 * np.exp(-(((q - 0.1) / 0.05) ** 2)) + np.exp(-(((q - 0.31234) / 0.001) ** 2))

    assert largest_on(curve, nuisance_grid(0.45)) == pytest.approx(1.0, abs=3e-3)
    assert largest_on(lambda q: q, nuisance_grid(0.45)) == pytest.approx(0.45)
    assert largest_on(lambda q: 0.45 - q, nuisance_grid(0.45)) == pytest.approx(0.45)


@pytest.mark.parametrize("counts", [(40, 50, 31, 45), (12, 40, 50, 60), (57, 60, 20, 30)])
def test_a_ratio_of_failure_rates_is_the_score_test_inverted(counts):
    """At each limit the statistic is its quantile, with the rates that are most likely under that ratio."""
    x1, n1, x2, n2 = counts
    f1, f2, n = n1 - x1, n2 - x2, n1 + n2

    def score(ratio: float) -> float:
        def against(q: float) -> float:
            return -(
                xlogy(f1, ratio * q) + xlogy(x1, 1 - ratio * q) + xlogy(f2, q) + xlogy(x2, 1 - q)
            )

        top = min(1.0, 1 / ratio)
        q2 = minimize_scalar(against, bounds=(0, top), method="bounded", options={"xatol": 1e-10}).x
        q1 = ratio * q2
        variance = (q1 * (1 - q1) / n1 + ratio**2 * q2 * (1 - q2) / n2) * n / (n - 1)
        return (f1 / n1 - ratio * f2 / n2) / np.sqrt(variance)

    low, high = stats.failure_ratio_independent(*counts, alpha=0.1)
    assert low < f1 / n1 / (f2 / n2) < high
    assert score(low) == pytest.approx(norm.ppf(0.95), abs=1e-5)
    assert score(high) == pytest.approx(-norm.ppf(0.95), abs=1e-5)


def test_a_ratio_without_failures_of_an_arm():
    """0 is its lower limit without failures of the candidate, and there is no upper one without the others'."""
    assert stats.failure_ratio_independent(30, 30, 25, 30)[0] == 0.0
    assert 0 < stats.failure_ratio_independent(30, 30, 25, 30)[1] < 1
    low, high = stats.failure_ratio_independent(25, 30, 30, 30)
    assert 1 < low < high == np.inf


def test_phi_and_differences_of_a_table_with_four_cells():
    """The correlation of two columns of ones and zeros; none if a column is constant."""
    table = PairedTable(n11=24, n10=7, n01=5, n00=10)
    ours = np.repeat([1, 1, 0, 0], [24, 7, 5, 10])
    theirs = np.repeat([1, 0, 1, 0], [24, 7, 5, 10])
    assert table.correlation == pytest.approx(np.corrcoef(ours, theirs)[0, 1])
    assert (table.difference, table.discordance) == (pytest.approx(2 / 46), pytest.approx(12 / 46))
    assert PairedTable(3, 2, 0, 0).correlation is None
    assert PairedTable(0, 0, 2, 3).correlation is None
    assert PairedTable(3, 0, 2, 0).correlation is None
