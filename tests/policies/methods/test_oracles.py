"""The closed forms agree with each other, so that methods can be held against them."""

from __future__ import annotations

import math

import pytest
import torch
from torch.func import jvp

from fakes.closed_forms import Gaussian, Mixture, PointMass
from fakes.methods import noise


def test_gaussian_flow_solves_its_own_velocity():
    """Carrying x by the flow map changes it at the rate of the velocity; another mean does not."""
    oracle, wrong = Gaussian(0.7, 0.4), Gaussian(0.6, 0.4)
    x, t = noise(64, 1, 2), torch.full((64,), 0.6, dtype=torch.float64)
    dt = 1e-6
    rate = (oracle.flow(x, t, t + dt) - oracle.flow(x, t, t - dt)) / (2 * dt)
    assert (rate - oracle.velocity(x, t)).abs().max() < 1e-8
    assert (rate - wrong.velocity(x, t)).abs().max() > 0.05


def test_gaussian_flow_ends_in_the_distribution():
    """From noise at t = 1 the exact flow gives μ + s·ε, in one step of the mean velocity too."""
    oracle = Gaussian(0.7, 0.4)
    x, one = noise(32, 2, 3), torch.ones(32, dtype=torch.float64)
    expected = 0.7 + 0.4 * x
    assert torch.allclose(oracle.flow(x, one, 0 * one), expected, atol=1e-14)
    assert torch.allclose(x - oracle.mean_velocity(x, one, one), expected, atol=1e-14)


def test_meanflow_identity_holds_in_float64():
    """The identity u = v − h·du/dt for the Gaussian's mean velocity, to 1e-10; with the other sign it does not."""
    oracle = Gaussian(0.7, 0.4)
    z = noise(128, 1, 2)
    t = 0.2 + 0.8 * torch.rand(128, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    h, one = 0.15 * torch.ones_like(t), torch.ones_like(t)
    v = oracle.velocity(z, t)
    u, slope = jvp(oracle.mean_velocity, (z, t, h), (v, one, one))
    assert (u - (v - h[:, None, None] * slope)).abs().max() < 1e-10
    assert (u - (v + h[:, None, None] * slope)).abs().max() > 0.05


def test_jumps_compose():
    """A jump over [r, t] is the two jumps over [m, t] and [r, m]."""
    oracle = Gaussian(-0.3, 1.5)
    z, t = noise(32, 1, 2), torch.full((32,), 0.9, dtype=torch.float64)
    m, r = t - 0.3, t - 0.8
    middle = z - 0.3 * oracle.mean_velocity(z, t, t - m)
    composed = middle - 0.5 * oracle.mean_velocity(middle, m, m - r)
    assert torch.allclose(z - 0.8 * oracle.mean_velocity(z, t, t - r), composed, atol=1e-14)


@pytest.mark.parametrize(
    ("s", "steps", "ratio"),
    [(0.1, 2, 0.099), (0.1, 5, 0.360), (0.1, 10, 0.617), (0.1, 50, 0.914),
     (1.0, 2, 0.500), (1.0, 3, 0.640), (1.0, 10, 0.879), (1.0, 50, 0.975)],
)  # fmt: skip
def test_spread_after_euler_steps(s: float, steps: int, ratio: float):
    """N Euler steps leave a known part of the spread; one step leaves none."""
    oracle = Gaussian(0.0, s)
    assert oracle.euler_std(steps) / s == pytest.approx(ratio, abs=6e-4)
    assert oracle.euler_std(1) == pytest.approx(0.0, abs=1e-12)
    assert oracle.euler_std(2) == pytest.approx(s**2 / (1 + s**2))


def test_offline_error_favours_one_step():
    """The error of one sample against the demonstration is s²·(1 + ratio²): one step looks best."""
    oracle = Gaussian(0.0, 0.08)
    errors = [1 + (oracle.euler_std(n) / 0.08) ** 2 for n in (1, 2, 3, 5, 10, 20)]
    assert errors == pytest.approx([1, 1.006, 1.025, 1.089, 1.302, 1.571], abs=1e-3)


def test_mixture_of_one_is_the_gaussian():
    """With a single component the mixture's velocity is the Gaussian's; with two it is not."""
    x, t = noise(32, 1, 2), torch.full((32,), 0.4, dtype=torch.float64)
    means = torch.full((2, 1, 2), 0.7, dtype=torch.float64)
    one = Mixture(means[:1], 0.4)
    gaussian = Gaussian(0.7, 0.4)
    assert torch.allclose(one.velocity(x, t), gaussian.velocity(x, t), atol=1e-12)
    means[1] = -0.7
    assert not torch.allclose(Mixture(means, 0.4).velocity(x, t), gaussian.velocity(x, t), atol=0.1)


def test_two_sharp_modes_pull_by_tanh():
    """For ±m without width, E[a | x_t] = m·tanh(m(1 − t)x/t²)."""
    m, t = 1.3, 0.45
    oracle = Mixture(torch.tensor([[[m]], [[-m]]], dtype=torch.float64), 1e-9)
    x = 0.2 * noise(64, 1, 1)
    expected = m * torch.tanh(m * (1 - t) * x / t**2)
    time = torch.full((64,), t, dtype=torch.float64)
    assert torch.allclose(oracle.expected_action(x, time), expected, atol=1e-9)


def test_weights_move_the_mean():
    """At pure noise the expected action is the weighted mean, whatever the noise."""
    means = torch.tensor([[[2.0]], [[-1.0]]], dtype=torch.float64)
    oracle = Mixture(means, 0.1, torch.tensor([0.25, 0.75], dtype=torch.float64))
    expected = oracle.expected_action(noise(16, 1, 1), torch.ones(16, dtype=torch.float64))
    assert torch.allclose(expected, torch.full_like(expected, -0.25), atol=1e-12)


def test_point_mass_flow_is_straight():
    """Along the way from noise to the action the velocity does not change: it is ε − a."""
    action = noise(2, 3, seed=1)
    oracle, start = PointMass(action), noise(8, 2, 3)
    for t in (0.1, 0.5, 1.0):
        x = t * start + (1 - t) * action
        v = oracle.velocity(x, torch.full((8,), t, dtype=torch.float64))
        assert torch.allclose(v, start - action, atol=1e-12)


def test_share_of_two_steps_that_reach_a_mode():
    """m·tanh(m·ε) is beyond 0.8·m for .27, .44, .58, .71 of the noise at m = 1, √2, 2, 3."""
    shares = []
    for m in (1.0, math.sqrt(2), 2.0, 3.0):
        edge = math.atanh(0.8) / m
        shares.append(math.erfc(edge / math.sqrt(2)))
    assert shares == pytest.approx([0.27, 0.44, 0.58, 0.71], abs=6e-3)
