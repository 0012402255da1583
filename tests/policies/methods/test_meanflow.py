"""MeanFlow: the identity, the product, the weights."""

from __future__ import annotations

import pytest
import torch

from fakes.closed_forms import Gaussian, OracleField
from fakes.methods import full_batch, generator, noise, tiny
from vla_eval_policies.methods import SMOLVLA_PERIODS, ExtraTime, make_method
from vla_eval_policies.methods.field import interpolate
from vla_eval_policies.methods.meanflow import mean_velocity_and_slope, split_velocity


@pytest.mark.parametrize("nfe", [1, 3, 10])
def test_oracle_is_exact_in_any_number_of_steps(nfe: int):
    """The exact mean velocity gives μ + s·ε in one step and in ten."""
    oracle, x = Gaussian(0.4, 0.5), noise(64, 1, 2)
    field = OracleField(oracle.mean_velocity, ExtraTime.INTERVAL)
    y = make_method("meanflow").sample(field, lambda: x, nfe)
    assert torch.allclose(y, 0.4 + 0.5 * x, atol=1e-10)


def test_product_matches_finite_differences():
    """du/dt of a real network is the difference quotient along (v, 1, 1), and not along (v, 1, 0)."""
    network = tiny(ExtraTime.INTERVAL).double()
    field = network.bind(torch.zeros(32, 2, dtype=torch.float64))
    z, v = noise(32, 4, 3), noise(32, 4, 3, seed=1)
    t, h, dt = torch.full((32,), 0.7).double(), torch.full((32,), 0.3).double(), 1e-6
    _, slope = mean_velocity_and_slope(field, z, t, h, v)
    ahead, behind = (field(z + d * v, t + d, h + d) for d in (dt, -dt))
    assert (slope - (ahead - behind) / (2 * dt)).abs().max() < 1e-7
    fixed = (field(z + dt * v, t + dt, h) - field(z - dt * v, t - dt, h)) / (2 * dt)
    assert (slope - fixed).abs().max() > 1e-3


def test_without_interval_it_is_flow_matching():
    """With r = t always, the target is ε − a exactly; γ = 1 makes the loss the squared error."""
    network = tiny(ExtraTime.INTERVAL)
    batch = full_batch(noise(16, 4, 3, dtype=torch.float32))
    field = network.bind(torch.zeros(16, 2))
    method = make_method("meanflow", {"flow_ratio": 1.0, "gamma": 1.0})
    value = method.loss(field, batch, generator()).value
    g = generator()
    x = batch.noise(g)
    t, h = method.draw_interval(batch.actions, g)
    assert (h == 0).all()
    plain = ((field(interpolate(batch.actions, x, t), t, h) - (x - batch.actions)) ** 2).mean()
    assert value.item() == pytest.approx(plain.item(), rel=1e-6)


def test_weight_changes_length_not_direction():
    """For one sample, γ scales the gradient and does not turn it; c and γ give its length."""
    batch = full_batch(noise(1, 4, 3, dtype=torch.float32))
    gradients, errors = [], []
    for gamma in (1.0, 0.5, 0.0):
        network = tiny(ExtraTime.INTERVAL)
        method = make_method("meanflow", {"gamma": gamma, "flow_ratio": 0.0})
        loss = method.loss(network.bind(torch.zeros(1, 2)), batch, generator())
        loss.value.backward()
        gradients.append(torch.cat([p.grad.flatten() for p in network.parameters()]))
        errors.append(loss.logs["error"])
    for gamma, gradient in zip((0.5, 0.0), gradients[1:], strict=True):
        scale = (errors[0] + 1e-3) ** (gamma - 1)
        assert torch.allclose(gradient, scale * gradients[0], rtol=1e-4, atol=1e-7)
    assert scale != pytest.approx(1.0, abs=0.05)


def test_no_gradient_through_the_target():
    """The gradient is that of regression to a constant, though the product has one of its own."""
    network = tiny(ExtraTime.INTERVAL)
    batch = full_batch(noise(16, 4, 3, dtype=torch.float32))
    field = network.bind(torch.zeros(16, 2))
    method = make_method("meanflow", {"gamma": 1.0, "flow_ratio": 0.0})
    method.loss(field, batch, generator()).value.backward()
    whole = [p.grad.clone() for p in network.parameters()]
    network.zero_grad()
    g = generator()
    x = batch.noise(g)
    t, h = method.draw_interval(batch.actions, g)
    z, v = interpolate(batch.actions, x, t), x - batch.actions
    _, slope = mean_velocity_and_slope(field, z, t, h, v)
    constant = (v - h[:, None, None] * slope).detach()
    ((field(z, t, h) - constant) ** 2).mean().backward()
    for one, other in zip(whole, network.parameters(), strict=True):
        assert torch.allclose(one, other.grad, atol=2e-6)


