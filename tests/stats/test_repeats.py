"""Looks, clusters, strata, seeds, bets, letters: oracles and identities."""

from __future__ import annotations

import math

import numpy as np
import pytest
import references
from eprocess import Bets
from hypothesis import given, settings
from hypothesis import strategies as st
from statsmodels.stats.contingency_tables import cochrans_q, mcnemar

from vla_eval import stats
from vla_eval.stats import (
    Checkpoints,
    ClusteredPairs,
    Decision,
    PairedTable,
    SequentialPlan,
    sequential,
    strata,
)

FIFTHS = (0.2, 0.4, 0.6, 0.8, 1.0)

# n, won, lost of each patient: PET against SPECT (Obuchowski 1998, table 3).
THYROID = [
    (3, 0, 2), (3, 0, 1), (3, 0, 0), (1, 0, 0), (3, 0, 1), (4, 0, 0), (3, 0, 0),
    (2, 0, 0), (2, 1, 0), (1, 0, 0), (3, 0, 0), (2, 0, 0), (3, 0, 0), (2, 0, 0),
    (2, 0, 2), (3, 0, 0), (3, 0, 0), (3, 0, 1), (2, 0, 0), (1, 0, 0), (2, 0, 0),
]  # fmt: skip


def clustered(rows) -> ClusteredPairs:
    return ClusteredPairs(*np.array(rows).T)


@pytest.mark.long
def test_obrien_fleming_bounds_are_the_published_ones():
    """At 2.5 % to the last printed digit; at 5 % within the reference's stated grid error, 0.003."""
    strict = sequential.obrien_fleming_bounds(FIFTHS, alpha=0.025)
    assert strict == pytest.approx((4.877, 3.357, 2.680, 2.290, 2.031), abs=5.1e-4)
    default = sequential.obrien_fleming_bounds(FIFTHS, alpha=0.05)
    assert default == pytest.approx((4.232, 2.890, 2.300, 1.964, 1.742), abs=3e-3)


def test_the_first_bound_is_the_error_spent_there():
    """Before any look nothing is conditioned on: a quantile, in closed form."""
    first = sequential.obrien_fleming_bounds(FIFTHS, alpha=0.05)[0]
    spent = sequential.obrien_fleming_spending(0.2, alpha=0.05)
    assert math.erfc(first / math.sqrt(2)) / 2 == pytest.approx(spent, rel=1e-6)
    assert sequential.obrien_fleming_spending(1.0, alpha=0.05) == pytest.approx(0.05, abs=1e-12)
    assert sequential.obrien_fleming_bounds((1.0,), alpha=0.05)[0] == pytest.approx(
        1.644854, abs=1e-6
    )


@pytest.mark.long
@pytest.mark.parametrize("alpha", [1e-6, 1e-4, 0.3, 0.49])
def test_bounds_exist_at_every_level(alpha):
    """Also where the first look may spend next to nothing, as for the twentieth candidate."""
    bounds = sequential.obrien_fleming_bounds(FIFTHS, alpha=alpha)
    assert list(bounds) == sorted(bounds, reverse=True)
    assert math.erfc(bounds[-1] / math.sqrt(2)) / 2 <= alpha


def test_a_sequential_plan_decides_and_reports():
    """Certify, go on, give up, run out; the repeated interval agrees with the decision."""
    plan = SequentialPlan.from_fixed(447, 0.05)
    assert plan.n_max == 460
    assert plan.sizes == (92, 184, 276, 368, 460)
    assert plan.decide(1, 3, 3) is Decision.CONTINUE
    assert plan.decide(2, 1, 0) is Decision.CERTIFY
    assert plan.decide(2, 2, 20) is Decision.FUTILE
    assert plan.decide(1, 2, 20) is Decision.CONTINUE, "not at the first look"
    assert plan.decide(5, 30, 40) is Decision.EXHAUSTED
    for look, n10, n01 in [(2, 1, 0), (3, 5, 9), (5, 30, 40)]:
        certified = plan.decide(look, n10, n01) is Decision.CERTIFY
        assert (plan.interval(look, n10, n01)[0] >= -0.05) == certified
    with pytest.raises(ValueError, match="do not rise"):
        SequentialPlan.even(4, 0.05)


