"""Time direction and velocity sign: every method ends at the action, and would not the other way."""

from __future__ import annotations

import pytest
import torch

from fakes.closed_forms import OracleField, PointMass
from fakes.methods import Spy, full_batch, generator, noise, tiny
from vla_eval.errors import UsageError
from vla_eval_policies.methods import METHODS, ExtraTime, Method, make_method
from vla_eval_policies.methods.diffusion import DDPM, alpha_bars
from vla_eval_policies.methods.field import CONVENTION, local_velocity, reversed_field

ACTION = torch.tensor([[0.3, -0.8], [0.5, 0.1]], dtype=torch.float64)


def exact_field(name: str, sign: float = 1.0) -> OracleField:
    """What a perfectly trained network of a method answers when there is one action only."""
    method = make_method(name)
    oracle = PointMass(ACTION)
    if method.convention.output == "noise":
        bars = alpha_bars(100)
        return OracleField(lambda x, t, _: sign * oracle.noise(x, t, bars))
    return OracleField(lambda x, t, _: sign * oracle.velocity(x, t), method.extra_time)


def most_evaluations(method: Method) -> int:
    """Return 4, or 1 where the method is defined for one evaluation only."""
    try:
        method.check_nfe(4)
    except UsageError:
        return 1
    return 4


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize("nfe", [1, 2, 8])
def test_samples_end_at_the_only_action(name: str, nfe: int):
    """With the exact field each method returns the action; with its sign flipped it does not."""
    method = make_method(name)
    try:
        method.check_nfe(nfe)
    except UsageError:
        pytest.skip("not defined for so many evaluations")

    def draw():
        return noise(16, 2, 2)

    assert torch.allclose(
        method.sample(exact_field(name), draw, nfe), ACTION.expand(16, 2, 2), atol=1e-9
    )
    flipped = method.sample(exact_field(name, -1.0), draw, nfe)
    assert (flipped - ACTION).abs().mean() > 0.3


@pytest.mark.parametrize("name", METHODS)
def test_loss_is_least_at_the_exact_field(name: str):
    """With one action, the exact field has no loss; half of it and its opposite have more."""
    if name == "drift":
        pytest.skip("its loss value says nothing; see test_drift")
    method = make_method(name)
    batch = full_batch(ACTION.expand(64, 2, 2))
    losses = [
        float(method.loss(exact_field(name, sign), batch, generator()).value)
        for sign in (1.0, 0.5, -1.0)
    ]
    assert losses[0] < 1e-6
    assert losses[0] + 0.01 < losses[1] < losses[2]


@pytest.mark.parametrize("name", METHODS)
def test_time_runs_from_noise_to_action(name: str):
    """The first evaluation is at t = 1, none is at t = 0, and the time falls."""
    method = make_method(name)
    nfe = most_evaluations(method)
    spy = Spy(exact_field(name))
    method.sample(spy, lambda: noise(3, 2, 2), nfe)
    assert spy.times[0] == pytest.approx(1.0)
    assert min(spy.times) > 0
    assert spy.times == sorted(spy.times, reverse=True)


@pytest.mark.parametrize("name", METHODS)
def test_cost_is_what_is_spent(name: str):
    """The NFE that a method states is how often it asks the network."""
    method = make_method(name)
    for nfe in (1, 2, 4, 8):
        try:
            cost = method.cost(nfe)
        except UsageError:
            continue
        spy = Spy(exact_field(name))
        method.sample(spy, lambda: noise(3, 2, 2), nfe)
        assert len(spy.calls) == cost.passes == cost.nfe == nfe


@pytest.mark.parametrize("extra_time", ExtraTime)
def test_a_new_network_ignores_its_second_time(extra_time: ExtraTime):
    """At initialisation the second time changes no bit, so flow-matching weights start as they were."""
    from network import ToyNetwork

    torch.manual_seed(0)
    network = ToyNetwork(2, (4, 3), extra_time, width=32)
    field = network.bind(torch.zeros(5, 2))
    x, t = noise(5, 4, 3, dtype=torch.float32), torch.full((5,), 0.5)
    if extra_time is ExtraTime.NONE:
        with pytest.raises(ValueError, match="extra time is 'none'"):
            field(x, t, t)
        return
    with pytest.raises(ValueError, match="gave none"):
        field(x, t)
    plain = network.body(torch.cat([torch.zeros(5, 2), x.flatten(1), network.time.time(t)], -1))
    for value in (1.0, 0.5, 0.25):
        assert torch.equal(field(x, t, torch.full((5,), value)).flatten(1), plain)


@pytest.mark.parametrize("extra_time", ExtraTime)
def test_local_velocity_of_every_network(extra_time: ExtraTime):
    """Any method's network can be walked as a flow: s = t, h = 0, the finest d."""
    spy = Spy(tiny(extra_time).bind(torch.zeros(5, 2)))
    t = torch.full((5,), 0.75)
    local_velocity(spy, noise(5, 4, 3, dtype=torch.float32), t)
    expected = {"none": None, "target": 0.75, "interval": 0.0, "step": 1 / 128}[extra_time]
    extra = spy.calls[0][1]
    assert extra is None if expected is None else float(extra[0]) == expected


def test_reversed_network_is_adapted():
    """A network with noise at t = 0 and v = a − ε gives the same chunks through the adapter only."""
    ours = PointMass(ACTION)
    theirs = OracleField(lambda x, t, _: -ours.velocity(x, 1 - t))
    method = make_method("fm")
    adapted = method.sample(reversed_field(theirs), lambda: noise(8, 2, 2), 10)
    assert torch.allclose(adapted, ACTION.expand(8, 2, 2), atol=1e-9)
    raw = method.sample(theirs, lambda: noise(8, 2, 2), 1)
    assert not torch.isfinite(raw).all() or (raw - ACTION).abs().mean() > 0.3


def test_declared_convention():
    """The noise is at t = 1; all but diffusion predict ε − a."""
    assert {kind.convention.noise_at for kind in METHODS.values()} == {CONVENTION.noise_at} == {1.0}
    others = {name for name, kind in METHODS.items() if kind.convention != CONVENTION}
    assert others == {name for name, kind in METHODS.items() if issubclass(kind, DDPM)}
    assert {METHODS[name].convention.output for name in others} == {"noise"}


@pytest.mark.parametrize(
    "name", [name for name, kind in METHODS.items() if kind.knows_local_velocity]
)
def test_local_velocity_is_learned(name: str):
    """Where a method says that its networks know it, a wrong local velocity has more loss."""
    method, oracle = make_method(name), PointMass(ACTION)

    def field(share: float) -> OracleField:
        def velocity(x, t, extra):
            local = method.extra_time.local(t)
            right = torch.ones_like(t) if local is None else (extra == local).to(t)
            wrong = share * right + (1 - right)
            return wrong[:, None, None] * oracle.velocity(x, t)

        return OracleField(velocity, method.extra_time)

    batch = full_batch(ACTION.expand(64, 2, 2))
    losses = [float(method.loss(field(share), batch, generator()).value) for share in (1.0, 0.5)]
    assert losses[0] + 0.01 < losses[1]
