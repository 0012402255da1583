"""Latency against function evaluations: prefix, step, and how much faster fewer steps can be."""

from __future__ import annotations

import math

import numpy as np
import pytest

from vla_eval import stats
from vla_eval.stats import ClusteredRate, PairedTable


@pytest.mark.parametrize(
    ("slow", "fast", "step", "prefix", "speedup"),
    [
        (274.0, 83.0, 21.2, 61.8, 3.30),  # SnapFlow, pi0.5 on an A800: "about 60" and "about 23"
        (178.0, 50.0, 14.2, 35.8, 3.56),  # SnapFlow, SmolVLA
        (232.9, 50.1, 20.3, 29.8, 4.65),  # Drift-VLA, SmolVLA, first version
        (259.8, 86.0, 19.3, 66.7, 3.02),  # Drift-VLA, pi0.5: printed as 3.0
        (245.6, 132.4, 12.6, 119.8, 1.86),  # Drift-VLA on a laptop
        (175.4, 58.9, 12.9, 46.0, 2.98),  # SnapFlow reproduced, pi0.5 on an H100
    ],
)
def test_published_latencies(slow, fast, step, prefix, speedup):
    """Prefix and step of every published pair of latencies, to the printed digits."""
    fit = stats.amdahl_fit([10, 1], [slow, fast])
    assert fit.step_ms == pytest.approx(step, abs=0.051)
    assert fit.prefix_ms == pytest.approx(prefix, abs=0.06)
    assert fit.speedup(10) == pytest.approx(speedup, abs=0.006)
    assert fit.speedup(10, 0) > fit.speedup(10)
    assert fit.speedup_interval(10) is None, "two latencies without errors: nobody knows"
    assert fit.residual_ms == pytest.approx(0, abs=1e-9)


def test_a_claimed_speedup_needs_a_short_prefix():
    """8.7 times needs a prefix of 0.17 steps, where published ones have 1.5 to 9.5."""
    assert stats.prefix_for_speedup(8.7) == pytest.approx(0.17, abs=0.002)
    assert stats.prefix_for_speedup(83.9) < 0, "no prefix is short enough"
    needed = stats.prefix_for_speedup(3.0)
    fit = stats.amdahl_fit([1, 10], [needed + 1, needed + 10])
    assert fit.speedup(10) == pytest.approx(3.0)
    with pytest.raises(ValueError, match="no speed-up"):
        stats.prefix_for_speedup(1.0)


def test_known_errors_give_intervals():
    """Drift-VLA's laptop, 245.6 ± 16.2 and 132.4 ± 1.2 ms: Fieller about the delta method."""
    fit = stats.amdahl_fit([10, 1], [245.6, 132.4], error_ms=[16.2, 1.2])
    low, high = fit.speedup_interval(10)
    relative = math.hypot(16.2 / 245.6, 1.2 / 132.4)
    assert low == pytest.approx(1.855 * (1 - 1.96 * relative), abs=0.01)
    assert high == pytest.approx(1.855 * (1 + 1.96 * relative), abs=0.01)
    step = math.hypot(16.2, 1.2) / 9
    assert fit.step_interval() == pytest.approx(
        (12.578 - 1.96 * step, 12.578 + 1.96 * step), abs=0.01
    )
    noisy = stats.amdahl_fit([10, 1], [100, 10], error_ms=[30, 9])
    assert noisy.speedup_interval(10)[1] == math.inf, "the faster one may be 0"


def test_fieller_is_the_test_inverted():
    """At both limits the difference T(slow) − r T(fast) is exactly q standard errors from 0."""
    fit = stats.amdahl_fit([1, 2, 5, 10, 10], [30, 41, 69, 121, 118])
    q = 3.182446  # Student's t with 3 degrees of freedom
    for ratio in fit.speedup_interval(10):
        weights = np.array([1 - ratio, 10 - ratio])
        gap = fit.latency_ms(10) - ratio * fit.latency_ms(1)
        assert abs(gap) == pytest.approx(
            q * math.sqrt(weights @ fit.covariance @ weights), rel=1e-5
        )


