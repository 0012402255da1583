"""Flow matching: solvers, times, and what truncation to one step means."""

from __future__ import annotations

import pytest
import torch

from fakes.closed_forms import Gaussian, Mixture, OracleField
from fakes.methods import Spy, full_batch, generator, noise, tiny
from vla_eval.errors import UsageError
from vla_eval_policies.methods import Batch, ExtraTime, make_method
from vla_eval_policies.methods.fm import draw_times
from vla_eval_policies.methods.solvers import solve, steps_of

TWO_MODES = Mixture(torch.tensor([[[1.0, 1.0]], [[-1.0, -1.0]]], dtype=torch.float64), 0.15)


def field_of(oracle) -> OracleField:
    return OracleField(lambda x, t, _: oracle.velocity(x, t))


def test_times_of_the_steps():
    """Ten steps ask at exactly 1, 0.9 … 0.1."""
    spy = Spy(field_of(Gaussian(0.0, 1.0)))
    make_method("fm").sample(spy, lambda: noise(4, 1, 2), 10)
    assert spy.times == pytest.approx([1 - k / 10 for k in range(10)])


@pytest.mark.parametrize("s", [0.1, 1.0])
@pytest.mark.parametrize("steps", [1, 2, 5, 10])
def test_gaussian_spread_matches_the_product(s: float, steps: int):
    """On a Gaussian, N steps give its mean and exactly the predicted part of its spread."""
    oracle, x = Gaussian(0.4, s), noise(4096, 1, 1)
    y = make_method("fm").sample(field_of(oracle), lambda: x, steps)
    assert torch.allclose(y, 0.4 + oracle.euler_std(steps) * x, atol=1e-12)


@pytest.mark.parametrize("name", ["fm", "fm-high-noise"])
def test_one_step_is_the_mean(name: str):
    """One step on two modes returns their middle for every noise; ten steps reach the modes."""
    one = make_method(name).sample(field_of(TWO_MODES), lambda: noise(512, 1, 2), 1)
    ten = make_method(name).sample(field_of(TWO_MODES), lambda: noise(512, 1, 2), 10)
    assert one.abs().max() < 1e-9
    assert (ten.abs().mean(-1) - 1).abs().median() < 0.15


def test_more_steps_are_closer():
    """The energy distance to the truth falls with the number of steps."""
    truth = TWO_MODES.draw(2048, generator(1))
    distances = [
        energy_distance(
            make_method("fm").sample(field_of(TWO_MODES), lambda: noise(2048, 1, 2), steps), truth
        )
        for steps in (1, 2, 3, 5, 10)
    ]
    assert distances == sorted(distances, reverse=True)
    assert distances[0] > 0.5
    assert distances[-1] < 0.02


def energy_distance(x, y) -> float:
    """2·E|x − y| − E|x − x'| − E|y − y'|."""
    x, y = x.flatten(1).double(), y.flatten(1).double()
    return float(2 * torch.cdist(x, y).mean() - torch.cdist(x, x).mean() - torch.cdist(y, y).mean())


def test_affine_field():
    """On v = A·x, N Euler steps are (I − A/N)^N."""
    matrix = torch.tensor([[0.5, -1.0], [0.3, 0.2]], dtype=torch.float64)
    x = noise(5, 1, 2)
    y = solve("euler", lambda p, _: p @ matrix.T, x, 7)
    power = torch.linalg.matrix_power(torch.eye(2, dtype=torch.float64) - matrix / 7, 7)
    assert torch.allclose(y, x @ power.T, atol=1e-12)


@pytest.mark.parametrize(("solver", "order"), [("euler", 1), ("midpoint", 2), ("heun", 1.5)])
def test_order_of_the_solvers(solver, order: float):
    """Twice the steps halve Euler's error and quarter the midpoint's; Heun ends with an Euler step."""
    matrix = torch.tensor([[0.5, -1.0], [0.3, 0.2]], dtype=torch.float64)
    x = noise(5, 1, 2)
    exact = x @ torch.linalg.matrix_exp(-matrix).T
    nfe = {"euler": (32, 64), "midpoint": (64, 128), "heun": (63, 127)}[solver]
    coarse, fine = (
        float((solve(solver, lambda p, _: p @ matrix.T, x, n) - exact).abs().max()) for n in nfe
    )
    assert coarse / fine > 2**order * 0.9


@pytest.mark.parametrize(("solver", "bad"), [("heun", 4), ("midpoint", 3), ("midpoint", 1)])
def test_solvers_refuse_what_they_cannot_spend(solver, bad: int):
    """A number of evaluations that does not fit is refused with a sentence, not rounded."""
    with pytest.raises(UsageError, match=f"solver '{solver}' needs an"):
        make_method("fm", {"solver": solver}).check_nfe(bad)
    assert steps_of("heun", 5) == 3


def test_training_times():
    """Times have mean 0.6 and stays in (0, 1]; α = 1 is flow matching; α > 1 goes nearer to the noise."""
    like = torch.zeros(100_000, 1, 1, dtype=torch.float64)
    t = draw_times(like, generator())
    assert float(t.mean()) == pytest.approx(0.6, abs=0.003)
    assert 0 < float(t.min()) <= float(t.max()) <= 1
    shifted = draw_times(like, generator(), shift=4.0)
    assert torch.allclose(shifted, 4 * t / (1 + 3 * t))
    assert 0.8 < float(shifted.mean()) < 1
    assert float(shifted.max()) <= 1
    same = [
        float(make_method(name, options).loss(field, batch, generator(3)).value)
        for name, options in (("fm", {}), ("fm-high-noise", {"shift": 1.0}))
        for field, batch in [(field_of(TWO_MODES), full_batch(noise(64, 1, 2)))]
    ]
    assert same[0] == same[1]


def test_padding_has_no_gradient():
    """What is padded, changes neither loss nor gradient."""
    method = make_method("fm")
    actions = noise(8, 4, 3, dtype=torch.float32)
    real = torch.ones_like(actions, dtype=torch.bool)
    real[:, 3:], real[:, :, 2] = False, False
    network = tiny(ExtraTime.NONE)

    class Watched:
        extra_time = network.extra_time

        def __call__(self, x, t, extra=None):
            self.output = network.bind(torch.zeros(8, 2))(x, t, extra)
            self.output.retain_grad()
            return self.output

    field = Watched()
    method.loss(field, Batch(actions, real), generator()).value.backward()
    assert (field.output.grad[~real] == 0).all()
    assert (field.output.grad[real] != 0).all()
