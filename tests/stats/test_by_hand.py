"""Statistics of small tables by their formulas, with numbers that all differ; and each refusal alone."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats as scipy_stats

from vla_eval import stats
from vla_eval.stats import Checkpoints, ClusteredPairs, ClusteredRate, PairedCase, PairedTable
from vla_eval.stats.audit import Spread, pairing_envelope, spread_kind
from vla_eval.stats.bounded import SHARES, bet_interval, bet_p_above, log_wealth
from vla_eval.stats.clusters import CLUSTER_TESTS
from vla_eval.stats.means import MeanDifferences, latency_ratio
from vla_eval.stats.multiplicity import attempt_alpha, compact_letters, fixed_sequence
from vla_eval.stats.recipes import RecipeVariance, SeedsOnStates, recipe_df
from vla_eval.stats.resizing import ResizeRule
from vla_eval.stats.seeds import SeedInference, compare_methods, noise_floor, rerun_sd


@pytest.mark.parametrize(
    ("rate", "spread", "kind"),
    [
        (0.8, 0.04, Spread.SE),
        (0.8, 0.0439, Spread.SE),
        (0.8, 0.0441, Spread.UNKNOWN),
        (0.8, 0.0361, Spread.SE),
        (0.8, 0.0359, Spread.UNKNOWN),
        (0.8, 0.0784, Spread.CI95),
        (0.8, 0.4, Spread.SD),
        (1.0, 0.01, Spread.UNKNOWN),
        (0.0, 0.0, Spread.UNKNOWN),
    ],
)
def test_what_a_printed_spread_is(rate, spread, kind):
    """Of 100 episodes, within a tenth of the binomial's; a rate of 0 or 1 has none."""
    assert spread_kind(rate, spread, 100) is kind


def test_extreme_pairings():
    """14 and 17 of 20: of 6 and 3 failures 3 are common at most, and none at least."""
    found = pairing_envelope(14, 17, 20)
    assert found.nested == PairedTable(14, 0, 3, 3)
    assert found.disjoint == PairedTable(11, 3, 6, 0)
    assert pairing_envelope(2, 4, 10).disjoint == PairedTable(0, 2, 4, 4)
    for counts in ((-1, 1, 5), (6, 1, 5), (1, -1, 5), (1, 6, 5), (0, 0, 0)):
        with pytest.raises(ValueError, match="no success rates"):
            pairing_envelope(*counts)


PAIRS = ClusteredPairs(*np.array([(3, 2, 0), (2, 0, 1), (4, 1, 1), (1, 0, 1)]).T)


def test_clustered_pairs():
    """Difference, robust error and inflation of four states with 10 pairs."""
    assert (PAIRS.n, PAIRS.difference, PAIRS.equal) == (10, pytest.approx(0.0), False)
    residuals = np.array([2, -1, 0, -1]) - np.array([3, 2, 4, 1]) * 0.0
    assert PAIRS.standard_error == pytest.approx(math.sqrt(4 / 3 * (residuals @ residuals)) / 10)
    more = np.array([2, -1, 0, -1, 2, -2]), np.array([3, 2, 4, 1, 2, 2])
    delta = more[0].sum() / 14
    robust = 6 / 5 * np.sum((more[0] - more[1] * delta) ** 2)
    independent = 14 * ((3 + 3 + 4) / 14 - delta**2)
    assert PAIRS.vif == pytest.approx(robust / independent)
    assert PAIRS.swapped().wins.tolist() == [0, 1, 1, 1]
    one = ClusteredPairs(*np.array([(3, 2, 0)]).T)
    assert one.standard_error == math.inf
    assert PAIRS.p_different() == min(1.0, 2 * min(PAIRS.p_above(0.0), PAIRS.p_below(0.0)))
    none = np.zeros(12, dtype=np.int64)
    won = ClusteredPairs(none + 2, none + 2, none)
    for test in CLUSTER_TESTS:
        p_above = won.p_above(0.0, test=test)
        assert 0 < p_above < 0.02
        assert won.p_different(test=test) == pytest.approx(2 * p_above)
        assert won.swapped().p_different(test=test) == won.p_different(test=test)


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        (([2, 2], [1], [0, 0]), "one length"),
        (([2, 2], [1, 0], [0]), "one length"),
        (([], [], []), "at least 1"),
        (([[2]], [[1]], [[0]]), "vectors"),
        (([2, 2], [-1, 0], [0, 0]), "negative"),
        (([2, 2], [0, 0], [0, -1]), "negative"),
        (([2, 0], [0, 0], [0, 0]), "without pairs"),
        (([2, 2], [1, 2], [1, 1]), "more discordant"),
    ],
)
def test_clusters_that_cannot_be(columns, message):
    """Each fault alone; all pairs of a state may be discordant."""
    ClusteredPairs(np.array([2, 1]), np.array([1, 0]), np.array([1, 1]))
    with pytest.raises(ValueError, match=message):
        ClusteredPairs(*(np.array(column, dtype=np.int64) for column in columns))