def test_each_interval_is_its_own_parameter_s():
    """Half widths are the quantile times the error of prefix, of step, and of the ratio where T(fast) may be 0."""
    nfe, times = np.array([1, 2, 5, 10, 10]), np.array([30, 41, 69, 121, 118])
    fit = stats.amdahl_fit(nfe, times)
    design = np.stack([np.ones(5), nfe], 1)
    p, e = np.linalg.lstsq(design, times, rcond=None)[0]
    left = times - design @ [p, e]
    covariance = np.linalg.inv(design.T @ design) * (left @ left) / 3
    assert (fit.prefix_ms, fit.step_ms, fit.df) == (pytest.approx(p), pytest.approx(e), 3)
    assert fit.residual_ms == pytest.approx(math.sqrt((left @ left) / 5))
    q = 3.182446
    for found, value, variance in (
        (fit.prefix_interval(), p, covariance[0, 0]),
        (fit.step_interval(), e, covariance[1, 1]),
    ):
        half = q * math.sqrt(variance)
        assert found == pytest.approx((value - half, value + half), rel=1e-6)
    wide = fit.prefix_interval(alpha=0.5)
    assert wide[0] > fit.prefix_interval()[0]
    noisy = stats.amdahl_fit([10, 1], [100, 10], error_ms=[30, 9])
    assert math.isinf(noisy.df)
    low, high = noisy.speedup_interval(10)
    weights = np.array([1 - low, 10 - low])
    gap = noisy.latency_ms(10) - low * noisy.latency_ms(1)
    assert abs(gap) == pytest.approx(1.959964 * math.sqrt(weights @ noisy.covariance @ weights))
    assert (low > 0, high) == (True, math.inf)


def test_a_free_solver_and_short_times_are_fitted():
    """No evaluation at all, and latencies below a millisecond; below 0 there is nothing."""
    fit = stats.amdahl_fit([0, 2], [0.5, 0.9])
    assert (fit.prefix_ms, fit.step_ms) == (pytest.approx(0.5), pytest.approx(0.2))
    assert fit.speedup(2, 0) == pytest.approx(1.8)
    falling = stats.amdahl_fit([1, 10], [9, 100])
    assert falling.speedup(10, 0) == math.inf
    with pytest.raises(ValueError, match="two different numbers"):
        stats.amdahl_fit([-1, 2], [5, 6])


def test_intervals_cover_what_was_simulated():
    """Of 400 simulated sweeps over four numbers of steps, 95 % cover; without t far fewer would."""
    rng, covered, normal = np.random.default_rng(1), 0, 0
    nfe = np.array([1, 2, 5, 10])
    for _ in range(400):
        fit = stats.amdahl_fit(nfe, 60 + 20 * nfe + rng.normal(0, 3, size=4))
        low, high = fit.speedup_interval(10)
        covered += low <= 260 / 80 <= high
        error = math.sqrt(fit.covariance[1, 1])
        normal += abs(fit.step_ms - 20) <= 1.96 * error
    assert covered / 400 == pytest.approx(0.95, abs=0.035)
    assert normal / 400 < 0.88, "the wrong quantile must be caught"


@pytest.mark.parametrize(
    ("nfe", "latency", "error", "message"),
    [
        ([10, 10], [5, 6], None, "two different numbers"),
        ([10, 1], [5], None, "as many"),
        ([10, 1], [5, -1], None, "positive and finite"),
        ([10, 1], [5, 1], [1, 0], "positive and finite"),
        ([10, 1], [5, float("nan")], None, "positive and finite"),
    ],
)
def test_impossible_latencies_are_refused(nfe, latency, error, message):
    """What is no latency makes no line."""
    with pytest.raises(ValueError, match=message):
        stats.amdahl_fit(nfe, latency, error_ms=error)


def test_rates_of_repeated_states():
    """Repeats that always agree count once; independent ones count in full."""
    same = ClusteredRate(np.full(50, 4), np.repeat([4, 0], [40, 10]))
    assert same.vif == 4
    assert same.interval() == pytest.approx(stats.wilson_interval(40, 50), abs=0.003)
    ones = ClusteredRate(np.ones(50, dtype=int), np.repeat([1, 0], [40, 10]))
    assert ones.interval() == pytest.approx(stats.wilson_interval(40, 50), abs=0.003)
    sure = ClusteredRate(np.full(25, 4), np.full(25, 4))
    assert sure.interval() == pytest.approx(stats.wilson_interval(25, 25), abs=0.002)
    with pytest.raises(ValueError, match="more successes"):
        ClusteredRate(np.array([1, 1]), np.array([2, 0]))


def test_statsmodels_agrees_where_it_has_the_same():
    """Cross-checks at run time: equal numbers here, and a wrong one of ours would show."""
    checks = stats.cross_checks_paired(PairedTable(59, 6, 16, 80))
    checks += stats.cross_checks_independent(395, 400, 391, 400)
    assert [check.name for check in checks if not check.agrees] == []
    assert len(checks) == 3
    assert checks[0].ours == pytest.approx(0.0525, abs=5.1e-5)
    assert not stats.CrossCheck("wrong", 1.0, 1.00001).agrees
    assert stats.cross_checks_paired(PairedTable(5, 0, 0, 1)) == ()
    assert stats.cross_checks_independent(30, 30, 30, 30) == ()
    for edge in ((30, 30, 28, 30), (0, 30, 3, 30), (1, 1, 0, 1)):
        assert all(check.agrees for check in stats.cross_checks_independent(*edge))
