"""Statistics at their edges: certain tables, ties, defaults of 5 %, and the ends of searches."""

from __future__ import annotations

import math
from decimal import Decimal, getcontext
from statistics import NormalDist

import numpy as np
import pytest
from scipy.special import stdtrit

from vla_eval import stats
from vla_eval.stats import MeanDifferences, PairedCase, PairedTable, SequentialPlan
from vla_eval.stats.cluster_power import most_losses
from vla_eval.stats.exact import largest_losses, rejection_probability, worst_rejection_probability
from vla_eval.stats.independent import stratified_independent_z
from vla_eval.stats.mean_power import power_of_means
from vla_eval.stats.operating import guarded_bounds
from vla_eval.stats.paired import tango_scores, tango_z
from vla_eval.stats.power import power_independent
from vla_eval.stats.recipes import SeedsOnStates
from vla_eval.stats.resizing import ResizeRule, _worst, critical_score
from vla_eval.stats.sequential import obrien_fleming_bound


@pytest.mark.parametrize("delta", [-1.0, 1.0])
def test_a_score_that_is_certain_is_infinite(delta):
    """A difference of one can be seen only if every pair shows it: then the score is 0."""
    expected = -delta * math.inf
    assert tango_z(5, 2, 10, delta) == float(tango_scores(5, 2, 10, delta)) == expected
    every = (10, 0) if delta > 0 else (0, 10)
    assert tango_z(*every, 10, delta) == float(tango_scores(*every, 10, delta)) == 0.0


def test_few_losses_of_a_million_pairs_keep_their_digits():
    """Tango's score by arithmetic of fifty digits; one form of the root would lose half of sixteen."""
    getcontext().prec = 50
    for n10, n01, n, delta in ((0, 1, 10**6, 0.1), (3, 2, 10**6, 0.3), (2, 3, 10**6, -0.2)):
        d, a = Decimal(delta), Decimal(2 * n)
        b = -n10 - n01 + (a - n10 + n01) * d
        q = ((b * b + 4 * a * n01 * d * (1 - d)).sqrt() - b) / (2 * a)
        z = (n10 - n01 - n * d) / (n * (2 * q + d * (1 - d))).sqrt()
        assert tango_z(n10, n01, n, delta) == pytest.approx(float(z), rel=1e-14)


@pytest.mark.parametrize("counts", [(-1, 3, 10), (3, -1, 10), (6, 5, 10), (0, 0, 0)])
def test_impossible_counts_have_no_interval(counts):
    """Each fault alone."""
    with pytest.raises(ValueError, match="cannot be"):
        stats.tango_interval(*counts)


def test_strata_without_pairs_are_refused():
    """No strata, or one without pairs among others."""
    for strata in ([], [PairedTable(3, 1, 2, 4), PairedTable(0, 0, 0, 0)]):
        with pytest.raises(ValueError, match="strat"):
            stats.stratified_paired_interval(strata)


def test_strata_in_which_nothing_varies():
    """All succeed in both arms: 0 speaks neither for nor against no difference, and against any other."""
    strata = [(10, 10, 8, 8), (5, 5, 9, 9)]
    assert stratified_independent_z(strata, 0.0) == 0.0


@pytest.mark.parametrize(("n10", "n01"), [(1, 1), (2, 2), (3, 3), (2, 4), (0, 3)])
def test_the_mid_p_value(n10, n01):
    """Half of the table's own probability, in both tails; with equal counts the tails share the middle."""
    total = n10 + n01
    chances = [math.comb(total, k) / 2**total for k in range(total + 1)]
    lower = sum(chances[: min(n10, n01)]) + chances[min(n10, n01)] / 2
    expected = 1 - chances[n10] / 2 if n10 == n01 else 2 * lower
    found = stats.mcnemar_p(PairedTable(5, n10, n01, 5), method="mid")
    assert found == pytest.approx(expected)


def test_five_percent_where_nothing_else_is_said():
    """Plans, bounds, tests and planning are one-sided at 5 %; mean differences are bet on alone."""
    plan = SequentialPlan((40, 80), 0.1)
    assert plan == SequentialPlan((40, 80), 0.1, alpha=0.05)
    assert obrien_fleming_bound((0.5, 1.0)) == obrien_fleming_bound((0.5, 1.0), alpha=0.05)
    case = PairedCase(0.9, 0.0, 0.3)
    assert stats.smallest_margin(200, case) == stats.smallest_margin(200, case, alpha=0.05)
    assert MeanDifferences(np.array([1.0, -1.0, 0.0]), np.full(3, 1 / 3)).exact is False


@pytest.mark.parametrize("guard", [False, True])
def test_the_smallest_margin_has_the_power_and_the_next_one_has_not(guard):
    """To half a thousandth, with the exact test and without."""
    case, levels = PairedCase(0.9, 0.0, 0.3), {"alpha": 0.05, "guard": guard}
    margin = stats.smallest_margin(120, case, power=0.8, **levels)
    assert stats.power_paired(120, case, margin=margin, **levels) >= 0.8
    assert stats.power_paired(120, case, margin=margin - 0.0005, **levels) < 0.8


