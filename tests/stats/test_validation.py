"""The bars of tools/validate.py: the exact ones here, the simulated ones among the slow tests."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "tools"))
sys.path.insert(0, str(Path(__file__).parents[2] / "tools" / "validation"))

import exact
import measured
import simulated
import validate
from bars import Bar
from page import page, row

PAGE = Path(__file__).parents[2] / "docs" / "validation.md"


def check(bars) -> None:
    """All bars pass, and at least one wrong method was caught."""
    found = list(bars)
    assert [bar.line() for bar in found if not bar.passed] == []
    assert any(bar.control for bar in found)
    if PAGE.exists():
        shown = PAGE.read_text()
        assert [bar.what for bar in found if f"| {bar.what} |" not in shown] == []


def test_errors_by_enumeration():
    """Tango's error stays below 5.2 %, and Wald's is caught."""
    check(exact.tango_errors())


def test_errors_of_the_guard():
    """The guarded test never errs in more than 5 %; without the guard it does."""
    check(exact.guard_errors())


def test_coverage_by_enumeration():
    """Tango's interval covers on the whole grid, and Wald's is caught."""
    check(exact.coverage())


SIMULATED = [
    simulated.clusters,
    simulated.training_seeds,
    simulated.sequential,
    simulated.betting,
    measured.partial_credit,
    measured.latency,
]


@pytest.mark.slow
@pytest.mark.parametrize("bars", SIMULATED)
def test_simulated_bars(bars):
    """Clusters, seeds, looks, bets, scores and latency, each with a wrong method that is caught."""
    check(bars())


def test_the_page_shows_every_section():
    """The page is made of the sections that are computed, each with its limits and its state."""
    found = {title: [Bar("right", 0.04, high=0.05)] for title in validate.GROUPS}
    found["Sample sizes"].append(Bar("wrong", 0.06, low=0.01, high=0.05, control=True))
    about = {title: group.__doc__ or "" for title, group in validate.GROUPS.items()}
    text = page(found, about)
    assert all(about.values())
    assert f"All {len(found) + 1} bars pass, 1 of them controls" in text
    assert row(Bar("right", 0.04, high=0.05)) == "| right | 4.000 % | at most 5 % | kept |\n"
    assert "| wrong | 6.000 % | 1 to 5 % | wrong method, caught |" in text
    if PAGE.exists():
        titles = [line[3:] for line in PAGE.read_text().splitlines() if line.startswith("## ")]
        assert titles == list(validate.GROUPS)


def test_a_control_fails_when_it_is_not_caught():
    """A bar passes inside its limits, a control outside of them."""
    assert Bar("right", 0.04, high=0.05).passed
    assert not Bar("wrong", 0.06, high=0.05).passed
    assert Bar("caught", 0.06, high=0.05, control=True).passed
    assert not Bar("not caught", 0.04, high=0.05, control=True).passed
