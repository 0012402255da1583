"""The model of the schedule gives the shares that the engine's rules were chosen by."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))

import schedule


@pytest.mark.long
@pytest.mark.parametrize(
    ("episodes", "order", "shares"),
    [
        (2000, schedule.PlanOrder, {50: 80, 100: 75, 200: 67, 400: 56, 1000: 37}),
        (2000, schedule.Dispatcher, {50: 90, 100: 85, 200: 77, 400: 66, 1000: 49}),
        (8000, schedule.Dispatcher, {50: 94, 100: 93, 200: 90, 400: 86, 700: 80, 1000: 74}),
        (40_000, schedule.PlanOrder, {1000: 80}),
        (40_000, schedule.Dispatcher, {400: 93, 1000: 90}),
    ],
)
def test_the_shares_of_work_are_met_within_three_points(episodes, order, shares):
    """Another model with the same assumptions gave these, and its seeds are others."""
    for workers, percent in shares.items():
        share, _ = schedule.simulate(episodes, workers, order)
        assert round(100 * share) == pytest.approx(percent, abs=3), workers


def test_longest_first_ends_sooner_than_the_order_of_the_plan():
    """With two episodes a worker the last one to begin decides."""
    ends = [
        schedule.simulate(2000, 1000, order)[1]
        for order in (schedule.PlanOrder, schedule.Dispatcher)
    ]
    assert ends[1] < 0.8 * ends[0]