def test_clustered_statistics_are_the_published_ones():
    """Obuchowski's thyroid data: 2.86, 3.13 and 2.32 are printed."""
    data = clustered(THYROID)
    assert (len(data.pairs), data.n) == (21, 51)
    assert references.obuchowski_z(data) ** 2 == pytest.approx(2.8571, abs=5.1e-5)
    assert references.yang_z(data) ** 2 == pytest.approx(3.1317, abs=5.1e-5)
    assert references.durkalski_z(data) ** 2 == pytest.approx(2.3151, abs=5.1e-5)
    assert data.standard_error == pytest.approx(0.06321, abs=5.1e-6)
    assert references.clustered_interval(data, references.obuchowski_z) == pytest.approx(
        (-0.2555, 0.0237), abs=5.1e-5
    )
    assert references.clustered_interval(data, references.yang_z) == pytest.approx(
        (-0.2479, 0.0142), abs=5.1e-5
    )
    assert stats.mcnemar_p(PairedTable(43, 1, 7, 0), method="asymptotic") == pytest.approx(
        math.erfc(math.sqrt(4.5 / 2)), abs=1e-9
    )


def test_copies_of_a_state_count_once():
    """Repeats that are copies change neither p-value nor interval, whichever test is asked."""
    rows = [(1, 1, 0)] * 9 + [(1, 0, 1)] * 5 + [(1, 0, 0)] * 186
    once, copied = clustered(rows), clustered([(3 * n, 3 * b, 3 * c) for n, b, c in rows])
    assert (once.vif, copied.vif) == (1.0, pytest.approx(3, abs=0.05))
    assert copied.interval() == once.interval()
    for test in stats.CLUSTER_TESTS:
        assert copied.p_above(-0.05, test=test) == once.p_above(-0.05, test=test)
    exact = stats.exact_p_noninferior(9, 5, 200, margin=0.05)
    assert once.p_above(-0.05, test="worst-repeat") == exact


def test_no_discordant_pair_is_no_evidence_of_independence():
    """Without a discordant pair the variance inflation is the number of repeats, and states count."""
    silent = clustered([(4, 0, 0)] * 25)
    assert silent.vif == pytest.approx(4, abs=0.01)
    assert silent.p_noninferior(margin=0.1, test="worst-repeat") == pytest.approx(0.9**25)
    assert stats.judge_clustered(silent, margin=0.05).verdict is stats.Verdict.INCONCLUSIVE
    assert stats.judge_clustered(silent, margin=0.2).verdict is stats.Verdict.EQUIVALENT


def test_states_are_recoded_by_their_worst_repeat():
    """Lost in any repeat is lost, won in all is won; mirrored where the candidate must be worse."""
    data = clustered(
        [(3, 3, 0)] * 4 + [(3, 2, 0)] * 5 + [(3, 0, 1)] * 6 + [(3, 1, 1)] * 2 + [(3, 0, 0)] * 23
    )
    above = data.p_above(-0.1, test="worst-repeat")
    assert above == stats.exact_p_above(4, 8, 40, delta=-0.1)
    below = data.p_below(0.1, test="worst-repeat")
    assert below == stats.exact_p_above(0, 4 + 5 + 2, 40, delta=-0.1)
    both = data.p_above(-0.1)
    assert both == 2 * min(above, data.p_above(-0.1, test="bets"))


def test_unequal_repeats_are_weighed_by_the_bets():
    """With unequal numbers of repeats the bets judge alone, at the difference of all pairs."""
    data = clustered([(4, 0, 0)] * 60 + [(2, 0, 1)] * 3)
    assert data.p_above(-0.1) == data.p_above(-0.1, test="bets")
    low, high = data.interval()
    assert low < data.difference < high
    with pytest.raises(ValueError, match="same number of repeats"):
        data.p_above(-0.1, test="worst-repeat")


