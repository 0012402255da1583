"""Shortcut models, diffusion, and real-time chunking."""

from __future__ import annotations

import pytest
import torch

from fakes.methods import Spy, full_batch, generator, noise, tiny
from vla_eval.errors import UsageError
from vla_eval_policies.methods import ExtraTime, RealTimeChunking, make_method
from vla_eval_policies.methods.diffusion import alpha_bars
from vla_eval_policies.methods.oracles import Gaussian, Mixture, OracleField, PointMass


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
    taught = method.loss(network.bind(observation), batch, generator(), teacher.bind(observation))
    assert own.item() != taught.value.item()
    taught.value.backward()
    assert all(each.grad is None for each in teacher.parameters())


@pytest.mark.parametrize("nfe", [3, 256])
def test_shortcut_refuses_other_numbers(nfe: int):
    """Only powers of two up to 128 are steps that it knows."""
    with pytest.raises(UsageError, match="power of two"):
        make_method("shortcut").check_nfe(nfe)


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


def gaussian_field(mean=0.0, std=0.5):
    oracle = Gaussian(mean, std)
    return OracleField(lambda x, t, _: oracle.velocity(x, t))


def test_guidance_without_weight_is_the_plain_flow():
    """W = 0 gives the plain chunks to the last bits; W = 1 does not."""
    rtc, x = RealTimeChunking(), noise(8, 6, 2)
    previous = torch.ones(8, 6, 2, dtype=torch.float64)
    plain = make_method("fm").sample(gaussian_field(), lambda: x, 5)
    none = rtc.sample(gaussian_field(), lambda: x, 5, previous=previous, weights=torch.zeros(6))
    assert torch.allclose(plain, none, atol=1e-12)
    whole = rtc.sample(gaussian_field(), lambda: x, 5, previous=previous, weights=torch.ones(6))
    assert (whole - previous).abs().mean() < 0.7 * (plain - previous).abs().mean()


def test_guidance_pulls_the_frozen_steps_alone():
    """The steps with weight come nearer to the previous chunk, the others stay where they were."""
    rtc, x = RealTimeChunking(), noise(64, 6, 2)
    previous = torch.ones(64, 6, 2, dtype=torch.float64)
    weights = rtc.weights(6, delay=2, overlap=2)
    plain = make_method("fm").sample(gaussian_field(), lambda: x, 5)
    guided = rtc.sample(gaussian_field(), lambda: x, 5, previous=previous, weights=weights)
    assert torch.allclose(guided[:, 2:], plain[:, 2:], atol=1e-12)
    assert (guided[:, :2] - 1).abs().mean() < 0.7 * (plain[:, :2] - 1).abs().mean()


def test_guidance_does_nothing_at_pure_noise():
    """An exact field's denoised estimate does not depend on x at t = 1, so one step is refused."""
    from torch.func import vjp

    field, t = gaussian_field(), torch.ones(4, dtype=torch.float64)
    _, pull_back = vjp(lambda x: x - field(x, t), noise(4, 6, 2))
    assert (pull_back(torch.ones(4, 6, 2, dtype=torch.float64))[0].abs() < 1e-12).all()
    # The gradient of the estimate elsewhere: J = (1 − t)s²/S_t².
    half = 0.5 * t
    _, pull_back = vjp(lambda x: x - 0.5 * field(x, half), noise(4, 6, 2))
    expected = 0.5 * 0.25 / (0.25 * 0.25 + 0.25)
    pulled = pull_back(torch.ones(4, 6, 2, dtype=torch.float64))[0]
    assert torch.allclose(pulled, torch.full_like(pulled, expected))
    with pytest.raises(UsageError, match="nfe of at least 2"):
        RealTimeChunking().sample(
            field, lambda: noise(4, 6, 2), 1, previous=noise(4, 6, 2), weights=torch.ones(6)
        )


@pytest.mark.parametrize("decay", ["linear", "exponential"])
def test_guidance_weights(decay):
    """1 while frozen, then falling, then 0; an overlap shorter than the delay is refused."""
    weights = RealTimeChunking(decay=decay).weights(10, delay=3, overlap=7)
    assert weights[:3].tolist() == [1, 1, 1]
    assert weights[7:].tolist() == [0, 0, 0]
    middle = weights[2:8].tolist()
    assert middle == sorted(middle, reverse=True)
    assert len(set(middle)) == 6
    with pytest.raises(UsageError, match="delay"):
        RealTimeChunking().weights(10, delay=5, overlap=4)
