"""Drifting: the force's symmetries, its zeros, and its gradient."""

from __future__ import annotations

import pytest
import torch

from fakes.methods import full_batch, generator, noise, tiny
from vla_eval_policies.methods import Batch, ExtraTime, make_method, spread_to_error
from vla_eval_policies.methods.drift import drift_force

GROUPINGS = ("action-dimension", "chunk", "timestep")
TEMPERATURES = (0.02, 0.05, 0.2)


def force(g, a, grouping="chunk", temperatures=TEMPERATURES, real=None):
    real = torch.ones(g.shape[0], *g.shape[2:], dtype=torch.bool) if real is None else real
    return drift_force(g, a, real, temperatures=temperatures, grouping=grouping)


@pytest.mark.parametrize("grouping", GROUPINGS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_no_force_where_all_are_the_demonstration(grouping, dtype):
    """With every sample on the demonstration the force is exactly 0, in float32 too."""
    a = noise(5, 4, 3, dtype=dtype)
    v, _ = force(a[:, None].expand(5, 8, 4, 3).clone(), a, grouping)
    assert (v == 0).all()
    v, _ = force(a[:, None] + 0.1 * noise(5, 8, 4, 3, seed=1, dtype=dtype), a, grouping)
    assert (v != 0).all()


@pytest.mark.parametrize("grouping", GROUPINGS)
def test_symmetries(grouping):
    """Scale and place do not matter; the samples' order is kept."""
    g, a = noise(5, 8, 4, 3), noise(5, 4, 3, seed=1)
    v, sigma = force(g, a, grouping)
    moved, wider = force(3 * g + 2, 3 * a + 2, grouping)
    assert torch.allclose(v, moved, atol=1e-4)
    assert torch.allclose(3 * sigma, wider)
    order = torch.randperm(8, generator=generator())
    assert torch.allclose(v[:, order], force(g[:, order], a, grouping)[0], atol=1e-9)


@pytest.mark.parametrize("grouping", GROUPINGS)
def test_one_temperature_has_unit_force(grouping):
    """Each temperature's force has a mean square of 1, so the loss value says nothing."""
    v, _ = force(noise(9, 8, 4, 3), noise(9, 4, 3, seed=1), grouping, (0.2,))
    assert float((v**2).mean()) == pytest.approx(1.0, abs=1e-6)


@pytest.mark.parametrize("grouping", GROUPINGS)
def test_gradient_is_the_force(grouping):
    """∂L/∂g = −2V/(σ·n)."""
    g = noise(5, 8, 4, 3).requires_grad_()
    a = noise(5, 4, 3, seed=1)
    v, sigma = force(g.detach(), a, grouping)
    (((g / sigma) - (g / sigma + v).detach()) ** 2).mean().backward()
    assert torch.allclose(g.grad, -2 * v / sigma / g.numel(), atol=1e-12)


def test_loss_follows_the_force():
    """The method's own loss moves an output along V: a step against the gradient nears the demo."""
    a = noise(16, 4, 3, seed=1, dtype=torch.float32)
    offset = torch.full((16 * 8, 4, 3), 3.0, requires_grad=True)

    class Free:
        extra_time = ExtraTime.NONE

        def __call__(self, x, t, extra=None):
            return offset

        def repeat(self, copies):
            return self

    method = make_method("drift")
    method.loss(Free(), full_batch(a), generator()).value.backward()
    many = full_batch(a).repeat(8)
    before = many.noise(generator()) - offset.detach()
    after = before + 0.05 * offset.grad.sign()  # g = ε − offset: against the gradient of g
    assert (after - many.actions).abs().mean() < (before - many.actions).abs().mean()


def test_the_gradient_of_the_loss_by_hand():
    """−2V/σ over the number of entries, for each sample; the output has the opposite sign."""
    a = noise(4, 4, 3, seed=1, dtype=torch.float32)
    out = noise(4 * 8, 4, 3, seed=2, dtype=torch.float32).requires_grad_()

    class Free:
        extra_time = ExtraTime.NONE

        def __call__(self, x, t, extra=None):
            return out

        def repeat(self, copies):
            return self

    method = make_method("drift", {"grouping": "chunk"})
    method.loss(Free(), full_batch(a), generator()).value.backward()
    samples = full_batch(a).repeat(8).noise(generator()) - out.detach()
    real = torch.ones_like(a, dtype=torch.bool)
    v, sigma = force(samples.reshape(4, 8, 4, 3), a, "chunk", method.temperatures, real)
    expected = (2 * v / sigma / samples.numel()).reshape(samples.shape)
    assert abs(float(sigma.mean()) - 1) > 0.05
    assert torch.allclose(out.grad, expected, rtol=1e-4, atol=1e-7)


def test_truth_is_nearly_a_fixed_point():
    """Samples from the demonstrations' own distribution feel no mean force towards their centre.

    Samples that are too wide do, and narrow ones feel a force outwards.
    """
    inward = {}
    for width in (0.5, 1.0, 2.0):
        g, a = width * noise(3000, 8, 1, 2), noise(3000, 1, 2, seed=1)
        v, _ = force(g, a)
        along = -(v * g).sum((-1, -2)) / g.norm(dim=(-1, -2))
        inward[width] = (float(along.mean()), float(along.mean(1).std() / 3000**0.5))
    mean, error = inward[1.0]
    assert abs(mean) < 3 * error
    assert inward[2.0][0] > 10 * inward[2.0][1]
    assert inward[0.5][0] < -10 * inward[0.5][1]


def test_groupings_weigh_dimensions_differently():
    """With scales 10 : 1 : 1 : 0.1 the chunk's force follows the large dimension, the others do not."""
    scales = torch.tensor([10.0, 1.0, 1.0, 0.1], dtype=torch.float64)
    g, a = noise(64, 8, 16, 4) * scales, noise(64, 16, 4, seed=1) * scales
    rms = {
        grouping: (force(g, a, grouping)[0] ** 2).mean((0, 1, 2)).sqrt()
        for grouping in ("chunk", "action-dimension")
    }
    assert rms["chunk"][0] > 10 * rms["chunk"][3]
    assert rms["action-dimension"].max() < 1.2 * rms["action-dimension"].min()


@pytest.mark.parametrize("grouping", GROUPINGS)
def test_padding_feels_nothing(grouping):
    """Padded coordinates have exactly no force, and what stands in them changes nothing."""
    g, a = noise(6, 8, 4, 3), noise(6, 4, 3, seed=1)
    real = torch.ones(6, 4, 3, dtype=torch.bool)
    real[:, :, 2] = False
    real[0, 2:] = False
    v, _ = force(g, a, grouping, real=real)
    assert (v[~real[:, None].expand_as(v)] == 0).all()
    assert (v[real[:, None].expand_as(v)] != 0).all()
    other = torch.where(real[:, None], g, 100 * torch.ones_like(g))
    assert torch.equal(v, force(other, torch.where(real, a, 7.0), grouping, real=real)[0])


def test_untrained_network_has_unit_spread():
    """The velocity output starts with the noise's spread; the direct one with next to none."""
    batch = full_batch(noise(32, 4, 3, dtype=torch.float32))
    spreads = {
        output: make_method("drift", {"output": output})
        .loss(tiny(ExtraTime.NONE).bind(torch.zeros(32, 2)), batch, generator())
        .logs["spread"]
        for output in ("velocity", "direct")
    }
    assert 0.7 < spreads["velocity"] < 1.4
    assert spreads["direct"] < 0.3


def test_collapse_guard():
    """A calibrated sampler has a ratio of 1 whatever its width; a collapsed one is near 0."""
    real = torch.ones(2000, 1, 2, dtype=torch.bool)
    for width in (0.01, 1.0):
        centre = noise(2000, 1, 2)
        a = centre + width * noise(2000, 1, 2, seed=1)
        honest = centre[:, None] + width * noise(2000, 8, 1, 2, seed=2)
        assert spread_to_error(honest, a, real) == pytest.approx(1.0, abs=0.08)
        collapsed = centre[:, None] + 0.1 * width * noise(2000, 8, 1, 2, seed=2)
        assert spread_to_error(collapsed, a, real) < 0.02


def test_autocast_does_not_reach_the_force():
    """Under autocast the loss is computed in float32: the guard."""
    a = noise(8, 16, 7, dtype=torch.float32)
    batch = Batch(a, torch.ones_like(a, dtype=torch.bool))
    g = a[:, None] + 0.01 * noise(8, 8, 16, 7, seed=2, dtype=torch.float32)

    class Fixed:
        extra_time = ExtraTime.NONE

        def __call__(self, x, t, extra=None):
            return x - g.flatten(0, 1)

        def repeat(self, copies):
            return self

    method = make_method("drift", {"grouping": "chunk"})
    plain = method.loss(Fixed(), batch, generator()).value
    with torch.autocast("cpu", dtype=torch.bfloat16):
        guarded = method.loss(Fixed(), batch, generator()).value
    assert guarded.dtype == torch.float32
    assert torch.equal(plain, guarded)
