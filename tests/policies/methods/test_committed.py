"""Known first actions: what a network is given, and that one step continues them."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from fakes.methods import Spy, full_batch, generator, noise
from vla_eval_policies.methods import METHODS, ExtraTime, TimeEmbedding, make_method
from vla_eval_policies.methods.committed import Committed, draw_known, first
from vla_eval_policies.methods.network import VelocityNetwork
from vla_eval_policies.training.loop import Optimisation, Trainer

H, D = 4, 1


class TokenNetwork(VelocityNetwork):
    """A perceptron on chunks and a time for each of their tokens; there is one observation only."""

    def __init__(self, extra_time: ExtraTime) -> None:
        super().__init__()
        self.extra_time = extra_time
        self.time = TimeEmbedding(8, extra_time)
        self.body = nn.Sequential(
            nn.Linear(H * (D + 8), 64),
            nn.SiLU(),
            nn.Linear(64, 64),
            nn.SiLU(),
            nn.Linear(64, H * D),
        )

    def bind(self, observation):
        del observation
        return self

    def repeat(self, copies: int):
        del copies
        return self

    def forward(self, x: Tensor, t: Tensor, extra: Tensor | None = None) -> Tensor:
        when = self.time(t, extra)
        when = when[:, None].expand(-1, H, -1) if t.dim() == 1 else when
        return self.body(torch.cat([x, when], -1).flatten(1)).reshape(x.shape)


def lines(generator: torch.Generator):
    """Straight lines up or down with the same probability: their first action says which."""
    up = torch.randint(2, (32, 1, 1), generator=generator) * 2.0 - 1
    return None, full_batch(up * torch.linspace(0.5, 1.5, H)[None, :, None])


def trained(name: str, max_delay: int) -> TokenNetwork:
    torch.manual_seed(0)
    method = make_method(name)
    how = Optimisation(steps=150, lr=1e-2, warmup=20, ema=0.9)
    trainer = Trainer(
        TokenNetwork(method.extra_time), method, lines, how, seed=0, max_delay=max_delay
    )
    while not trainer.done:
        trainer.advance()
    return trainer.averaged.eval()


@pytest.mark.parametrize("name", ["snapflow", "mse"])
def test_one_step_continues_the_known_action(name):
    """The rest of the line is on the known side; without such training it is not."""
    method, (_, batch) = make_method(name), lines(generator(1))
    known = first(batch.actions, [1] * 32)
    error = {}
    for max_delay in (1, 0):
        field = trained(name, max_delay)
        with torch.no_grad():
            chunks = method.sample(Committed(field, known), lambda: noise(32, H, D).float(), 1)
        error[max_delay] = float((chunks - batch.actions)[:, 1:].abs().mean())
    assert error[1] < 0.25
    assert error[0] > 0.5


@pytest.mark.parametrize("name", METHODS)
def test_every_method_learns_only_the_rest(name):
    """Known actions are masked from its loss, and the noise in their place is not seen."""
    method = make_method(name)
    network = TokenNetwork(method.extra_time)
    field = Committed(network, first(noise(6, H, D).float(), [2] * 6))
    batch = full_batch(noise(6, H, D).float())
    known, masked = draw_known(batch, 2, generator())
    assert not (masked.real & known.where).any()
    value = method.loss(Committed(network, known), masked, generator()).value
    assert torch.isfinite(value)
    x = noise(6, H, D).float()
    changed = torch.cat([x[:, :2] + 1, x[:, 2:]], 1)
    t = torch.full((6,), 0.5)
    extra = method.extra_time.local(t)
    assert torch.equal(field(x, t, extra), field(changed, t, extra))


@pytest.mark.parametrize("kind", ExtraTime)
def test_known_tokens_are_clean(kind):
    """Time 0, with the extra time of the local velocity there; the others keep theirs."""
    spy = Spy(TokenNetwork(kind))
    field = Committed(spy, first(torch.ones(2, H, D), [0, 3]))
    t = torch.tensor([1.0, 0.5])
    field(torch.zeros(2, H, D), t, None if kind is ExtraTime.NONE else 0.25 * t)
    ((times, extra),) = spy.calls
    assert times.tolist() == [[1.0] * 4, [0, 0, 0, 0.5]]
    if extra is not None:
        local = float(kind.local(torch.zeros(1)))
        assert extra.tolist() == [[0.25] * 4, [local] * 3 + [0.125]]


def test_delays_are_uniform():
    """Each number of known actions from 0 to max_delay has the same chance; the real entries shrink."""
    known, batch = draw_known(full_batch(torch.zeros(4000, H, D)), 3, generator())
    counts = known.where[:, :, 0].sum(1).bincount(minlength=4)
    assert (counts - 1000).abs().max() < 120
    assert torch.equal(batch.real, ~known.where.expand(-1, -1, D))