def test_a_clustered_rate():
    """8 of 10 in four states: the inflation by its formula, with one sure state of each kind added."""
    data = ClusteredRate(np.array([3, 2, 4, 1]), np.array([3, 1, 4, 0]))
    episodes, won = np.array([3, 2, 4, 1, 2, 2]), np.array([3, 1, 4, 0, 2, 0])
    p = 10 / 14
    vif = 6 / 5 * np.sum((won - episodes * p) ** 2) / (14 * p * (1 - p))
    assert (data.n, data.rate, data.vif) == (10, 0.8, pytest.approx(vif))
    assert data.effective == (pytest.approx(8 / vif), pytest.approx(10 / vif))
    assert data.interval(alpha=0.2) == stats.wilson_interval(8 / vif, 10 / vif, alpha=0.2)
    alike = ClusteredRate(np.full(10, 2), np.ones(10, dtype=np.int64))
    assert (alike.vif, alike.effective) == (1.0, (10.0, 20.0))
    for bad in (([2, 2], [1]), ([], []), ([0], [0]), ([1], [-1]), ([1], [2])):
        with pytest.raises(ValueError, match=r"vectors|cluster"):
            ClusteredRate(*(np.array(column, dtype=np.int64) for column in bad))


STUDENTS = Checkpoints.of([[18, 30], [14, 36], [16, 27]], [20, 40])
TEACHERS = Checkpoints.of([[19, 38], [15, 31]], [[20, 40], [20, 40]])


def variances(successes, episodes) -> np.ndarray:
    rates = np.array(successes) / episodes
    return (rates * (1 - rates) / (np.array(episodes) - 1)).sum(1) / 4


def test_checkpoints_of_two_tasks():
    """Tasks weigh the same; the binomial's variance is summed over them."""
    means = np.array([(0.9 + 0.75) / 2, (0.7 + 0.9) / 2, (0.8 + 0.675) / 2])
    assert STUDENTS.means.tolist() == pytest.approx(means.tolist())
    within = variances([[18, 30], [14, 36], [16, 27]], [20, 40])
    assert STUDENTS.binomial_variances.tolist() == pytest.approx(within.tolist())
    sure = Checkpoints.of([[20, 40]], [20, 40])
    rates = np.array([20.5 / 21, 40.5 / 41])
    expected = (rates * (1 - rates) / np.array([19, 39])).sum() / 4
    assert sure.binomial_variances.tolist() == pytest.approx([expected])
    half_sure = Checkpoints.of([[20, 30]], [20, 40])
    assert half_sure.binomial_variances.tolist() == pytest.approx([0.75 * 0.25 / 39 / 4])
    never = Checkpoints.of([[0]], [2])
    assert never.binomial_variances.tolist() == pytest.approx([(0.5 / 3) * (2.5 / 3)])