def test_one_state_and_impossible_counts():
    """One state decides nothing, however often it is repeated; impossible counts are refused."""
    low, high = clustered([(1000, 0, 0)]).interval()
    assert low < -0.95
    assert high > 0.95
    with pytest.raises(ValueError, match="more discordant"):
        clustered([(1, 1, 1), (1, 0, 0)])


@pytest.mark.long
@given(
    st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=2, max_size=30),
    st.sampled_from(stats.CLUSTER_TESTS),
    st.floats(-0.9, 0.9),
)
@settings(max_examples=60, deadline=None)
def test_clustered_tests_turn_with_the_arms(counts, test, delta):
    """Exchanging the arms mirrors p-values and interval; the interval holds the estimate."""
    data = clustered([(6, won, lost) for won, lost in counts])
    assert data.p_above(delta, test=test) == data.swapped().p_below(-delta, test=test)
    low, high = data.interval(test=test)
    assert (-high, -low) == pytest.approx(data.swapped().interval(test=test), abs=1e-9)
    assert low <= data.difference <= high


def test_betting_keeps_its_level_by_enumeration():
    """Over all tables of 12 units in {-1, 0, 1} the chance of p <= alpha at the boundary is <= alpha."""
    n, delta, alpha = 12, -0.3, 0.05
    cells = [(i, j) for i in range(n + 1) for j in range(n + 1 - i)]
    passing = []
    for won, lost in cells:
        units = np.repeat([1.0, -1.0, 0.0], [won, lost, n - won - lost])
        passing.append(stats.bet_p_above(units, delta) <= alpha)
    assert any(passing), "a test that never rejects proves nothing"
    for q in np.linspace(0, (1 + delta) / 2, 40):
        chance = sum(
            math.comb(n, i)
            * math.comb(n - i, j)
            * q**i
            * (q - delta) ** j
            * max(0.0, 1 - 2 * q + delta) ** (n - i - j)
            for (i, j), passed in zip(cells, passing, strict=True)
            if passed
        )
        assert chance <= alpha


STRATA = [PairedTable(18, 1, 1, 0), PairedTable(15, 2, 1, 2), PairedTable(12, 3, 3, 2)]


def test_stratified_score():
    """The reference's computed oracle, and one stratum is Tango."""
    assert stats.stratified_paired_interval(STRATA) == pytest.approx(
        (-0.102148, 0.136512), abs=1e-6
    )
    assert strata.stratified_paired_z(STRATA, -0.1) == pytest.approx(1.928957, abs=1e-6)
    assert stats.tango_z(6, 5, 60, -0.1) == pytest.approx(1.947557, abs=1e-6)
    assert stats.tango_interval(6, 5, 60) == pytest.approx((-0.100849, 0.135494), abs=1e-6)
    one = STRATA[:1]
    assert strata.stratified_paired_z(one, -0.1) == pytest.approx(stats.tango_z(1, 1, 20, -0.1))
    with pytest.raises(ValueError, match="weights"):
        strata.stratified_paired_z(STRATA, 0.0, weights=[0.5, 0.5, 0.5])


def test_heterogeneity_of_meanflow():
    """Q = 6.08 on 2 degrees, p = .048; tasks without discordant pairs are no obstacle."""
    rates = [(0.88, 0.865), (0.64, 0.815), (0.82, 0.855)]
    variances = [(a * (1 - a) + b * (1 - b)) / 100 for a, b in rates]
    found = stats.heterogeneity([a - b for a, b in rates], variances)
    assert found.q == pytest.approx(6.08, abs=5.1e-3)
    assert (found.df, found.p) == (2, pytest.approx(0.048, abs=5.1e-4))


def test_mcnemar():
    """Cavo 2012: .0330, exact .0525, mid-p .0347, corrected .0550."""
    table = PairedTable(59, 6, 16, 80)
    printed = {"asymptotic": 0.0330, "exact": 0.0525, "mid-p": 0.0347, "corrected": 0.0550}
    for method, p in printed.items():
        assert stats.mcnemar_p(table, method=method) == pytest.approx(p, abs=5.1e-5)
    assert stats.mcnemar_p(table, method="exact") == pytest.approx(
        mcnemar([[59, 6], [16, 80]], exact=True).pvalue
    )


