"""SnapFlow: its target is two Euler steps, no more."""

from __future__ import annotations

import pytest
import torch

from fakes.closed_forms import Gaussian, Mixture, OracleField
from fakes.methods import full_batch, generator, noise, tiny
from vla_eval.errors import UsageError
from vla_eval_policies.methods import make_method
from vla_eval_policies.methods.field import ExtraTime


@pytest.mark.parametrize("substeps", [2, 10])
def test_target_is_the_euler_map(substeps: int):
    """ε − target is where ``substeps`` Euler steps of the local field arrive, and not one step."""
    oracle = Mixture(torch.tensor([[[1.0, 1.0]], [[-1.0, -1.0]]], dtype=torch.float64), 0.15)
    field = OracleField(lambda x, t, _: oracle.velocity(x, t), ExtraTime.TARGET)
    x = noise(128, 1, 2)
    target = make_method("snapflow", {"substeps": substeps}).target(field, x)
    walked = make_method("fm").sample(field, lambda: x, substeps)
    assert torch.allclose(x - target, walked, atol=1e-12)
    assert not torch.allclose(x - target, make_method("fm").sample(field, lambda: x, 1), atol=0.1)


def test_optimum_between_two_sharp_modes():
    """The published target carries ε between ±m to m·tanh(m·ε), not to the modes."""
    m = 1.4
    oracle = Mixture(torch.tensor([[[m]], [[-m]]], dtype=torch.float64), 1e-6)
    field = OracleField(lambda x, t, _: oracle.velocity(x, t), ExtraTime.TARGET)
    x = noise(64, 1, 1)
    end = x - make_method("snapflow").target(field, x)
    assert torch.allclose(end, m * torch.tanh(m * x), atol=1e-6)


def test_gaussian_student_has_the_spread_of_two_steps():
    """On N(μ, s²) the published target leaves a spread of s²/(1 + s²)."""
    s = 0.6
    oracle = Gaussian(0.3, s)
    field = OracleField(lambda x, t, _: oracle.velocity(x, t), ExtraTime.TARGET)
    x = noise(64, 1, 1)
    end = x - make_method("snapflow").target(field, x)
    assert torch.allclose(end, 0.3 + s**2 / (1 + s**2) * x, atol=1e-12)


def test_asks_for_the_local_velocity_with_s_equal_t():
    """The targets are computed at s = t; only the jump has s = 0."""
    seen = []

    def formula(x, t, s):
        seen.append((float(t[0]), float(s[0])))
        return torch.zeros_like(x)

    method = make_method("snapflow")
    method.loss(OracleField(formula, ExtraTime.TARGET), full_batch(noise(4, 1, 2)), generator())
    assert seen[0][0] == seen[0][1]  # flow matching
    assert seen[1:] == [(1.0, 1.0), (0.5, 0.5), (1.0, 0.0)]


def test_no_gradient_through_the_target():
    """The shortcut's gradient is that of regression to a constant."""
    network = tiny(ExtraTime.TARGET)
    batch = full_batch(noise(16, 4, 3, dtype=torch.float32))
    field = network.bind(torch.zeros(16, 2))
    method = make_method("snapflow", {"alpha": 0.0, "weight": 1.0})
    method.loss(field, batch, generator()).value.backward()
    whole = [p.grad.clone() for p in network.parameters()]
    network.zero_grad()
    g = generator()
    batch.noise(g)  # the flow term's draws come first
    torch.rand(16, generator=g)
    x = batch.noise(g)
    constant = method.target(field, x).clone()
    jump = field(x, torch.ones(16), torch.zeros(16))
    ((jump - constant) ** 2).flatten(1).mean(1).mean().backward()
    for one, other in zip(whole, network.parameters(), strict=True):
        assert torch.allclose(one, other.grad, atol=1e-6)


def test_first_gradient_of_the_new_input():
    """At initialisation the new input's gradient is nonzero in its last layer only."""
    from network import ToyNetwork

    torch.manual_seed(0)
    network = ToyNetwork(2, (4, 3), ExtraTime.TARGET, width=32)
    batch = full_batch(noise(16, 4, 3, dtype=torch.float32))
    make_method("snapflow").loss(
        network.bind(torch.zeros(16, 2)), batch, generator()
    ).value.backward()
    second = dict(network.time.second.named_parameters())
    assert {name for name, p in second.items() if p.grad.abs().max() > 0} == {"3.weight", "3.bias"}


def test_more_steps_are_refused():
    """Since s = 0 is trained at t = 1 alone, so NFE 2 is refused; walking its field is method fm."""
    with pytest.raises(UsageError, match="method=fm"):
        make_method("snapflow").check_nfe(2)
