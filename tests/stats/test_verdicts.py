"""Verdicts: each bound from both sides, each guard alone, and at which differences the tests are asked."""

from __future__ import annotations

import dataclasses

import pytest

from vla_eval.stats import (
    Guards,
    Judgement,
    PairedTable,
    SequentialPlan,
    Verdict,
    exact_p_above,
    is_ceiling,
    is_floor,
    judge,
    judge_paired,
)
from vla_eval.stats.mean_power import power_of_means
from vla_eval.stats.sequential import Decision

MARGIN = 0.125
STEP = 2.0**-40
SHOWN = Guards()
NAMES = [field.name for field in dataclasses.fields(Guards)]


def verdicts(low: float, high: float, **guards: bool) -> tuple[Verdict, ...]:
    judged = judge((low, high), MARGIN, guards=dataclasses.replace(SHOWN, **guards))
    return judged.verdict, *judged.also


@pytest.mark.parametrize(
    ("low", "high", "held"),
    [
        (-MARGIN, 0.5, (Verdict.INCONCLUSIVE,)),
        (-MARGIN + STEP, 0.5, (Verdict.NON_INFERIOR,)),
        (-MARGIN + STEP, MARGIN, (Verdict.NON_INFERIOR,)),
        (-MARGIN + STEP, MARGIN - STEP, (Verdict.EQUIVALENT,)),
        (-MARGIN, MARGIN - STEP, (Verdict.INCONCLUSIVE,)),
        (0.0, MARGIN, (Verdict.NON_INFERIOR,)),
        (STEP, MARGIN, (Verdict.SUPERIOR,)),
        (STEP, MARGIN - STEP, (Verdict.SUPERIOR, Verdict.EQUIVALENT)),
        (-0.5, 0.0, (Verdict.INCONCLUSIVE,)),
        (-0.5, -STEP, (Verdict.INCONCLUSIVE, Verdict.WORSE)),
        (-MARGIN + STEP, -STEP, (Verdict.EQUIVALENT, Verdict.WORSE)),
        (-0.5, -MARGIN, (Verdict.INCONCLUSIVE, Verdict.WORSE)),
        (-0.5, -MARGIN - STEP, (Verdict.INFERIOR,)),
    ],
)
def test_a_limit_on_the_bound_shows_nothing(low, high, held):
    """One step of 1e-12 further it does."""
    assert verdicts(low, high) == held


NEEDED = {
    Verdict.SUPERIOR: ((STEP, 0.5), {"above_minus_margin", "above_zero"}),
    Verdict.EQUIVALENT: ((-0.1, 0.1), {"above_minus_margin", "below_margin"}),
    Verdict.NON_INFERIOR: ((-0.1, 0.5), {"above_minus_margin"}),
    Verdict.INFERIOR: ((-0.5, -0.2), {"below_minus_margin"}),
    Verdict.WORSE: ((-0.5, -0.1), {"below_zero"}),
}


@pytest.mark.parametrize("guard", NAMES)
@pytest.mark.parametrize("verdict", NEEDED)
def test_each_verdict_needs_its_own_tests(verdict, guard):
    """The interval alone is not enough, and the other tests do not matter."""
    interval, needed = NEEDED[verdict]
    assert verdict in verdicts(*interval)
    assert (verdict in verdicts(*interval, **{guard: False})) == (guard not in needed)


def test_without_superiority_less_is_left():
    """Superior and equivalent stand alone; non-inferior is said where neither holds."""
    assert verdicts(STEP, 0.5, above_zero=False) == (Verdict.NON_INFERIOR,)
    assert verdicts(STEP, 0.1, above_zero=False) == (Verdict.EQUIVALENT,)
    assert verdicts(-0.1, 0.1, below_margin=False) == (Verdict.NON_INFERIOR,)
    holding = {Verdict.SUPERIOR, Verdict.EQUIVALENT, Verdict.NON_INFERIOR}
    assert {each for each in Verdict if Judgement(each).noninferior} == holding


@pytest.mark.parametrize("margin", [0.0, 1.0, -0.1])
def test_a_margin_is_between_none_and_all(margin):
    """Neither end is one."""
    with pytest.raises(ValueError, match=r"not in \(0, 1\)"):
        judge((0.0, 0.1), margin)


