"""Power of repeated states, against enumeration; the fewest states; what a run of them could show."""

from __future__ import annotations

import json
from collections import Counter
from itertools import combinations_with_replacement, product
from math import comb, factorial, prod
from types import SimpleNamespace

import numpy as np
import pytest

from vla_eval import stats
from vla_eval.analysis import Analysis
from vla_eval.cli.power import _print_shown
from vla_eval.compare.shown import what_it_could_show
from vla_eval.judging.ledger import ArmEpisodes
from vla_eval.keys import EpisodeKey
from vla_eval.stats import ClusteredPairs, PairedCase
from vla_eval.stats.cluster_power import most_losses

TESTS = stats.CLUSTER_TESTS
CASE = PairedCase(0.8, -0.05, 0.3)


def outcomes(case: PairedCase, repeats: int, icc: float) -> dict[tuple[int, int], float]:
    """Return the chance of every (won, lost) of one state, by summing over its repeats."""
    single = {(1, 0): case.p10, (0, 1): case.p01, (0, 0): 1 - case.p10 - case.p01}
    chances: Counter[tuple[int, int]] = Counter()
    for each in product(single, repeat=repeats):
        won, lost = sum(w for w, _ in each), sum(x for _, x in each)
        chances[won, lost] += (1 - icc) * prod(single[pair] for pair in each)
    for (won, lost), chance in single.items():
        chances[repeats * won, repeats * lost] += icc * chance
    return dict(chances)


def enumerated(states: int, repeats: int, icc: float, *, margin: float, alpha: float):
    """Return the power of each test as a sum over all that the states can show."""
    chances = outcomes(CASE, repeats, icc)
    powers = dict.fromkeys(TESTS, 0.0)
    for run in combinations_with_replacement(chances, states):
        ways = factorial(states) // prod(factorial(n) for n in Counter(run).values())
        chance = ways * prod(chances[each] for each in run)
        won, lost = np.array(run).T
        data = ClusteredPairs(np.full(states, repeats), won, lost)
        for test in powers:
            powers[test] += chance * (data.p_above(-margin, test=test) <= alpha)
    return powers


@pytest.mark.parametrize(("states", "repeats"), [(5, 1), (6, 2), (4, 3)])
@pytest.mark.parametrize("icc", [0.0, 0.4, 1.0])
def test_power_is_that_of_enumeration(states, repeats, icc):
    """The exact power to all digits, the simulated ones within four standard errors; none is 0."""
    margin, alpha = 0.6, 0.2
    found = stats.power_clustered(states, repeats, CASE, icc=icc, margin=margin, alpha=alpha)
    expected = enumerated(states, repeats, icc, margin=margin, alpha=alpha)
    assert found.worst_repeat == pytest.approx(expected["worst-repeat"], abs=1e-12)
    error = 4 * found.standard_error
    assert 0 < error < 0.0101
    assert found.bets == pytest.approx(expected["bets"], abs=error)
    assert found.both == pytest.approx(expected["both"], abs=error)
    assert min(expected.values()) > 0.05
    assert [found.of(test) for test in TESTS] == [
        found.worst_repeat,
        found.bets,
        found.both,
    ]


def test_copies_show_what_their_states_show_once():
    """At ICC 1 the number of repeats does not matter; without repeats the ICC does not."""
    levels = {"margin": 0.1, "alpha": 0.05}
    once = stats.power_clustered(60, 1, PairedCase(0.9, 0.0, 0.3), icc=0.0, **levels)
    for repeats, icc in ((1, 1.0), (2, 1.0), (10, 1.0)):
        again = stats.power_clustered(60, repeats, PairedCase(0.9, 0.0, 0.3), icc=icc, **levels)
        assert again.worst_repeat == pytest.approx(once.worst_repeat, abs=1e-12)
        assert again.bets == pytest.approx(once.bets, abs=5 * once.standard_error)
        assert again.both == pytest.approx(once.both, abs=5 * once.standard_error)
    # Here Tango's test, which a verdict on pairs needs too, agrees to all that the exact one allows.
    pairs = stats.power_paired(60, PairedCase(0.9, 0.0, 0.3), margin=0.1, guard=True)
    assert once.worst_repeat == pytest.approx(pairs, abs=1e-9)


@pytest.mark.long
@pytest.mark.parametrize(("states", "margin"), [(12, 0.3), (14, 0.1), (30, 0.1)])
def test_the_border_of_the_exact_test(states, margin):
    """A table passes if and only if its exact p-value is at most alpha; with 14 states none does."""
    border = most_losses(states, margin, 0.05)
    passing = 0
    for won in range(states + 1):
        for lost in range(states + 1 - won):
            passes = stats.exact_p_noninferior(won, lost, states, margin=margin) <= 0.05
            assert passes == (lost <= border[won]), (won, lost)
            passing += passes and lost >= won
    assert (passing == 0) == (states == 14)


