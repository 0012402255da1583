"""The toys' network: a multilayer perceptron on (observation, x, time), with the methods' interface."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from tqdm import tqdm

from vla_eval_policies.methods import LOW_FREQUENCIES, ExtraTime, Method, TimeEmbedding
from vla_eval_policies.methods.network import VelocityNetwork
from vla_eval_policies.training.loop import Optimisation, Trainer

__all__ = ["ToyNetwork", "sample", "train"]


@dataclass(frozen=True)
class ToyField:
    network: ToyNetwork
    observation: Tensor

    @property
    def extra_time(self) -> ExtraTime:
        return self.network.extra_time

    def __call__(self, x: Tensor, t: Tensor, extra: Tensor | None = None) -> Tensor:
        return self.network(self.observation, x, t, extra)

    def repeat(self, copies: int) -> ToyField:
        return ToyField(self.network, self.observation.repeat_interleave(copies, 0))


class ToyNetwork(VelocityNetwork):
    """f(x, t, extra | observation) for chunks (B, H, D) and observations (B, O)."""

    def __init__(
        self,
        observation_size: int,
        chunk: tuple[int, int],
        extra_time: ExtraTime,
        *,
        width: int = 128,
        periods: tuple[float, float] = LOW_FREQUENCIES,
    ) -> None:
        super().__init__()
        self.extra_time = extra_time
        self.time = TimeEmbedding(32, extra_time, periods=periods)
        size = chunk[0] * chunk[1]
        self.body = nn.Sequential(
            nn.Linear(observation_size + size + 32, width),
            nn.SiLU(),
            nn.Linear(width, width),
            nn.SiLU(),
            nn.Linear(width, width),
            nn.SiLU(),
            nn.Linear(width, size),
        )

    def forward(self, observation: Tensor, x: Tensor, t: Tensor, extra: Tensor | None) -> Tensor:
        """Return f, (B, H, D)."""
        inputs = torch.cat([observation, x.flatten(1), self.time(t, extra)], -1)
        return self.body(inputs).reshape(x.shape)

    def bind(self, observation: Tensor) -> ToyField:
        """Return the velocity field of these observations; nothing has to be encoded."""
        return ToyField(self, observation)


def train(network: ToyNetwork, method: Method, draw, *, steps: int, seed: int, lr: float = 1e-3):
    """Train, and return the averaged network and the last step's logs."""
    how = Optimisation(steps=steps, lr=lr, warmup=steps // 10, ema=0.999)
    trainer = Trainer(network, method, draw, how, seed=seed)
    logs = {}
    with tqdm(total=steps, unit="step", disable=None) as bar:  # on a terminal only
        while not trainer.done:
            logs = trainer.advance()
            bar.update()
    return trainer.averaged.eval(), logs


@torch.no_grad()
def sample(network: ToyNetwork, method: Method, observation: Tensor, nfe: int, *, seed: int, shape):
    """Return a chunk for every observation, (B, H, D)."""
    generator = torch.Generator().manual_seed(seed)

    def draw() -> Tensor:
        return torch.randn((len(observation), *shape), generator=generator)

    return method.sample(network.bind(observation), draw, nfe)