def test_guarded_bounds_are_the_scores_from_which_both_tests_pass():
    """At each look for its own size and level; just below it the exact test fails, or Tango's does."""
    plan = SequentialPlan((40, 80), 0.2)
    for bound, size, level in zip(guarded_bounds(plan), plan.sizes, plan.levels, strict=True):
        above = largest_losses(bound, size, delta=-0.2)
        assert worst_rejection_probability(above, 0.2) <= level
        nominal = NormalDist().inv_cdf(1 - level)
        below = largest_losses(bound - 1e-3, size, delta=-0.2)
        assert bound >= nominal
        assert worst_rejection_probability(below, 0.2) > level or bound == pytest.approx(nominal)


def test_arms_that_never_vary_score_zero_or_are_certain():
    """Without variance a difference is the one that is asked about, or infinitely far from it."""
    assert stats.miettinen_nurminen_z(5, 5, 3, 3, 0.0) == 0.0
    assert stats.miettinen_nurminen_z(0, 5, 0, 3, 0.0) == 0.0
    assert stats.miettinen_nurminen_z(5, 5, 0, 3, 1.0) == 0.0


def test_power_of_two_arms_is_a_sum_over_their_tables():
    """Twelve episodes an arm: the candidate's rate and the reference's are not exchanged, ties pass."""
    n, ours, theirs, margin, alpha = 12, 0.9, 0.7, 0.2, 0.1
    power = 0.0
    for x1 in range(n + 1):
        for x2 in range(n + 1):
            z = stats.miettinen_nurminen_z(x1, n, x2, n, -margin)
            chance = math.comb(n, x1) * ours**x1 * (1 - ours) ** (n - x1)
            chance *= math.comb(n, x2) * theirs**x2 * (1 - theirs) ** (n - x2)
            power += chance * (z >= 1.2815515655446004)
    assert power_independent(n, ours, theirs, margin=margin, alpha=alpha) == pytest.approx(power)
    needed = stats.episodes_per_arm(0.8, 0.85, margin=0.2, power=0.7)
    assert power_independent(needed, 0.8, 0.85, margin=0.2) >= 0.7
    assert power_independent(needed - 1, 0.8, 0.85, margin=0.2) < 0.7


def test_recipes_that_never_vary_are_certain():
    """Every seed succeeds in every state: a difference of 0 is above what is below it, and nothing else."""
    ones = np.ones((3, 10))
    data = SeedsOnStates(ones, ones, np.zeros(10, dtype=np.int64), paired=True)
    assert [data.t_p_above(delta) for delta in (-0.1, 0.0, 0.1)] == [0.0, 1.0, 1.0]


def test_power_of_scores_counts_whole_wins():
    """The exact test of won and lost states is a part of the power, and here nearly all of it."""
    units = [1.0] * 4 + [-1.0] + [0.0] * 5
    states, margin, alpha = 30, 0.1, 0.05
    losses = most_losses(states, margin, alpha / 2)
    exact = float(rejection_probability(losses, 0.4, 0.1)[0])
    found = power_of_means(units, states, margin=margin, alpha=alpha, exact=True)
    bets = power_of_means(units, states, margin=margin, alpha=alpha / 2)
    assert bets < exact - 0.05
    assert exact - 0.05 < found < exact + 0.1


@pytest.mark.parametrize("margin", [0.2, 0.3])
def test_the_critical_score_of_a_resized_run(margin):
    """From it on the worst chance of a certificate is at most alpha, and not from a tenth before it on."""
    rule = ResizeRule(10, 15, 30, margin)
    score = critical_score(rule, margin, 0.05)
    assert _worst(rule, score, -margin) <= 0.05
    nominal = 1.6448536269514722
    assert score == pytest.approx(nominal) or _worst(rule, score - 2e-3, -margin) > 0.05


def test_q_of_tasks_and_the_interval_of_further_tasks():
    """Cochran's Q with a won and a lost state added to each task; Student's t with the mean of the noise."""
    tasks = [
        np.array([1.0, 0.0, 0.0, -1.0, 1.0]),
        np.array([0.0, -1.0, 0.5]),
        np.array([0.0, 0.25]),
    ]
    n = np.array([5, 3, 2])
    means = np.array([each.mean() for each in tasks])
    extended = [np.append(each, [1.0, -1.0]) for each in tasks]
    noise = np.array([each.var() for each in extended]) / (n + 2)
    centre = np.sum(means / noise) / np.sum(1 / noise)
    assert stats.tasks_agree(tasks, seed=1).q == pytest.approx(
        np.sum((means - centre) ** 2 / noise)
    )
    found = stats.further_tasks(tasks, alpha=0.1)
    assert found.difference == pytest.approx(means.mean())
    assert means.var(ddof=1) < noise.mean()
    half = stdtrit(2, 0.95) * math.sqrt(noise.mean() / 3)
    assert found.interval == pytest.approx((max(-1.0, means.mean() - half), means.mean() + half))
    assert found.spread == 0.0