@pytest.mark.parametrize("method", ["mid-p", "exact", "asymptotic", "corrected"])
def test_mcnemar_without_discordant_pairs(method):
    """Nothing speaks against equality: p is 1, where statsmodels' corrected test returns 0."""
    assert stats.mcnemar_p(PairedTable(30, 0, 0, 0), method=method) == 1.0


def test_cochran_q():
    """For two arms it is McNemar's chi-square; without disagreement p is 1, not nan."""
    x = np.array([(1, 1)] * 59 + [(1, 0)] * 6 + [(0, 1)] * 16 + [(0, 0)] * 80)
    assert stats.cochran_q(x)[0] == pytest.approx((16 - 6) ** 2 / 22)
    assert stats.cochran_q(x)[1] == pytest.approx(cochrans_q(x).pvalue)
    assert stats.cochran_q(np.ones((5, 3))) == (0.0, 1.0)


def test_drift_against_its_frozen_teacher():
    """Seeds of 86/93/89 % of 200 against 88.0 % of 600 (Drift-VLA; C42 in docs/audit.md)."""
    drift, teacher = Checkpoints.of([172, 186, 178], 200), Checkpoints.of([528], 600)
    found = stats.compare_with_frozen(drift, teacher)
    assert found.difference == pytest.approx(0.0133, abs=5.1e-5)
    assert found.df == pytest.approx(4.1, abs=0.051)
    assert found.interval(alpha=0.10) == pytest.approx((-0.0380, 0.0647), abs=5.1e-5)
    assert found.interval() == pytest.approx((-0.0534, 0.0801), abs=5.1e-5)
    assert found.p_noninferior(margin=0.05) < 0.05
    floor = stats.noise_floor(drift)
    assert floor.sd == pytest.approx(0.0351, abs=5.1e-5)
    assert floor.sd_interval == pytest.approx((0.0183, 0.221), abs=5.1e-4)
    assert floor.binomial_sd == pytest.approx(0.0218, abs=5.1e-5)
    assert floor.training_sd == pytest.approx(0.0275, abs=5.1e-5)


def test_methods_from_seeds():
    """Pooled t is the t test; the floor never narrows; one seed an arm is refused."""
    rng = np.random.default_rng(0)
    new, old = rng.binomial(20, 0.9, (3, 10)), rng.binomial(20, 0.9, (4, 10))
    arms = Checkpoints.of(new, 20), Checkpoints.of(old, 20)
    plain = stats.compare_methods(*arms, floor=False)
    from scipy.stats import ttest_ind

    reference = ttest_ind(new.mean(axis=1) / 20, old.mean(axis=1) / 20).confidence_interval(0.95)
    assert plain.interval() == pytest.approx((reference.low, reference.high))
    assert stats.compare_methods(*arms).standard_error >= plain.standard_error
    single = Checkpoints.of([18], 20)
    with pytest.raises(ValueError, match="train more seeds"):
        stats.compare_methods(single, single)
    with pytest.raises(ValueError, match="one checkpoint"):
        stats.noise_floor(single)


def test_seeds_that_never_fail_prove_not_everything():
    """Without a failure no interval has width 0, in any of the three comparisons."""
    perfect, teacher = Checkpoints.of([20] * 3, 20), Checkpoints.of([20], 20)
    for found in (
        stats.compare_methods(perfect, perfect),
        stats.compare_with_frozen(perfect, teacher),
        stats.compare_distilled(perfect, perfect),
    ):
        assert found.interval()[0] < -0.02
        assert found.p_noninferior(margin=0.01) > 0.05
    same = Checkpoints.of([176, 180, 184], 200), Checkpoints.of([178, 182, 186], 200)
    assert stats.compare_distilled(*same).standard_error > 0.015
    assert stats.compare_distilled(*same, floor=False).standard_error < 1e-9


