"""Printed means of scores in halves: the least spread that they can have."""

from __future__ import annotations

from itertools import product

import pytest

from vla_eval.audit import shipped_claims
from vla_eval.audit.scores import least_interval, least_variance


@pytest.mark.parametrize("total", range(9))
def test_the_least_variance_is_that_of_the_best_of_all_four_episodes(total):
    """Among all ways to share half points over four episodes none varies less than the formula."""
    mean = total / 8
    variances = [
        sum((score - mean) ** 2 for score in scores) / 4
        for scores in product((0, 0.5, 1), repeat=4)
        if sum(scores) == total / 2
    ]
    assert least_variance(mean) == pytest.approx(min(variances))


def test_the_interval_by_hand():
    """88 against 86.5 of 100: 1.645 * sqrt((0.12*0.38 + 0.135*0.365)/100) is 5.07 points."""
    claim = next(each for each in shipped_claims().claims if each.id == "C34-pickplace")
    low, high = least_interval(claim, alpha=0.10)
    assert (low, high) == pytest.approx((0.015 - 0.05067, 0.015 + 0.05067), abs=2e-5)