@pytest.mark.parametrize(("states", "margin"), [(6, 1 / 3), (10, 0.2)])
def test_tables_of_one_score_pass_together(states, margin):
    """Here the critical score is that of two tables: they share their p-value, and the search for it ends."""
    border = most_losses(states, margin, 0.05)
    for won in range(states + 1):
        for lost in range(states + 1 - won):
            passes = stats.exact_p_noninferior(won, lost, states, margin=margin) <= 0.05
            assert passes == (lost <= border[won]), (won, lost)


@pytest.mark.parametrize("test", TESTS)
@pytest.mark.parametrize(("margin", "alpha"), [(0.05, 0.05), (0.1, 0.05), (0.2, 0.05), (0.1, 0.01)])
def test_the_fewest_states_are_the_verdicts(margin, alpha, test):
    """The verdict itself is possible from this number of states on, however many repeats there are."""
    least = stats.minimum_states(margin, alpha=alpha, test=test)

    def certified(states: int, repeats: int) -> bool:
        none = np.zeros(states, dtype=np.int64)
        silent = ClusteredPairs(none + repeats, none, none)
        return stats.judge_clustered(silent, margin=margin, alpha=alpha, test=test).noninferior

    assert certified(least, 1)
    assert certified(least, 7)
    assert not certified(least - 1, 1)
    assert not certified(least - 1, 50)


def test_the_fewest_states_of_common_margins():
    """59 states show 5 points by their worst repeat, as 59 pairs do; bets and both take more."""
    found = {test: [stats.minimum_states(m, test=test) for m in (0.05, 0.1)] for test in TESTS}
    assert found == {"worst-repeat": [59, 29], "bets": [78, 38], "both": [75, 36]}
    assert stats.minimum_states(0.05, test="worst-repeat") == stats.minimum_pairs_exact(0.05)


@pytest.mark.long
def test_tests_see_states_and_not_copies():
    """With 2, 3, 4 and 10 copies the p-values and the verdict are those of the states once."""
    rng = np.random.default_rng(3)
    for _ in range(5):
        outcome = rng.choice(3, 40, p=[0.1, 0.1, 0.8])
        won, lost = (outcome == 0).astype(np.int64), (outcome == 1).astype(np.int64)
        once = ClusteredPairs(np.ones(40, dtype=np.int64), won, lost)
        for repeats in (2, 3, 4, 10):
            copies = ClusteredPairs(np.full(40, repeats), repeats * won, repeats * lost)
            for test, delta in product(TESTS, (-0.2, -0.02, 0.0, 0.1)):
                assert copies.p_above(delta, test=test) == once.p_above(delta, test=test)
                assert copies.p_below(delta, test=test) == once.p_below(delta, test=test)
            assert stats.judge_clustered(copies, margin=0.3) == stats.judge_clustered(
                once, margin=0.3
            )


def test_icc_is_estimated_between_0_and_1():
    """Copies are alike by 1, independent repeats by about 0, and without repeats nothing is known."""
    rng = np.random.default_rng(4)
    lost = rng.binomial(1, 0.2, 300)
    none = np.zeros(300, dtype=np.int64)
    assert stats.estimated_icc(ClusteredPairs(none + 4, none, 4 * lost)) == pytest.approx(
        1, abs=0.02
    )
    independent = ClusteredPairs(none + 4, none, rng.binomial(4, 0.2, 300))
    assert 0 <= stats.estimated_icc(independent) < 0.1
    assert stats.estimated_icc(ClusteredPairs(none + 1, none, lost)) == 0.0
    assert stats.estimated_icc(ClusteredPairs(none + 4, none, none)) == pytest.approx(1, abs=0.02)


@pytest.mark.parametrize(
    ("states", "repeats", "icc", "margin"),
    [
        (0, 2, 0.5, 0.1),
        (5, 0, 0.5, 0.1),
        (5, 2, 1.5, 0.1),
        (5, 2, 0.5, 0.0),
        (5, 2, float("nan"), 0.1),
    ],
)
def test_impossible_designs_are_refused(states, repeats, icc, margin):
    """No states, no repeats, an ICC or a margin that cannot be."""
    with pytest.raises(ValueError, match=r"expected 1|not in|out of range"):
        stats.power_clustered(states, repeats, CASE, icc=icc, margin=margin)


@pytest.mark.parametrize(
    ("levels", "possible"),
    [
        ({"alpha": 0.0}, False),
        ({"alpha": 0.4999}, True),
        ({"alpha": 0.5}, False),
        ({"margin": 0.9999}, True),
        ({"margin": 1.0}, False),
        ({"icc": 1.0}, True),
        ({"icc": -0.0001}, False),
        ({"icc": 0.0}, True),
    ],
)
def test_levels_end_at_their_bounds(levels, possible):
    """Margins from 0 to 1 and levels from 0 to one half, without the ends; an ICC with them."""
    chosen = {"icc": 0.5, "margin": 0.1, **levels}
    if possible:
        assert 0 <= stats.power_clustered(5, 2, CASE, **chosen).worst_repeat <= 1
        return
    with pytest.raises(ValueError, match=r"not in|out of range"):
        stats.power_clustered(5, 2, CASE, **chosen)