def test_students_of_their_own_teachers():
    """Row by row, the differences are the sample."""
    students, teachers = Checkpoints.of([180, 170, 190], 200), Checkpoints.of([184, 176, 192], 200)
    found = stats.compare_distilled(students, teachers, floor=False)
    assert found.difference == pytest.approx(-0.02)
    assert found.standard_error == pytest.approx(0.01 / math.sqrt(3))
    assert found.df == 2


def test_rerun_sd_is_at_most_binomial():
    """States that always or never succeed add no noise when they are run again."""
    assert stats.rerun_sd([0.0, 1.0, 1.0, 1.0]) == 0.0
    assert stats.rerun_sd([0.5] * 100) == pytest.approx(0.05)


@pytest.mark.parametrize(
    ("rho", "bet", "growth", "pairs"),
    [(0.0, 0.266, 0.00679, 441), (0.3, 0.360, 0.00942, 318), (0.6, 0.534, 0.01499, 200)],
)
def test_growth_optimal_bets(rho, bet, growth, pairs):
    """At p = .9 and a margin of 5 points (Waudby-Smith and Ramdas 2024; docs/statistics.md, "Looks")."""
    q = 0.9 * 0.1 * (1 - rho)
    found = references.growth_optimal_bet(q, q, margin=0.05)
    assert found == pytest.approx((bet, growth), abs=5.1e-4)
    assert math.log(20) / found[1] == pytest.approx(pairs, abs=0.51)


@pytest.mark.long
@settings(deadline=None)
@given(st.integers(0, 40), st.integers(0, 40), st.integers(0, 200))
def test_wealth_needs_counts_only(wins, losses, ties):
    """The closed form is the path's end, in whatever order."""
    n = wins + losses + ties
    if n == 0:
        return
    bets = Bets(0.05, design=0.266)
    order = np.random.default_rng(n).permutation([1] * wins + [-1] * losses + [0] * ties)
    closed = references.log_wealth(wins, losses, n, margin=0.05, design=0.266)
    assert bets.path(order)[-1] == pytest.approx(closed, abs=1e-9)


def test_bets_cannot_ruin():
    """A bet that could lose everything is refused, and so is a hopeless case."""
    with pytest.raises(ValueError, match="lose more"):
        Bets(0.05, design=1.1)
    with pytest.raises(ValueError, match="no bet"):
        references.growth_optimal_bet(0.0, 0.1, margin=0.05)
    with pytest.raises(ValueError, match=r"\[−1, 1\]"):
        Bets(0.05).path([2.0])


def test_adjusted_p_values():
    """Holm and Benjamini–Hochberg on a worked example."""
    p = [0.01, 0.04, 0.03, 0.005]
    assert stats.holm(p) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert stats.benjamini_hochberg(p) == pytest.approx([0.02, 0.04, 0.04, 0.02])
    assert stats.holm([]) == []


@settings(deadline=None)
@given(st.integers(2, 7), st.sets(st.tuples(st.integers(0, 6), st.integers(0, 6)), max_size=12))
def test_letters_say_exactly_which_arms_differ(count, pairs):
    """Two arms share a letter if and only if they do not differ, and every arm has one."""
    arms = [f"arm{i}" for i in range(count)]
    different = {
        (arms[min(pair)], arms[max(pair)])
        for pair in pairs
        if max(pair) < count and min(pair) != max(pair)
    }
    letters = stats.compact_letters(arms, different)
    assert all(letters.values())
    for i, first in enumerate(arms):
        for second in arms[i + 1 :]:
            shared = set(letters[first]) & set(letters[second])
            assert bool(shared) == ((first, second) not in different)


