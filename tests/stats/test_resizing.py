"""Blinded re-estimation: the rule's sizes, and the exact test of the two-stage design."""

from __future__ import annotations

from math import comb

import numpy as np
import pytest

from vla_eval.stats import PairedCase, ResizeRule, exact_p_above, resized_outlook
from vla_eval.stats.paired import tango_scores
from vla_eval.stats.resizing import exact_p_above_resized, fewest_wins, passing

RULE = ResizeRule(6, 8, 14, 0.3, step=2)


def test_sizes_rise_with_the_discordant_pairs_in_whole_rounds():
    """More discordant pairs never shrink a run; sizes are multiples of the tasks within the limits."""
    rule = ResizeRule(40, 80, 200, 0.1, step=4)
    sizes = [rule.size(discordant) for discordant in range(41)]
    assert sizes == sorted(sizes)
    assert (sizes[0], sizes[-1]) == (80, 200)
    assert not any(size % 4 for size in sizes)


def test_the_probability_is_that_of_all_splits():
    """The sum over discordant pairs equals the sum over all splits before and after the decision."""
    z, delta, p10, p01 = 0.8, -0.3, 0.15, 0.3
    total = 0.0
    for won in range(7):
        for lost in range(7 - won):
            size = RULE.size(won + lost)
            for more_won in range(size - 5):
                for more_lost in range(size - 5 - more_won):
                    score = tango_scores(won + more_won, lost + more_lost, size, delta)
                    if score >= z:
                        total += _chance(6, won, lost, p10, p01) * _chance(
                            size - 6, more_won, more_lost, p10, p01
                        )
    needed = {size: fewest_wins(z, size, delta=delta) for size, _ in RULE.stages}
    chances = np.array([p10 + p01]), np.array([p10 / (p10 + p01)])
    assert len(RULE.stages) > 1
    assert passing(RULE, needed, *chances)[0] == pytest.approx(total, abs=1e-10)


def _chance(n: int, won: int, lost: int, p10: float, p01: float) -> float:
    ways = comb(n, won) * comb(n - won, lost)
    return ways * p10**won * p01**lost * (1 - p10 - p01) ** (n - won - lost)


@pytest.mark.parametrize("delta", [-0.3, 0.0, 0.3])
def test_a_rule_without_a_choice_is_a_run_of_fixed_size(delta):
    """Where every count leads to the planned size, the p-value is that of the exact test."""
    rule = ResizeRule(6, 60, 61, 0.45)
    assert len(rule.stages) == 1
    ours = exact_p_above_resized(rule, 12, 9, 60, delta=delta)
    assert ours == pytest.approx(exact_p_above(12, 9, 60, delta=delta), abs=1e-6)


def test_the_test_of_a_fixed_size_errs_after_resizing():
    """Without a discordant pair a fixed size of 30 passes at 4.24 %; over all sizes it is more."""
    rule = ResizeRule(30, 30, 180, 0.1, step=30)
    fixed = exact_p_above(0, 0, 30, delta=-0.1)
    assert fixed < 0.05 < exact_p_above_resized(rule, 0, 0, 30, delta=-0.1)


def test_power_and_pairs_lie_between_those_of_the_two_sizes():
    """Expected pairs lie between planned and most; few discordant pairs keep the planned size."""
    case = PairedCase(0.9, 0.0, 0.3)
    found = resized_outlook(ResizeRule(40, 80, 200, 0.1), case, guard=False)
    assert 80 < found.pairs < 200
    assert 0.8 < found.certified < 0.9
    assert found.at_most < 0.01


def test_the_exact_test_costs_some_power():
    """With the guard fewer runs are certified, not more."""
    case = PairedCase(0.8, 0.0, 0.3)
    alone, guarded = (resized_outlook(RULE, case, guard=guard) for guard in (False, True))
    assert 0 <= guarded.certified <= alone.certified


@pytest.mark.parametrize("sizes", [(0, 8, 14), (9, 8, 14), (6, 14, 14)])
def test_sizes_out_of_order_are_refused(sizes):
    """The first pairs are among the planned ones, and the most are more."""
    with pytest.raises(ValueError, match="not in order"):
        ResizeRule(*sizes, 0.3)


def test_impossible_counts_are_refused():
    """More discordant pairs than pairs, and differences outside (-1, 1)."""
    with pytest.raises(ValueError, match="cannot be"):
        exact_p_above_resized(RULE, 5, 5, 8, delta=-0.3)
    with pytest.raises(ValueError, match="not in"):
        exact_p_above_resized(RULE, 1, 1, 8, delta=1.0)
