"""From two cases to one judgement: which case, which level and which difference each claim is asked at."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from vla_eval.judging import ledger
from vla_eval.judging.ledger import Outcome
from vla_eval.judging.means import Means
from vla_eval.judging.methods import (
    AtLook,
    JudgingMethod,
    Repeats,
    TangoExact,
    Weighted,
    judge_between,
)
from vla_eval.keys import EpisodeKey
from vla_eval.stats import (
    PairedTable,
    SequentialPlan,
    Verdict,
    bet_p_above,
    exact_p_above,
    mcnemar_p,
    repeated_interval,
    stratified_paired_interval,
    tango_interval,
)
from vla_eval.stats.bounded import bet_interval


@dataclass(frozen=True)
class Said(JudgingMethod):
    """A method whose p-values and intervals are given; its level is half of what is asked."""

    above: dict[float, float] = field(default_factory=dict)
    below: dict[float, float] = field(default_factory=dict)
    limits: dict[float, tuple[float, float]] = field(default_factory=dict)

    def interval(self, alpha):
        return self.limits[round(alpha, 6)]

    def p_above(self, delta):
        return self.above[delta]

    def p_below(self, delta):
        return self.below[delta]

    def level(self, alpha):
        return alpha / 2

    def _of(self, outcomes):
        raise NotImplementedError


def judged(limits=((0.01, 9.0), (-9.0, 0.05)), *, others=None, **changes):
    """Judge at a margin of 0.1 and a level of 0.04, which is 0.02 in this run."""
    above = {-0.1: 0.02, 0.0: 0.01} | changes.get("above", {})
    below = {0.1: 0.01, -0.1: 0.9, 0.0: 0.9} | changes.get("below", {})
    worst = Said((), above=above, limits={0.08: limits[0]})
    best = Said((), below=below, limits={0.08: limits[1]})
    found = judge_between(worst, best, 0.1, 0.04, others=others)
    return found.verdict, *found.also


def test_the_claim_is_judged_at_the_level_of_the_run():
    """A p-value of the level in use passes, a larger one does not, whatever alpha the run has."""
    assert judged() == (Verdict.SUPERIOR, Verdict.EQUIVALENT)
    assert judged(above={-0.1: 0.021}) == (Verdict.INCONCLUSIVE,)
    assert judged(above={0.0: 0.021}) == (Verdict.EQUIVALENT,)
    assert judged(below={0.1: 0.021}) == (Verdict.SUPERIOR,)


def test_other_words_have_a_level_of_their_own():
    """Half of 0.02 for them; the claim itself keeps its own."""
    assert judged(others=0.02) == (Verdict.SUPERIOR, Verdict.EQUIVALENT)
    assert judged(others=0.02, above={0.0: 0.011}) == (Verdict.EQUIVALENT,)
    assert judged(others=0.02, below={0.1: 0.011}) == (Verdict.SUPERIOR,)
    assert judged(others=0.02, above={-0.1: 0.02, 0.0: 0.5}) == (Verdict.EQUIVALENT,)


def test_good_news_from_the_worst_case_and_bad_news_from_the_best():
    """The lower limit is the worst case's, the upper one the best case's."""
    bad = {-0.1: 0.02, 0.0: 0.01}
    assert judged(((-9.0, 0.0), (0.0, -0.2)), below=bad) == (Verdict.INFERIOR,)
    assert judged(((-9.0, 0.0), (0.0, -0.2)), below=bad | {-0.1: 0.021}) == (
        Verdict.INCONCLUSIVE,
        Verdict.WORSE,
    )
    assert judged(((-9.0, 0.0), (0.0, -0.2)), below={-0.1: 0.3, 0.0: 0.021}) == (
        Verdict.INCONCLUSIVE,
    )


def pairs(*cells: tuple[str, int]) -> tuple[Outcome, ...]:
    outcomes = [(cell[0] == "1", cell[1] == "1") for cell, count in cells for _ in range(count)]
    return tuple(
        Outcome(EpisodeKey("s", "ab"[i % 2], i, 0, 0), *won) for i, won in enumerate(outcomes)
    )


def test_independent_pairs_by_hand():
    """Ten cells of each kind but different: table, tests both ways, e-value and p-value of any difference."""
    method = TangoExact(pairs(("11", 20), ("10", 6), ("01", 3), ("00", 11)))
    assert method.table == PairedTable(20, 6, 3, 11)
    assert method.difference == pytest.approx(3 / 40)
    assert method.interval(0.1) == tango_interval(6, 3, 40, alpha=0.1)
    assert method.p_above(-0.1) == exact_p_above(6, 3, 40, delta=-0.1)
    assert method.p_below(0.2) == exact_p_above(3, 6, 40, delta=-0.2)
    assert method.p_different() == mcnemar_p(PairedTable(20, 6, 3, 11))
    assert method.e_value(-0.9) > method.e_value(-0.5) > 1 > method.e_value(0.5)
    assert method.log_e_below(0.9) > method.log_e_below(0.5) > 0 > method.log_e_below(-0.5)
    tasks = method.by_task()
    assert list(tasks) == ["s/a", "s/b"]
    assert sum(task.table.n for task in tasks.values()) == 40
    assert (method.level(0.07), method.inflation) == (0.07, 1.0)
    swapped = TangoExact(pairs(("11", 20), ("10", 3), ("01", 6), ("00", 11)))
    assert swapped.log_e_above(-0.3) == pytest.approx(method.log_e_below(0.3))


def test_a_p_value_at_a_look_is_where_its_interval_meets_0():
    """A little above it the repeated interval leaves 0 out, a little below it holds it."""
    plan = SequentialPlan.even(60, 0.1)
    method = AtLook(pairs(("11", 40), ("10", 14), ("01", 4), ("00", 2)), plan, 5)
    p = method.p_different()
    assert 0.001 < p < 0.2
    assert method.interval(1.03 * p)[0] > 0 > method.interval(0.97 * p)[0]
    assert AtLook(pairs(("11", 40), ("10", 4), ("01", 4), ("00", 12)), plan, 5).p_different() > 0.9
    assert method.level(0.1) == 2 * plan.level(5)
    for number in (1, 3):
        bound = plan.bound(number)
        found = AtLook(method.outcomes, plan, number)
        assert found.interval(0.1) == repeated_interval(14, 4, 60, bound=bound)
    assert method.p_above(-0.1) == exact_p_above(14, 4, 60, delta=-0.1)
    assert method.p_below(0.2) == exact_p_above(4, 14, 60, delta=-0.2)


def test_repeats_inflate_the_variance_of_every_method():
    """Ten states three times each: the clusters' inflation; each state once: none."""
    once = pairs(("11", 20), ("10", 6), ("01", 4))
    states = tuple(replace_state(outcome, place // 3) for place, outcome in enumerate(once))
    vif = ledger.clusters(states).vif
    assert vif > 1
    valued = tuple(
        outcome._replace(values=(float(outcome.ours), float(outcome.theirs))) for outcome in states
    )
    assert Means(valued).inflation == Repeats(states).inflation == vif
    assert Weighted(states, repeats=True).inflation == vif
    assert Weighted(states).inflation == 1.0
    assert Repeats(states).icc == pytest.approx((vif - 1) / 2)
    alone = tuple(
        outcome._replace(values=(float(outcome.ours), float(outcome.theirs))) for outcome in once
    )
    assert (Means(alone).inflation, Repeats(once).icc) == (1.0, None)


def replace_state(outcome: Outcome, state: int) -> Outcome:
    return outcome._replace(key=EpisodeKey("s", "a", state, 0, 0))


def test_weights_of_tasks():
    """A task with three times the weight: difference, units, and the hull of score and bets."""
    outcomes = pairs(("11", 20), ("10", 2), ("01", 6), ("00", 12))
    method = Weighted(outcomes, weights={"s/a": 3.0, "s/b": 1.0})
    tasks = method.by_task()
    gaps = [tasks[name].difference for name in ("s/a", "s/b")]
    assert method.difference == pytest.approx(0.75 * gaps[0] + 0.25 * gaps[1])
    assert Weighted(outcomes).difference == pytest.approx((gaps[0] + gaps[1]) / 2)
    units, weights = method._units
    assert weights.sum() == pytest.approx(1)
    assert method.p_above(-0.3) == bet_p_above(units, -0.3, weights)
    assert method.p_below(0.3) == bet_p_above(-units, -0.3, weights)
    bets = bet_interval(units, alpha=0.1, weights=weights)
    tables = [tasks[name].table for name in ("s/a", "s/b")]
    score = stratified_paired_interval(tables, alpha=0.1, weights=[0.75, 0.25])
    assert method.interval(0.1) == (min(bets[0], score[0]), max(bets[1], score[1]))
    repeated = Weighted(outcomes, repeats=True, weights={"s/a": 3.0, "s/b": 1.0})
    assert repeated.interval(0.1) == bets
    assert method.p_different() == min(1.0, 2 * min(method.p_above(0.0), method.p_below(0.0)))
