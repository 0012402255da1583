"""Paired differences watched at every round."""

from __future__ import annotations

import numpy as np
import pytest

from vla_eval.stats import AnytimeDifference, Standing


def of(x, margin=0.1, alpha=0.05):
    values = np.array(x, np.float64)
    return AnytimeDifference(values, values, margin, alpha)


def test_equal_outcomes_show_not_worse_after_some_pairs():
    """Pairs without a difference speak against a loss by the margin, the more of them the more."""
    assert of([0.0] * 30).standing is Standing.NOT_YET
    assert of([0.0] * 45).standing is Standing.NOT_WORSE
    assert of([0.0] * 45).e_not_worse > of([0.0] * 30).e_not_worse > 1


def test_lost_pairs_show_worse():
    """Six lost pairs without a won one are enough; the interval then lies below 0."""
    assert of([-1.0] * 4).standing is Standing.NOT_YET
    lost = of([-1.0] * 6)
    assert lost.standing is Standing.WORSE
    assert lost.interval[1] < 0


def test_a_loss_that_is_shown_counts_though_it_is_below_the_margin():
    """At a margin of 90 points nearly everything is not worse; a shown loss is still worse."""
    both = of([-1.0] * 10 + [0.0] * 300, margin=0.9)
    assert both.e_not_worse >= 20 <= both.e_worse
    assert both.standing is Standing.WORSE


def test_lost_episodes_count_at_their_worst_for_each_claim():
    """A missing episode can neither make the policy worse nor not worse."""
    rest = [0.0] * 45
    gone = AnytimeDifference(np.array([-1.0, *rest]), np.array([1.0, *rest]), 0.1, 0.05)
    assert gone.e_not_worse < of(rest).e_not_worse
    assert gone.e_worse < of(rest).e_worse


def test_no_pair_shows_nothing():
    """Before the first round everything is possible."""
    assert of([]).standing is Standing.NOT_YET
    assert of([]).interval == (-1.0, 1.0)


@pytest.mark.parametrize(
    ("chances", "claim"), [([0.15, 0.8, 0.05], "e_not_worse"), ([0.1, 0.8, 0.1], "e_worse")]
)
def test_a_look_after_every_fifth_pair_keeps_its_level(chances, claim):
    """At the edge of a hypothesis at most 5 % of 400 runs ever claim the opposite, over 16 looks."""
    rng = np.random.default_rng(3)
    draws = rng.choice([-1.0, 0.0, 1.0], size=(400, 80), p=chances)
    wrong = sum(any(getattr(of(x[:n]), claim) >= 20 for n in range(5, 81, 5)) for x in draws)
    assert 0 < wrong / 400 <= 0.05