@pytest.mark.parametrize("counts", [([1], 1), ([-1], 5), ([6], 5)])
def test_checkpoints_that_cannot_be(counts):
    """One episode, fewer than none, more than all; two episodes will do."""
    assert Checkpoints.of([2], 2).k == 1
    with pytest.raises(ValueError, match="two episodes"):
        Checkpoints.of(*counts)


def test_recipes_by_students_t():
    """Pooled, frozen and distilled: errors and degrees of freedom, with the binomial's floor or without."""
    ours, theirs = STUDENTS.means, TEACHERS.means
    spread = ours.var(ddof=1) * 2 + theirs.var(ddof=1)
    pooled = compare_methods(STUDENTS, TEACHERS, floor=False)
    assert pooled.difference == pytest.approx(ours.mean() - theirs.mean())
    assert pooled.standard_error == pytest.approx(math.sqrt(spread / 3 * (1 / 3 + 1 / 2)))
    assert pooled.df == 3
    floor = np.concatenate([STUDENTS.binomial_variances, TEACHERS.binomial_variances]).mean()
    assert compare_methods(STUDENTS, TEACHERS).standard_error == pytest.approx(
        math.sqrt(max(spread / 3, floor) * (1 / 3 + 1 / 2))
    )
    frozen = Checkpoints.of([[19, 38]], [20, 40])
    found = stats.compare_with_frozen(STUDENTS, frozen, floor=False)
    between, own = ours.var(ddof=1) / 3, frozen.binomial_variances[0]
    assert found.standard_error == pytest.approx(math.sqrt(between + own))
    assert found.df == pytest.approx((between + own) ** 2 / (between**2 / 2))
    three = Checkpoints.of([[19, 38], [15, 31], [12, 39]], [20, 40])
    paired = stats.compare_distilled(STUDENTS, three, floor=False)
    gaps = ours - three.means
    assert paired.standard_error == pytest.approx(gaps.std(ddof=1) / math.sqrt(3))
    assert (paired.df, paired.difference) == (2, pytest.approx(gaps.mean()))
    floor = STUDENTS.binomial_variances.mean() + three.binomial_variances.mean()
    assert stats.compare_distilled(STUDENTS, three).standard_error == pytest.approx(
        math.sqrt(max(gaps.var(ddof=1), floor) / 3)
    )
    for refused in (
        lambda: compare_methods(frozen, frozen),
        lambda: stats.compare_with_frozen(frozen, frozen),
        lambda: stats.compare_with_frozen(STUDENTS, TEACHERS),
        lambda: stats.compare_distilled(STUDENTS, TEACHERS),
        lambda: stats.compare_distilled(frozen, frozen),
        lambda: noise_floor(frozen),
    ):
        with pytest.raises(ValueError, match=r"checkpoint|teachers"):
            refused()
    assert compare_methods(TEACHERS, frozen).df == 1


def test_a_difference_of_seeds():
    """Interval and p-value by Student's t; without any spread the difference decides."""
    found = SeedInference(-0.02, 0.03, 4)
    assert found.interval(alpha=0.1) == pytest.approx(scipy_stats.t.interval(0.9, 4, -0.02, 0.03))
    assert found.p_noninferior(margin=0.05) == pytest.approx(scipy_stats.t.sf(0.03 / 0.03, 4))
    sure = SeedInference(-0.125, 0.0, 4)
    assert sure.p_noninferior(margin=0.126) == 0.0
    assert sure.p_noninferior(margin=0.125) == 1.0


def test_the_noise_floor():
    """SD of the means with its χ² interval, what the episodes explain, and what is left."""
    found = noise_floor(STUDENTS, alpha=0.2)
    variance, binomial = STUDENTS.means.var(ddof=1), STUDENTS.binomial_variances.mean()
    assert found.sd == pytest.approx(math.sqrt(variance))
    assert found.binomial_sd == pytest.approx(math.sqrt(binomial))
    assert found.training_sd == pytest.approx(math.sqrt(max(0, variance - binomial)))
    limits = [math.sqrt(2 * variance / scipy_stats.chi2.isf(p, 2)) for p in (0.1, 0.9)]
    assert list(found.sd_interval) == pytest.approx(limits)
    apart = noise_floor(Checkpoints.of([190, 100], 200))
    assert apart.training_sd**2 == pytest.approx(apart.sd**2 - apart.binomial_sd**2)
    assert rerun_sd([0.5, 0.9, 1.0]) == pytest.approx(math.sqrt((0.25 + 0.09) / 3 / 3))


