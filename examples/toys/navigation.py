"""Toy B: around an obstacle, left or right. How long may a chunk be executed before averaging shows?

A point starts near (0, 0), a disc of radius 0.18 stands at (0, 0.5), the goal is (0, 1). The expert
passes on either side with the same probability. The observation is the position, a chunk is 16
displacements. A policy that averages the two ways walks into the disc. If it looks again after every step,
however, chance leads it to one side, and it seems to work.

    python examples/toys/navigation.py fm            # success over the execution horizon
    python examples/toys/navigation.py fm --nfe 1
"""

from __future__ import annotations

import time
from typing import NamedTuple

import torch
from command_line import read_command
from network import ToyNetwork, train
from torch import Tensor

from vla_eval_policies.methods import Batch, KeyStone, Method, make_method

__all__ = ["HORIZONS", "Demonstrations", "offline_errors", "rollout", "train_method"]

CHUNK = (16, 2)
CENTRE, RADIUS = torch.tensor([0.0, 0.5]), 0.18
GOAL, ARRIVED = torch.tensor([0.0, 1.0]), 0.06
SPEED = 0.04
LIMIT = 64
HORIZONS = (1, 3, 5, 10, 16)
STEPS = 5000


def start_positions(count: int, generator: torch.Generator) -> Tensor:
    """Draw the first positions of episodes, (count, 2)."""
    return 0.02 * torch.randn(count, 2, generator=generator)