def test_the_tests_are_asked_at_their_own_differences():
    """Each claim has a p-value of its own; one that equals alpha shows its claim."""
    p = {("above", -0.1): 0.01, ("above", 0.0): 0.02, ("below", 0.1): 0.03,
         ("below", -0.1): 0.04, ("below", 0.0): 0.05}  # fmt: skip
    claims = dict(
        zip(
            (
                "above_minus_margin",
                "above_zero",
                "below_margin",
                "below_minus_margin",
                "below_zero",
            ),
            p,
            strict=True,
        )
    )
    for alpha in p.values():
        found = Guards.of(
            lambda delta: p["above", delta],
            lambda delta: p["below", delta],
            margin=0.1,
            alpha=alpha,
        )
        for name, claim in claims.items():
            assert getattr(found, name) == (p[claim] <= alpha)


@pytest.mark.parametrize(
    ("table", "margin", "alone"),
    [
        (PairedTable(0, 0, 0, 44), 0.065, Verdict.EQUIVALENT),
        (PairedTable(0, 3, 0, 27), 0.4, Verdict.SUPERIOR),
        (PairedTable(0, 0, 3, 27), 0.4, Verdict.WORSE),
    ],
)
def test_the_exact_test_has_the_last_word(table, margin, alone):
    """Tables that Tango's interval alone would call more than the exact test allows."""
    unguarded = judge(table.interval(alpha=0.1), margin)
    guarded = judge_paired(table, margin=margin)
    assert alone in (unguarded.verdict, *unguarded.also)
    assert alone not in (guarded.verdict, *guarded.also)


def test_the_level_of_a_guard_is_that_of_the_claim():
    """Between the exact p-value and Tango's, the level decides; at the p-value itself it holds."""
    p = exact_p_above(1, 2, 60, delta=-0.1)
    table = PairedTable(50, 1, 2, 7)
    assert judge_paired(table, margin=0.1, alpha=p).noninferior
    assert not judge_paired(table, margin=0.1, alpha=p * 0.999).noninferior


@pytest.mark.parametrize("states", [11, 12, 13])
def test_power_of_ties_for_the_exact_test_and_the_bets(states):
    """With ties alone nothing is drawn; of two tests each has half of the level, and one is enough."""
    shown = {
        exact: power_of_means([0.0], states, margin=0.3, alpha=0.04, exact=exact) == 1
        for exact in (False, True)
    }
    p = exact_p_above(0, 0, states, delta=-0.3)
    assert shown == {True: p <= 0.02, False: states >= 12}
    assert (p <= 0.02) == (states == 13)
    assert power_of_means([0.0], states, margin=0.3, alpha=0.02) == 0


def test_ceiling_and_floor():
    """A margin of all failures is none; of more it is."""
    assert not is_ceiling(0.75, margin=0.25)
    assert is_ceiling(0.75, margin=0.26)
    assert not is_floor(0.25, margin=0.25)
    assert is_floor(0.25, margin=0.26)


def test_futility_is_asked_between_the_first_and_the_last_look():
    """Below the margin by a hair, and on it; without futility the run goes on."""
    plan = SequentialPlan.even(100, 0.1)
    for look, size in enumerate(plan.sizes, 1):
        on, below = size // 10, size // 10 + 1
        ends = Decision.EXHAUSTED if look == 5 else Decision.CONTINUE
        assert plan.decide(look, 0, on) is ends
        futile = 2 <= look <= 4
        assert plan.decide(look, 0, below) is (Decision.FUTILE if futile else ends)
        assert dataclasses.replace(plan, futility=False).decide(look, 0, below) is ends
        assert plan.may_be_futile(look) == futile


@pytest.mark.parametrize("sizes", [(), (0,), (5, 5), (5, 4), (-1, 3)])
def test_looks_rise_from_one_pair_on(sizes):
    """None, the same again, fewer: no plan; a single pair is one."""
    with pytest.raises(ValueError, match="do not rise"):
        SequentialPlan(sizes, 0.1)
    assert SequentialPlan((1,), 0.1).looks == 1
