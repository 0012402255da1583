"""The bars of tools/validate.py: the exact ones here, the simulated ones among the slow tests."""

from __future__ import annotations

import sys
from itertools import chain
from math import comb
from pathlib import Path

import numpy as np
import pytest

from vla_eval import stats
from vla_eval.stats import Judgement, Verdict

sys.path.insert(0, str(Path(__file__).parents[2] / "tools"))
sys.path.insert(0, str(Path(__file__).parents[2] / "tools" / "validation"))

import breakeven
import checkpoints
import copies
import dependence
import exact
import means
import measured
import several
import simulated
import tasks
import validate
import yesterday
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


@pytest.mark.long
def test_errors_of_the_guard():
    """The guarded test never errs in more than 5 %; without the guard it does."""
    check(exact.guard_errors())


@pytest.mark.long
def test_coverage_by_enumeration():
    """Tango's interval covers on the whole grid, and Wald's is caught."""
    check(exact.coverage())


def test_coverage_of_one_arm_with_repeats():
    """Copies cover as well as their states do; a VIF of 1 without a failure is caught."""
    check(copies.rates())


@pytest.mark.parametrize("test", stats.CLUSTER_TESTS)
@pytest.mark.parametrize("claim", copies.CLAIMS, ids=lambda claim: claim.name)
def test_errors_on_copies(claim, test):
    """Every verdict on ten states keeps its level, at every margin; at 20 points some are given."""
    assert copies.error(claim, test, 10, 0.05) <= copies.HIGH
    assert copies.error(claim, test, 10, 0.20) <= copies.HIGH
    if claim.above or claim.truth < 1:
        assert copies.error(claim, test, 10, 0.20) > 0


@pytest.mark.parametrize(
    ("states", "repeats", "margin", "percent"),
    [(10, 4, 0.10, 34.9), (25, 3, 0.05, 27.7), (25, 4, 0.05, 27.7), (25, 2, 0.05, 4.5)],
)
def test_yesterdays_errors(states, repeats, margin, percent):
    """The method that was replaced errs as the attack on it found."""
    assert 100 * yesterday.error(states, repeats, margin) == pytest.approx(percent, abs=0.051)


def test_the_errors_are_those_of_the_verdict(monkeypatch):
    """If `judge_clustered` decided as it did yesterday, the exact bars would show 27.7 %."""

    def old(data, *, margin, alpha, test):
        certified = yesterday.certifies(data, margin=margin, alpha=alpha)
        return Judgement(Verdict.NON_INFERIOR if certified else Verdict.INCONCLUSIVE)

    monkeypatch.setattr(copies, "judge_clustered", old)
    found = copies.error(copies.NON_INFERIOR, "both", 25, 0.05)
    assert found == pytest.approx(0.277, abs=5.1e-4)


@pytest.mark.long
def test_the_border_is_where_enumeration_puts_it():
    """The probability beside the border, summed over all tables, is the largest error."""
    allowed = copies.passes(copies.NON_INFERIOR, "worst-repeat", 12, 0.2)
    border = copies.staircase(12, allowed, copies.needed_rows(12, 0.2))
    tables = [(i, j) for i in range(13) for j in range(13 - i) if allowed(i, j)]
    assert tables == [(i, j) for i in range(13) for j in range(13 - i) if j <= border[i]]

    def chance(q):
        sides = [(comb(12, i) * comb(12 - i, j), i, j) for i, j in tables]
        rest = 1 - 2 * q - 0.2
        return sum(n * q**i * (q + 0.2) ** j * rest ** (12 - i - j) for n, i, j in sides)

    worst = max(chance(q) for q in np.linspace(0, 0.4 - 1e-9, 400))
    assert worst <= copies.largest_error(border, 0.2) <= worst + 1e-4


def test_the_generators_are_at_the_margin():
    """Both ways to depend give the difference and the dependence that they say."""
    design = dependence.Design(50, 4, 0.10, 2000)
    for icc, wins in ((0.0, 0.1), (0.5, 0.0), (1.0, 0.02)):
        runs = list(dependence.share_of_copies(design, icc, wins))
        assert len(runs) == 2000
        mean = np.mean([run.difference for run in runs])
        assert mean == pytest.approx(-0.10, abs=0.005)
        whole = np.mean([np.mean(run.losses[run.losses > 0] == 4) for run in runs[:200]])
        assert (whole > 0.99) == (icc == 1.0)
    runs = dependence.logit_normal(design, 1.6)
    assert np.mean([run.difference for run in runs]) == pytest.approx(-0.10, abs=0.005)


@pytest.mark.long
@pytest.mark.parametrize("test", stats.CLUSTER_TESTS)
def test_intervals_hold_what_neither_test_rejects(test):
    """Simulated coverage asks the tests about the truth: the interval is no narrower than that."""
    design, held = dependence.Design(15, 4, 0.10, 30), 0
    for data in dependence.share_of_copies(design, 0.5, 0.02):
        low, high = data.interval(alpha=0.10, test=test)
        for truth in (-0.25, -0.10, 0.0, 0.05):
            sides = data.p_above(truth, test=test), data.p_below(truth, test=test)
            if min(sides) > 0.05:
                held += 1
                assert low <= truth <= high
            else:
                assert not low + 4e-4 <= truth <= high - 4e-4
    assert 30 < held < 120


@pytest.mark.slow
def test_all_exact_bars_of_repeats():
    """Copies of 5 to 200 states, every verdict and test; yesterday's method is caught."""
    groups = (copies.worst_repeat, copies.bets, copies.both, copies.replaced)
    check(chain.from_iterable(group() for group in groups))


@pytest.mark.slow
def test_errors_of_harm():
    """INFERIOR and WORSE keep their level on independent pairs; Tango alone is caught."""
    check(exact.harm_errors())


@pytest.mark.slow
def test_simulated_bars_of_repeats():
    """Repeats that depend on each other in two ways; yesterday's method and pooling are caught."""
    groups = (dependence.copied, dependence.interacting, dependence.ignored)
    check(chain.from_iterable(group() for group in groups))


@pytest.mark.long
def test_exact_bars_of_the_guard_rail():
    """Any false finding over 4, 10 and 40 tasks; each task at 5 % is caught."""
    check(tasks.guard_rails())


SIMULATED = [
    simulated.training_seeds,
    simulated.sequential,
    simulated.betting,
    checkpoints.verdicts,
    checkpoints.best_of_many,
    means.measures,
    means.wrong,
    measured.latency,
    tasks.agreement,
    tasks.further,
    tasks.weights,
    several.candidates,
    several.continued,
    breakeven.break_even,
]


@pytest.mark.slow
@pytest.mark.parametrize("bars", SIMULATED)
def test_simulated_bars(bars):
    """Seeds, looks, bets, checkpoints, scores, latency, tasks, candidates and runs, each with a wrong method that is caught."""
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