def test_the_parts_of_a_recipe_s_variance():
    """V = max(Q, S + max(0, Q − O)); what training adds is S − O."""
    for q, s, o, total, training in (
        (0.3, 0.2, 0.1, 0.4, 0.1),
        (0.3, 0.2, 0.25, 0.3, 0.0),
        (0.1, 0.2, 0.15, 0.2, 0.05),
    ):
        found = RecipeVariance(q, s, o, 3)
        assert (found.total, found.training) == (pytest.approx(total), pytest.approx(training))
    assert recipe_df([(0.3, 3), (0.1, 5)]) == pytest.approx(0.16 / (0.09 / 2 + 0.01 / 4))


def test_seeds_on_states_of_two_tasks():
    """Weights, difference, and the variance over states within tasks, for unequal tasks."""
    tasks = np.array([0, 0, 0, 1, 1])
    ours = np.array([[1.0, 0.5, 0.0, 1.0, 0.0], [1.0, 1.0, 0.5, 0.0, 0.5]])
    theirs = np.array([[0.5, 1.0, 1.0, 1.0, 1.0], [0.0, 1.0, 0.5, 1.0, 0.0]])
    data = SeedsOnStates(ours, theirs, tasks)
    assert data.weights.tolist() == pytest.approx([1 / 6] * 3 + [1 / 4] * 2)
    gaps = ours.mean(0) - theirs.mean(0)
    assert data.difference == pytest.approx(gaps[:3].mean() / 2 + gaps[3:].mean() / 2)
    states = (gaps[:3].var(ddof=1) / 3 + gaps[3:].var(ddof=1) / 2) / 4
    assert data.variance.states == pytest.approx(states)
    seeds = sum((side @ data.weights).var(ddof=1) / 2 for side in (ours, theirs))
    assert data.variance.seeds == pytest.approx(seeds)
    assert data.variance.df <= 3


def test_bets():
    """Wealth of four portfolios, equal weights or not; the p-value is its inverse."""
    x, v = np.array([0.5, -0.25, 1.0]), np.array([0.2, 0.3, 0.5])
    for weights, shares in ((None, np.ones(3)), (v, v / 0.5)):
        gain = (1 + x) / (1 - 0.1) - 1
        wealth = np.mean([np.prod(1 + f * shares * gain) for f in SHARES])
        assert log_wealth(x, -0.1, weights) == pytest.approx(math.log(wealth))
        assert bet_p_above(x, -0.1, weights) == pytest.approx(min(1.0, 1 / wealth))
    many = np.array([0.0] * 60 + [-1.0] * 3)
    low, high = bet_interval(many, alpha=0.1)
    assert bet_p_above(many, low + 2e-4) > 0.05 >= bet_p_above(many, low - 1e-9)
    assert bet_p_above(-many, -high + 2e-4) > 0.05 >= bet_p_above(-many, -high - 1e-9)


def test_means_of_units():
    """Weighted mean and spread; the exact test joins only where weights are equal."""
    units, weights = np.array([0.5, -1.0, 1.0]), np.array([0.2, 0.3, 0.5])
    data = MeanDifferences(units, weights)
    assert data.difference == pytest.approx(0.1 - 0.3 + 0.5)
    assert data.spread == pytest.approx(math.sqrt(weights @ (units - 0.3) ** 2))
    assert data.p_below(0.4) == bet_p_above(-units, -0.4, weights)
    exact = MeanDifferences.of([0.5, -1.0, 1.0, 1.0, -0.2] * 8, exact=True)
    both = exact.p_above(-0.6)
    own = stats.exact_p_above(16, 16, 40, delta=-0.6)
    bets = bet_p_above(exact.units, -0.6, exact.weights)
    assert both == min(1.0, 2 * min(own, bets))
    assert MeanDifferences(units, weights, exact=True).p_above(-0.5) == bet_p_above(
        units, -0.5, weights
    )
    for bad in ([], [1.001], [-1.001], [[0.5]]):
        with pytest.raises(ValueError, match="a vector of differences"):
            MeanDifferences.of(bad)