@pytest.mark.parametrize(
    "case", [PairedCase(0.2, 0.6, 0.25), PairedCase(0.02, -0.01, 0.7035264706814485)]
)
def test_one_arm_that_succeeds_wherever_the_other_does(case):
    """The chance of the other cell is 0, which rounding can make a little less: it counts as 0."""
    assert -1e-15 < min(case.p10, case.p01) < 0
    found = stats.power_clustered(20, 2, case, icc=0.2, margin=0.2)
    assert 0 < found.worst_repeat <= 1
    assert (found.worst_repeat > 0.999) == (case.p01 < 0)


def test_outcomes_are_the_binomial_ones():
    """The oracle of these tests agrees with a closed form: chance that no repeat is lost."""
    chances = outcomes(CASE, 3, 0.25)
    assert sum(chances.values()) == pytest.approx(1)
    kept = sum(chance for (_, lost), chance in chances.items() if lost == 0)
    q = CASE.p01
    assert kept == pytest.approx(0.25 * (1 - q) + 0.75 * (1 - q) ** 3)
    assert chances[1, 1] == pytest.approx(0.75 * comb(3, 1) * 2 * CASE.p10 * q * (1 - CASE.p10 - q))


def run_of(outcome, *, test=None) -> SimpleNamespace:
    """Return the arms of a run: (states, repeats, 2) successes of candidate and reference."""
    keys = [
        EpisodeKey("suite", "task", state, env_seed=repeat, policy_seed=0)
        for state in range(outcome.shape[0])
        for repeat in range(outcome.shape[1])
    ]

    def record(key, arm):
        won = outcome[key.init_state, key.env_seed, arm]
        return SimpleNamespace(
            suite=key.suite,
            task=key.task,
            init_state=key.init_state,
            key=key,
            reason=None,
            scene_hash=f"{key.init_state}-{key.env_seed}",
            outcome="success" if won else "failure",
        )

    analysis = Analysis(
        estimand="difference in success rate",
        margin=0.2,
        margin_reason="a test",
        cluster="initial-state",
        cluster_test=test,
    )
    entries = [
        SimpleNamespace(
            name=name, episodes=ArmEpisodes(name, {key: record(key, arm) for key in keys})
        )
        for arm, name in enumerate(("new", "old"))
    ]
    return SimpleNamespace(keys=keys, entries=entries, protocol=SimpleNamespace(analysis=analysis))


@pytest.mark.long
def test_what_repeated_states_could_have_shown(capsys):
    """Power, smallest margin and pairs needed are those of the states, with the run's own ICC."""
    success = np.ones((40, 3, 2), dtype=bool)
    success[:4, :, 1] = False
    success[2:5, :, 0] = False
    success[20:24, 0, 0] = False
    shown = what_it_could_show(run_of(success), "new", "old")
    of = shown.repeats
    assert (of.states, of.repeats, of.test) == (40, 3, "both")
    assert of.minimum_states == stats.minimum_states(0.2)
    assert 0 < of.icc < 1
    assert of.icc == pytest.approx((shown.vif - 1) / 2)
    case = PairedCase(shown.reference_rate, 0.0, shown.correlation)

    def power(states, margin):
        found = stats.power_clustered(states, 3, case, icc=of.icc, margin=margin, alpha=0.05)
        return found.both

    assert shown.power == power(40, 0.2)
    assert power(40, shown.smallest_margin - 0.0005) < 0.8 <= power(40, shown.smallest_margin)
    assert shown.pairs_needed % 3 == 0
    assert power(shown.pairs_needed // 3, 0.2) >= 0.8 > power(shown.pairs_needed // 3 - 1, 0.2)
    assert json.loads(json.dumps(shown.to_json()))["repeats"]["states"] == 40
    _print_shown(shown)
    text = capsys.readouterr().out
    assert "They are of 40 states, 3 repeats of each" in text
    assert "estimated from this run" in " ".join(text.split())
    assert max(map(len, text.splitlines())) <= 80


@pytest.mark.long
def test_too_few_states_are_said_and_the_protocols_test_is_used(capsys):
    """13 states do not show 20 points by their worst repeat; what a protocol asks for is used."""
    success = np.ones((13, 4, 2), dtype=bool)
    shown = what_it_could_show(run_of(success, test="worst-repeat"), "new", "old")
    assert shown.repeats.test == "worst-repeat"
    case = PairedCase(shown.reference_rate)
    exact = stats.power_clustered(13, 4, case, icc=shown.repeats.icc, margin=0.2)
    assert shown.power == exact.worst_repeat < 0.2
    _print_shown(shown)
    text = " ".join(capsys.readouterr().out.split())
    assert "TOO FEW STATES: without a discordant pair 13 do not show 20 points" in text
    assert "worst-repeat takes 14" in text


@pytest.mark.long
def test_unequal_repeats_are_looked_at_by_bets():
    """Where episodes are missing the verdict is that of the bets, and so is the power."""
    field = run_of(np.ones((30, 3, 2), dtype=bool))
    for entry in field.entries:
        del entry.episodes.finals[field.keys[0]]
    assert what_it_could_show(field, "new", "old").repeats.test == "bets"
