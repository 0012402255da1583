"""Real-time chunking: the mask, the strength, and the guided velocity, against closed forms."""

from __future__ import annotations

import pytest
import torch

from fakes.closed_forms import Gaussian, OracleField
from fakes.methods import noise, tiny
from vla_eval_policies.methods import ExtraTime, make_method
from vla_eval_policies.methods.rtc import Guided, soft_mask, strength

FM = make_method("fm")


@pytest.mark.parametrize(
    ("decay", "expected"),
    [
        ("linear", [1, 1, 0.8, 0.6, 0.4, 0.2, 0, 0, 0, 0]),
        ("exponential", [1, 1, 0.570589, 0.287072, 0.114492, 0.025770, 0, 0, 0, 0]),
    ],
)
def test_soft_mask(decay, expected):
    """N = 6 queued actions, d = 2 of them executed during the inference, H = 10."""
    weights = soft_mask(10, [6, 0], [2, 2], decay)
    assert weights[0].tolist() == pytest.approx(expected, abs=1e-6)
    assert not weights[1].any()


def test_a_queue_shorter_than_the_delay_counts_whole():
    """Its robot stalls afterwards; nothing is known of later actions."""
    assert soft_mask(5, [2], [4], "linear").tolist() == [[1, 1, 0, 0, 0]]


@pytest.mark.parametrize(
    ("beta", "expected"),
    [
        (5.0, [5, 5, 4.25, 2.7619, 2.1667, 2, 2.1667, 2.7619, 4.25, 5]),
        (10.0, [10, 9.1111, 4.25, 2.7619, 2.1667, 2, 2.1667, 2.7619, 4.25, 9.1111]),
    ],
)
def test_strength(beta, expected):
    """At t = 1, 0.9 … 0.1."""
    t = 1 - torch.arange(10, dtype=torch.float64) / 10
    assert strength(t, beta).tolist() == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize(("beta", "weight"), [(0.0, 1.0), (5.0, 0.0)])
@pytest.mark.parametrize("solver", ["euler", "midpoint"])
def test_without_strength_or_weight_nothing_changes(solver, beta, weight):
    """Bit for bit."""
    field, x = tiny(ExtraTime.NONE).bind(torch.zeros(5, 2)), noise(5, 4, 3, dtype=torch.float32)
    method, y = make_method("fm", {"solver": solver}), torch.ones_like(x)
    guided = Guided(field, y, torch.full_like(x, weight), beta)
    assert torch.equal(method.sample(guided, lambda: x, 4), method.sample(field, lambda: x, 4))
    other = Guided(field, y, torch.ones_like(x), 5.0)
    assert not torch.equal(method.sample(other, lambda: x, 4), method.sample(field, lambda: x, 4))


def test_constant_velocity_reaches_the_target_in_a_step():
    """With J = I and β·h = 1, the estimate after one step is y where W = 1, and unchanged where W = 0."""
    velocity, x, y = torch.tensor([0.3, -0.2]), noise(1, 2, 2), noise(1, 2, 2, seed=1)
    weights = torch.tensor([[[1.0, 1.0], [0.0, 0.0]]], dtype=torch.float64)
    guided = Guided(OracleField(lambda x, _t, _e: velocity + 0 * x), y, weights, beta=5.0)
    h, t = 0.2, torch.ones(1, dtype=torch.float64)
    after = x - h * guided(x, t) - (1 - h) * velocity
    assert torch.allclose(after[0, 0], y[0, 0])
    assert torch.allclose(after[0, 1], (x - velocity)[0, 1])


def test_product_with_the_jacobian():
    """For N(μ, s²), J = (1 − t)·s²/S_t²; its sign pulls towards y."""
    oracle, x, y, t = Gaussian(0.4, 0.5), noise(3, 2, 1), noise(3, 2, 1, seed=1), 0.6
    field = OracleField(lambda x, t, _: oracle.velocity(x, t))
    times = torch.full((3,), t, dtype=torch.float64)
    v = oracle.velocity(x, times)
    slope = (1 - t) * 0.25 / ((1 - t) ** 2 * 0.25 + t**2)
    pull = float(strength(times[0], 5.0)) * slope * (y - (x - t * v))
    assert torch.allclose(Guided(field, y, torch.ones_like(x), 5.0)(x, times), v - pull)


def test_an_exact_field_cannot_be_guided_in_one_step():
    """At pure noise its estimate is the mean for every noise: J = 0, which is why nfe = 1 is refused."""
    oracle, x = Gaussian(0.4, 0.5), noise(3, 2, 1)
    field = OracleField(lambda x, t, _: oracle.velocity(x, t))
    guided = Guided(field, x + 1, torch.ones_like(x), 5.0)
    assert torch.allclose(FM.sample(guided, lambda: x, 1), FM.sample(field, lambda: x, 1))


def test_copies_of_a_guided_chunk_keep_its_target_and_weights():
    """Each chunk's copies stand behind one another and are guided as it is; the field is repeated with them."""
    field = tiny(ExtraTime.NONE).bind(torch.tensor([[0.1, -0.4], [0.7, 0.2]]))
    x, y = (noise(2, 4, 3, seed=seed, dtype=torch.float32) for seed in (0, 1))
    weights = soft_mask(4, [3, 2], [1, 0], "linear")[:, :, None].expand(2, 4, 3)
    guided, t = Guided(field, y, weights, 5.0), torch.tensor([0.5, 0.8])
    copies = guided.repeat(3)(x.repeat_interleave(3, 0), t.repeat_interleave(3, 0))
    assert copies.shape == (6, 4, 3)
    assert torch.allclose(copies, guided(x, t).repeat_interleave(3, 0), atol=1e-6)