def test_a_latency_ratio():
    """Student's t on one log ratio for each pair of process runs, at the quantile that is asked for."""
    ours = [[1.0, 2.0, 9.0], [2.0, 3.0, 8.0], [1.5, 2.5, 7.0]]
    theirs = [[3.0, 4.0, 5.0], [5.0, 5.5, 6.0], [4.0, 6.0, 8.0]]
    for quantile in (0.5, 0.9):
        logs = np.log(
            [
                np.quantile(a, quantile) / np.quantile(b, quantile)
                for a, b in zip(ours, theirs, strict=True)
            ]
        )
        found = latency_ratio(ours, theirs, quantile=quantile, alpha=0.1)
        limits = scipy_stats.t.interval(0.9, 2, logs.mean(), logs.std(ddof=1) / math.sqrt(3))
        assert found.ratio == pytest.approx(math.exp(logs.mean()))
        assert found.interval == pytest.approx(tuple(np.exp(limits)))
        assert (found.runs, found.quantile, found.enough) == (3, quantile, False)
    assert latency_ratio(ours * 2, theirs * 2).enough
    assert latency_ratio((ours * 2)[:5], (theirs * 2)[:5]).enough
    for bad in (
        (ours, theirs[:2]),
        (ours[:1], theirs[:1]),
        (ours, [[0.0], [1.0], [1.0]]),
        (ours, [[], [1.0], [1.0]]),
    ):
        with pytest.raises(ValueError, match="process run"):
            latency_ratio(*bad)


def test_levels_of_many_attempts_and_of_an_order():
    """6α/(π²m²) adds up to α; a fixed order ends at the first that is not rejected, and equality rejects."""
    assert attempt_alpha(1, alpha=0.05) == pytest.approx(0.3 / math.pi**2)
    assert attempt_alpha(3, alpha=0.05) == pytest.approx(0.3 / math.pi**2 / 9)
    assert sum(attempt_alpha(m, alpha=0.05) for m in range(1, 20_000)) == pytest.approx(
        0.05, abs=1e-5
    )
    with pytest.raises(ValueError, match="attempt 0"):
        attempt_alpha(0)
    assert [
        fixed_sequence(p, alpha=0.05) for p in ([0.05, 0.04, 0.06, 0.01], [0.051], [], [0.01])
    ] == [2, 0, 0, 1]
    letters = compact_letters(["a", "b", "c"], [("a", "c")])
    assert letters == {"a": "a", "b": "ab", "c": "b"}
    many = [f"arm{index}" for index in range(30)]
    apart = [(x, y) for index, x in enumerate(many) for y in many[:index]]
    found = compact_letters(many, apart)
    assert (found["arm25"], found["arm26"], found["arm29"]) == ("z", "(27)", "(30)")
    for bad in (("a", "a"), ("a", "x"), ("x", "a")):
        with pytest.raises(ValueError, match="no two of the arms"):
            compact_letters(["a", "b"], [bad])


def test_expected_cases():
    """Chances of discordant pairs from rates and correlation; what cannot be is refused."""
    case = PairedCase(0.8, -0.2, 0.25)
    both = 0.6 * 0.8 + 0.25 * math.sqrt(0.6 * 0.4 * 0.8 * 0.2)
    assert (case.p10, case.p01) == (pytest.approx(0.6 - both), pytest.approx(0.8 - both))
    assert PairedCase(0.8, 0.2).p_candidate == 1.0
    assert PairedCase(0.8, -0.8).p_candidate == 0.0
    for bad in (
        (0.0, 0.0, 0.0),
        (1.0, 0.0, 0.0),
        (0.8, 0.21, 0.0),
        (0.8, -0.81, 0.0),
        (0.8, 0.0, 1.0),
        (0.8, 0.0, -0.1),
    ):
        with pytest.raises(ValueError, match="cannot be"):
            PairedCase(*bad)
    with pytest.raises(ValueError, match="too high"):
        PairedCase(0.9, -0.5, 0.9)


