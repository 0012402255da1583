"""Shortcut models and diffusion."""

from __future__ import annotations

import math

import pytest
import torch

from fakes.closed_forms import Gaussian, Mixture, OracleField, PointMass
from fakes.methods import Spy, full_batch, generator, noise, tiny
from vla_eval.errors import UsageError
from vla_eval_policies.methods import ExtraTime, make_method
from vla_eval_policies.methods.diffusion import alpha_bars


def test_shortcut_identity_holds_for_the_oracle():
    """The exact mean velocity is its own target, at every step size; the local velocity is not."""
    oracle, method = Gaussian(0.4, 0.5), make_method("shortcut")
    mean = OracleField(oracle.mean_velocity, ExtraTime.STEP)
    local = OracleField(lambda x, t, _: oracle.velocity(x, t), ExtraTime.STEP)
    x = noise(32, 1, 2)
    for size in (1.0, 0.25):
        t, d = (torch.full((32,), v, dtype=torch.float64) for v in (1.0, size))
        assert torch.allclose(method.target(mean, x, t, d), mean(x, t, d), atol=1e-10)
        assert not torch.allclose(method.target(local, x, t, d), local(x, t, d), atol=1e-2)
    y = method.sample(mean, lambda: x, 1)
    assert torch.allclose(y, 0.4 + 0.5 * x, atol=1e-10)


def test_shortcut_steps_stay_on_the_grid():
    """Step sizes are 1 … 1/64, t a multiple of d in (0, 1], and no time below 0 is asked for."""
    spy = Spy(tiny(ExtraTime.STEP).bind(torch.zeros(4096, 2)))
    batch = full_batch(noise(4096, 4, 3, dtype=torch.float32))
    make_method("shortcut").loss(spy, batch, generator())
    (_, fine), (t, half), (later, _), (again, d) = spy.calls
    assert (fine == 1 / 128).all()
    assert set((2 * half).tolist()) == {0.5**k for k in range(7)}
    assert torch.equal(d, 2 * half)
    assert torch.equal(t, again)
    assert ((t / d) == (t / d).round()).all()
    assert float(later.min()) > 0
    assert float(t.max()) == 1.0


def test_shortcut_bootstraps_from_the_teacher():
    """Targets come from the moving average where there is one, and carry no gradient."""
    network, teacher = tiny(ExtraTime.STEP), tiny(ExtraTime.STEP, seed=1)
    batch = full_batch(noise(16, 4, 3, dtype=torch.float32))
    method = make_method("shortcut", {"bootstrap": 1.0})
    observation = torch.zeros(16, 2)
    own = method.loss(network.bind(observation), batch, generator()).value
    taught = method.taught_loss(
        network.bind(observation), teacher.bind(observation), batch, generator()
    )
    assert own.item() != taught.value.item()
    taught.value.backward()
    assert all(each.grad is None for each in teacher.parameters())


@pytest.mark.parametrize("nfe", [3, 256])
def test_shortcut_refuses_other_numbers(nfe: int):
    """Only powers of two up to 128 are steps that it knows."""
    with pytest.raises(UsageError, match="power of two"):
        make_method("shortcut").check_nfe(nfe)
    field = tiny(ExtraTime.STEP).bind(torch.zeros(1, 2))
    with pytest.raises(UsageError, match="power of two"):
        make_method("shortcut").sample(field, lambda: noise(1, 4, 3, dtype=torch.float32), nfe)


def test_schedule():
    """ᾱ falls from about 1; one step from the last would amplify an error 2029 times."""
    bars = alpha_bars(100)
    assert (bars[1:] < bars[:-1]).all()
    assert float(bars[0]) > 0.999
    assert float(bars[-1] ** -0.5) == pytest.approx(2029, abs=1)


def test_one_step_of_diffusion_hits_the_clip():
    """Of an untrained network, one DDIM step is all clip; flow matching's is not."""
    field = tiny(ExtraTime.NONE).bind(torch.zeros(64, 2))

    def draw():
        return noise(64, 4, 3, dtype=torch.float32)

    one = make_method("ddim", {"clip": 1.0}).sample(field, draw, 1)
    assert float((one.abs() == 1).double().mean()) > 0.99
    assert float((make_method("fm").sample(field, draw, 1).abs() > 1).double().mean()) < 0.9


def test_ddim_reaches_the_modes():
    """With the exact noise prediction for two modes, DDIM lands near them."""
    mixture = Mixture(torch.tensor([[[1.0]], [[-1.0]]], dtype=torch.float64), 0.05)
    bars = alpha_bars(100)

    def predicted_noise(x, t, _):
        # x_k = √ᾱ·a + √(1 − ᾱ)·ε is a scaled x_t of ours with t/(1 − t) = √(1 − ᾱ)/√ᾱ.
        bar = bars[(t * 100).round().long() - 1][:, None, None]
        scale = bar.sqrt() + (1 - bar).sqrt()
        time = ((1 - bar).sqrt() / scale)[:, 0, 0]
        action = mixture.expected_action(x / scale, time)
        return (x - bar.sqrt() * action) / (1 - bar).sqrt()

    y = make_method("ddim").sample(OracleField(predicted_noise), lambda: noise(256, 1, 1), 50)
    assert float((y.abs() - 1).abs().max()) < 0.25
    assert 0.35 < float((y > 0).double().mean()) < 0.65


def test_a_step_of_ddpm_by_hand():
    """The action that the predicted noise leaves, what remains of that noise, and fresh noise beside it."""
    x, noise_, fresh = 0.7, 0.4, -1.3
    bar, following = 0.5, 0.8
    action = (x - math.sqrt(1 - bar) * noise_) / math.sqrt(bar)
    variance = (1 - following) / (1 - bar) * (1 - bar / following)
    kept = math.sqrt(following) * action + math.sqrt(1 - following - variance) * noise_
    step = make_method("ddpm")._step(
        *(torch.full((1, 1, 1), each, dtype=torch.float64) for each in (x, noise_)),
        bar,
        following,
        lambda: torch.full((1, 1, 1), fresh, dtype=torch.float64),
    )
    assert float(step) == pytest.approx(kept + math.sqrt(variance) * fresh)


def test_ddpm_variance_is_the_posteriors():
    """With all steps taken, σ² = β̃ = (1 − ᾱ')/(1 − ᾱ)·β; DDIM draws nothing after its start."""
    bars = alpha_bars(100)
    ddpm, draws = make_method("ddpm"), []

    def draw():
        draws.append(1)
        return torch.ones(1, 1, 1, dtype=torch.float64)

    x = torch.zeros(1, 1, 1, dtype=torch.float64)
    k = 40
    step = ddpm._step(x, x, float(bars[k]), float(bars[k - 1]), draw)
    beta = 1 - bars[k] / bars[k - 1]
    posterior = (1 - bars[k - 1]) / (1 - bars[k]) * beta
    assert float(step) ** 2 == pytest.approx(float(posterior), rel=1e-9)
    draws.clear()
    oracle = PointMass(torch.zeros(1, 1, dtype=torch.float64))
    field = OracleField(lambda y, t, _: oracle.noise(y, t, bars))
    make_method("ddim").sample(field, draw, 10)
    assert len(draws) == 1
    make_method("ddpm").sample(field, draw, 10)
    assert len(draws) == 1 + 10  # the start, and all steps but the last