def expert_walk(count: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Return demonstrated positions and displacements, each (count, LIMIT, 2)."""
    position = start_positions(count, generator)
    side = 2.0 * torch.randint(2, (count, 1), generator=generator) - 1
    gate = torch.cat([side * 0.33, torch.full_like(side, 0.5)], 1)
    positions, steps = [], []
    for _ in range(LIMIT):
        before = (position[:, 1:] < 0.45) & ((position - gate).norm(dim=1, keepdim=True) > 0.08)
        away = torch.where(before, gate, GOAL) - position
        length = away.norm(dim=1, keepdim=True)
        step = away / length.clamp(min=1e-6) * length.clamp(max=SPEED)
        moving = (position - GOAL).norm(dim=1, keepdim=True) > 0.01
        step = torch.where(moving, step + 0.004 * torch.randn(count, 2, generator=generator), 0)
        positions.append(position)
        steps.append(step)
        position = position + step
    return torch.stack(positions, 1), torch.stack(steps, 1)


class Scaling(NamedTuple):
    """Scales every dimension to mean 0 and unit spread, and back."""

    mean: Tensor
    std: Tensor

    @classmethod
    def of(cls, values: Tensor) -> Scaling:
        """Return the scaling that brings values (..., D) to mean 0 and unit spread."""
        rows = values.flatten(0, -2)
        return cls(rows.mean(0), rows.std(0))

    def apply(self, values: Tensor) -> Tensor:
        """Scale."""
        return (values - self.mean) / self.std

    def undo(self, scaled: Tensor) -> Tensor:
        """Return the values again."""
        return scaled * self.std + self.mean


class Demonstrations:
    """Walks of the expert, cut into chunks; positions and chunks are learned scaled to unit spread.

    The spread of chunks is that of all their entries, with the zeros that stand behind the arrival. By
    the moving steps alone, whose forward part hardly varies but for the expert's noise, those zeros
    would lie nearly seven spreads off, and the noise would be most of that part's variance.

    Args:
        count: walks.
        seed: of their noise and sides.
        like: walks whose mean and spread to scale by; None: these walks' own.
    """

    def __init__(self, count: int, *, seed: int, like: Demonstrations | None = None) -> None:
        positions, steps = expert_walk(count, torch.Generator().manual_seed(seed))
        still = torch.zeros(count, CHUNK[0], 2)
        chunks = torch.cat([steps, still], 1).unfold(1, CHUNK[0], 1)[:, :LIMIT].transpose(2, 3)
        useful = (positions - GOAL).norm(dim=2) > 0.01
        self.position_scaling = like.position_scaling if like else Scaling.of(positions[useful])
        self.chunk_scaling = like.chunk_scaling if like else Scaling.of(chunks[useful])
        self.observations = self.position_scaling.apply(positions[useful])
        self.chunks = self.chunk_scaling.apply(chunks[useful])

    def draw(self, size: int):
        """Return a function that draws minibatches."""

        def draw(generator: torch.Generator) -> tuple[Tensor, Batch]:
            index = torch.randint(len(self.chunks), (size,), generator=generator)
            actions = self.chunks[index]
            real = torch.ones_like(actions, dtype=torch.bool)
            return self.observations[index], Batch(actions, real)

        return draw


def train_method(
    method: Method,
    demos: Demonstrations,
    *,
    seed: int,
    steps: int = STEPS,
    batch: int = 256,
    lr: float = 3e-3,
    start: ToyNetwork | None = None,
) -> ToyNetwork:
    """Train a network, from scratch or from the weights of ``start``."""
    torch.manual_seed(seed)
    network = ToyNetwork(2, CHUNK, method.extra_time)
    if start is not None:
        network.load_state_dict(start.state_dict(), strict=False)
    return train(network, method, demos.draw(batch), steps=steps, seed=seed, lr=lr)[0]


@torch.no_grad()
def chunks_of(
    network: ToyNetwork,
    method: Method,
    observations: Tensor,
    nfe: int,
    generator: torch.Generator,
    *,
    keystone: KeyStone | None = None,
    executed: int = CHUNK[0],
) -> Tensor:
    """Return a chunk for every observation, (B, 16, 2), scaled; with KeyStone the selected one of K."""
    many = keystone.samples if keystone else 1

    def draw() -> Tensor:
        return torch.randn((len(observations) * many, *CHUNK), generator=generator)

    samples = method.sample(network.bind(observations).repeat(many), draw, nfe)
    if keystone is None:
        return samples
    groups = samples.unflatten(0, (-1, many))
    chosen = [keystone.select(group[:, :executed].numpy()).index for group in groups]
    return groups[torch.arange(len(groups)), chosen]


def rollout(
    network: ToyNetwork,
    method: Method,
    demos: Demonstrations,
    *,
    nfe: int,
    horizon: int,
    episodes: int = 256,
    seed: int = 7,
    keystone: KeyStone | None = None,
) -> int:
    """Return how many episodes reach the goal without touching the disc."""
    generator = torch.Generator().manual_seed(seed)
    position = start_positions(episodes, generator)
    crashed, arrived = torch.zeros(2, episodes, dtype=torch.bool)
    for step in range(LIMIT):
        if step % horizon == 0:
            seen = demos.position_scaling.apply(position)
            scaled = chunks_of(
                network, method, seen, nfe, generator, keystone=keystone, executed=horizon
            )
            chunk = demos.chunk_scaling.undo(scaled)
        position = position + chunk[:, step % horizon]
        crashed |= ~arrived & ((position - CENTRE).norm(dim=1) < RADIUS)
        arrived |= ~crashed & ((position - GOAL).norm(dim=1) < ARRIVED)
    return int(arrived.sum())


def offline_errors(
    network: ToyNetwork, method: Method, held_out: Demonstrations, nfe: int
) -> dict[str, float]:
    """Return the offline errors that papers report: one sample against one demonstration."""
    generator = torch.Generator().manual_seed(3)
    index = torch.randperm(len(held_out.chunks), generator=generator)[:2000]
    chunks = chunks_of(network, method, held_out.observations[index], nfe, generator)
    errors = ((chunks - held_out.chunks[index]) ** 2).flatten(1).mean(1)
    return {
        "mse": float(errors.mean()),
        "mse_std": float(errors.std()),
        "mse_p95": float(errors.quantile(0.95)),
    }


def main() -> None:
    command = read_command(__doc__, steps=STEPS)
    torch.set_num_threads(1)
    demos = Demonstrations(300, seed=command.seed)
    began = time.perf_counter()
    start = None
    if command.method.name == "snapflow":
        start = train_method(make_method("fm"), demos, seed=command.seed, steps=command.steps)
    network = train_method(
        command.method, demos, seed=command.seed, steps=command.steps, start=start
    )
    seconds = time.perf_counter() - began
    print(f"{command.name}, nfe {command.nfe}, trained in {seconds:.0f} s")
    for horizon in HORIZONS:
        arrived = rollout(network, command.method, demos, nfe=command.nfe, horizon=horizon)
        print(f"  execution horizon {horizon:2}: {arrived}/256")
    held_out = Demonstrations(50, seed=99, like=demos)
    print(f"  offline: {offline_errors(network, command.method, held_out, command.nfe)}")


if __name__ == "__main__":
    main()