def test_fewest_pairs():
    """One pair fewer does not pass, without a discordant one; by both tests, and by states."""
    for margin in (0.05, 0.1, 0.2, 0.3, 0.4):
        tango, exact = stats.design.minimum_pairs(margin), stats.minimum_pairs_exact(margin)
        assert stats.tango_p_noninferior(0, 0, tango, margin=margin) <= 0.05
        assert stats.tango_p_noninferior(0, 0, tango - 1, margin=margin) > 0.05
        assert stats.exact_p_noninferior(0, 0, exact, margin=margin) <= 0.05
        fewer = exact - 1
        both = (
            stats.tango_p_noninferior(0, 0, fewer, margin=margin),
            stats.exact_p_noninferior(0, 0, fewer, margin=margin),
        )
        assert max(both) > 0.05
    for test in CLUSTER_TESTS:
        fewest = stats.minimum_states(0.3, test=test)
        for states, passes in ((fewest, True), (fewest - 1, False)):
            none = np.zeros(states, dtype=np.int64)
            data = ClusteredPairs(none + 2, none, none)
            assert stats.judge_clustered(data, margin=0.3, test=test).noninferior == passes


@pytest.mark.parametrize(("gained", "margin"), [(-0.03, 0.1), (-0.25, 0.3), (0.15, 0.1)])
def test_pairs_by_formula(gained, margin):
    """Liu, Hsueh, Hsieh and Chen's formula, written out for unequal chances."""
    case, alpha, power = PairedCase(0.8, gained, 0.2), 0.04, 0.85
    p10, p01, d = case.p10, case.p01, -margin
    a, b, c = 2, -p10 - p01 + (2 - p10 + p01) * d, -p01 * d * (1 - d)
    q = (-b + math.sqrt(b * b - 4 * a * c)) / (2 * a)
    z = scipy_stats.norm.ppf
    top = z(1 - alpha) * math.sqrt(2 * q + d * (1 - d)) + z(power) * math.sqrt(
        p10 + p01 - gained**2
    )
    found = stats.pairs_by_formula(case, margin=margin, alpha=alpha, power=power)
    assert found == math.ceil((top / (gained + margin)) ** 2)
    with pytest.raises(ValueError, match="is not within a margin"):
        stats.pairs_by_formula(PairedCase(0.8, -0.1), margin=0.1)


def test_a_rule_of_sizes():
    """Between planned and most, in whole rounds, by the formula at the share that was seen."""
    rule = ResizeRule(20, 40, 100, 0.1, alpha=0.04, power=0.75, step=3)
    for discordant in (0, 4, 9, 20):
        half = discordant / 20 / 2
        case = stats.design.pairs_by_discordance(2 * half, margin=0.1, alpha=0.04, power=0.75)
        assert rule.wanted(discordant) == 3 * math.ceil(case / 3)
        assert rule.size(discordant) == min(100, max(40, rule.wanted(discordant)))
    counts = np.concatenate([each for _, each in rule.stages])
    assert counts.tolist() == list(range(21))
    for bad in ((0, 40, 100), (41, 40, 100), (20, 100, 100)):
        with pytest.raises(ValueError, match="not in order"):
            ResizeRule(*bad, 0.1)
    with pytest.raises(ValueError, match="not in order"):
        ResizeRule(20, 40, 100, 0.1, step=0)
    assert ResizeRule(1, 1, 2, 0.1).stages[0][0] == 1 or ResizeRule(1, 1, 2, 0.1).stages[0][0] == 2