def test_a_mean_of_differences_is_judged_by_bets():
    """Without any difference it takes the 20-fold wealth; a rare total loss is not overlooked, as by t."""
    same = stats.MeanDifferences.of(np.zeros(100))
    assert same.p_above(-0.1) < 0.05 < stats.MeanDifferences.of(np.zeros(10)).p_above(-0.1)
    assert same.interval(alpha=0.1)[0] > -0.1
    rng = np.random.default_rng(1)
    small = stats.MeanDifferences.of(rng.normal(0, 0.005, 10))
    assert small.p_above(-0.1) > 0.05
    assert same.p_below(0.1) == pytest.approx(same.p_above(-0.1))


def test_the_exact_test_joins_the_bets_by_bonferroni():
    """Whole differences are counted as pairs; halves are rounded down."""
    units = np.array([-1.0] * 3 + [-0.5] + [1.0] * 2 + [0.0] * 44)
    both = stats.MeanDifferences.of(units, exact=True)
    exact = stats.exact_p_above(2, 4, 50, delta=-0.2)
    bets = stats.MeanDifferences.of(units).p_above(-0.2)
    assert both.p_above(-0.2) == pytest.approx(2 * min(exact, bets))
    with pytest.raises(ValueError, match=r"\[-1, 1\]"):
        stats.MeanDifferences.of([2.0])


def test_the_power_of_a_mean_grows_with_states():
    """A simulation with a fixed seed: the same number each time, near the level where nothing helps."""
    units = [-0.3, 0.0, 0.0, 0.3]
    powers = [stats.power_of_means(units, states, margin=0.1) for states in (20, 100)]
    assert powers[0] < powers[1]
    needed = stats.states_for_power(units, margin=0.1)
    assert needed is not None
    assert 20 < needed < 100


def test_latency_ratio():
    """One log ratio a process run; units cancel; single chunks are not the sample."""
    new = [np.full(50, 10.0) * factor for factor in (1.0, 1.1, 0.9, 1.0, 1.05)]
    old = [np.full(50, 100.0)] * 5
    found = stats.latency_ratio(new, old)
    assert found.ratio == pytest.approx(0.1 * math.exp(np.log([1, 1.1, 0.9, 1, 1.05]).mean()))
    assert found.interval[0] < found.ratio < found.interval[1] < 1
    assert found.faster
    assert found.enough
    inverse = stats.latency_ratio(old, new)
    assert inverse.interval == pytest.approx((1 / found.interval[1], 1 / found.interval[0]))
    with pytest.raises(ValueError, match="two or more process runs"):
        stats.latency_ratio(new[:1], old[:1])
    with pytest.raises(ValueError, match="positive"):
        stats.latency_ratio([[0.0], [1.0]], [[1.0], [1.0]])


def test_clusters_make_verdicts_more_careful():
    """Three copies of one run certify no more than the run; independent runs certify more."""
    states = [(1, 1, 0)] * 3 + [(1, 0, 1)] * 4 + [(1, 0, 0)] * 73
    once = stats.judge_clustered(clustered(states), margin=0.10)
    copies = clustered([(3, 3 * b, 3 * c) for _, b, c in states])
    assert stats.judge_clustered(copies, margin=0.05).verdict == "inconclusive"
    pooled = PairedTable(219, 9, 12, 0)
    assert stats.judge_paired(pooled, margin=0.05).noninferior
    assert once.noninferior
    few = clustered([(4, 0, 1)] * 3 + [(4, 0, 0)] * 20)
    normal = stats.tango_interval(0, 3, few.n)
    assert few.interval()[0] < normal[0], "Student's t with fewer than 50 clusters"


def test_attempts_share_one_alpha():
    """The levels of all attempts on the same held-out states add up to alpha."""
    levels = [stats.attempt_alpha(m) for m in range(1, 20001)]
    assert sum(levels) == pytest.approx(0.05, abs=2e-6)
    with pytest.raises(ValueError, match="first is 1"):
        stats.attempt_alpha(0)


def test_ceiling():
    """At 98 % a margin of 5 points exceeds all failures; at 90 % it does not."""
    assert stats.is_ceiling(0.98, margin=0.05)
    assert not stats.is_ceiling(0.98, margin=0.01)
    assert not stats.is_ceiling(0.90, margin=0.05)