@pytest.mark.parametrize("law", ["uniform", "logit-normal"])
def test_intervals(law: str):
    """0 ≤ r ≤ t ≤ 1; the flow ratio is the share with r = t, and whole intervals are drawn."""
    method = make_method("meanflow", {"flow_ratio": 0.3, "times": law, "whole": 0.2})
    t, h = method.draw_interval(torch.zeros(20_000, 1, 1, dtype=torch.float64), generator())
    assert ((h >= 0) & (h <= t) & (t <= 1)).all()
    assert float((h == 0).double().mean()) == pytest.approx(0.3, abs=0.015)
    assert float(((h == 1) & (t == 1)).double().mean()) == pytest.approx(0.7 * 0.2, abs=0.015)


def test_low_frequencies_keep_the_product_small():
    """Through SmolVLA's periods the product of a random network is far larger than through ours."""
    from network import ToyNetwork

    sizes = []
    for periods in ((0.5, 4.0), SMOLVLA_PERIODS):
        torch.manual_seed(0)
        network = ToyNetwork(2, (4, 3), ExtraTime.INTERVAL, width=64, periods=periods)
        field = network.bind(torch.zeros(64, 2))
        z, v = (noise(64, 4, 3, seed=i, dtype=torch.float32) for i in (0, 1))
        _, slope = mean_velocity_and_slope(field, z, torch.rand(64), torch.rand(64), v)
        sizes.append(float(slope.detach().abs().mean()))
    assert sizes[1] > 10 * sizes[0]


def test_sum_is_the_mean_times_the_entries():
    """The two reductions differ by H·D, which c has to follow."""
    batch = full_batch(noise(16, 4, 3, dtype=torch.float32))
    errors = []
    for reduction in ("mean", "sum"):
        network = tiny(ExtraTime.INTERVAL)
        method = make_method("meanflow", {"reduction": reduction})
        errors.append(
            method.loss(network.bind(torch.zeros(16, 2)), batch, generator()).logs["error"]
        )
    assert errors[1] == pytest.approx(12 * errors[0], rel=1e-5)


def test_split_target_is_the_mean_velocity():
    """Two jumps of the exact field make up one; without an interval the target is the data's v."""
    oracle, z, v = Gaussian(0.7, 0.4), noise(64, 2, 3), noise(64, 2, 3, seed=1)
    field = OracleField(oracle.mean_velocity, ExtraTime.INTERVAL)
    t, share = (torch.rand(64, generator=generator(i), dtype=torch.float64) for i in (0, 1))
    h = t * torch.rand(64, generator=generator(2), dtype=torch.float64)
    h[::4] = 0
    split = split_velocity(field, z, t, h, v, share)
    exact = torch.where(h[:, None, None] == 0, v, oracle.mean_velocity(z, t, h))
    assert (split - exact).abs().max() < 1e-12
    local = OracleField(lambda x, t, h: oracle.velocity(x, t), ExtraTime.INTERVAL)
    assert (split_velocity(local, z, t, h, v, share) - exact).abs().max() > 0.01


def test_split_learns_one_step():
    """Trained on a Gaussian without a derivative, one step has its mean and its spread."""
    network = tiny(ExtraTime.INTERVAL, chunk=(1, 2))
    method = make_method("meanflow", {"target": "split", "whole": 0.3})
    optimizer = torch.optim.Adam(network.parameters(), 3e-3)
    for step in range(1200):
        actions = 0.7 + 0.4 * noise(256, 1, 2, seed=step, dtype=torch.float32)
        loss = method.loss(network.bind(torch.zeros(256, 2)), full_batch(actions), generator(step))
        optimizer.zero_grad()
        loss.value.backward()
        optimizer.step()
    with torch.no_grad():
        x = noise(4096, 1, 2, seed=-1, dtype=torch.float32)
        y = method.sample(network.bind(torch.zeros(4096, 2)), lambda: x, 1)
    assert float(y.mean()) == pytest.approx(0.7, abs=0.1)
    assert float(y.std()) == pytest.approx(0.4, abs=0.12)
