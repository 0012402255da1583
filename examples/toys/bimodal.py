"""Toy A: two equally good ways to act, and the results of the methods.

The observation o is uniform in [-1, 1]; the action, two-dimensional, is ±√2·(cos θ, sin θ) with
θ = π/4 + o/2, either sign with the same probability, plus noise of 0.15. A policy that averages the
two ways acts at 0, where no demonstration ever acted.

    python examples/toys/bimodal.py fm            # 10 steps
    python examples/toys/bimodal.py fm --nfe 1    # the same weights, one step: the average
    python examples/toys/bimodal.py snapflow
"""

from __future__ import annotations

import math
import time

import torch
from command_line import read_command
from mixture import Mixture
from network import ToyNetwork, sample, train
from torch import Tensor

from vla_eval_policies.methods import LOW_FREQUENCIES, Batch, Method, make_method

__all__ = ["RADIUS", "STD", "draw_batch", "evaluate", "oracle", "train_method"]

RADIUS, STD = math.sqrt(2), 0.15
SHAPE = (1, 2)
OBSERVATIONS = (-0.9, -0.6, -0.3, 0.0, 0.3, 0.6, 0.9)
SAMPLES = 1024


def axis(observation: Tensor) -> Tensor:
    """Return the direction (cos θ, sin θ), (B, 1, 2)."""
    angle = math.pi / 4 + observation[:, 0] / 2
    return torch.stack([angle.cos(), angle.sin()], -1)[:, None]


def oracle(observation: float) -> Mixture:
    """Return the true distribution of actions at one observation."""
    mode = RADIUS * axis(torch.tensor([[observation]]))
    return Mixture(torch.cat([mode, -mode]), STD)


def draw_batch(size: int):
    """Return a function that draws observations (B, 1) and demonstrated chunks (B, 1, 2)."""

    def draw(generator: torch.Generator) -> tuple[Tensor, Batch]:
        observation = 2 * torch.rand(size, 1, generator=generator) - 1
        side = 2 * torch.randint(2, (size, 1, 1), generator=generator) - 1
        noise = torch.randn((size, *SHAPE), generator=generator)
        actions = side * RADIUS * axis(observation) + STD * noise
        return observation, Batch(actions, torch.ones_like(actions, dtype=torch.bool))

    return draw


def train_method(
    method: Method,
    *,
    seed: int,
    steps: int = 3000,
    batch: int = 256,
    lr: float = 1e-3,
    start: ToyNetwork | None = None,
    periods: tuple[float, float] = LOW_FREQUENCIES,
):
    """Train a network, from scratch or from the weights of ``start``; return it and the last logs."""
    torch.manual_seed(seed)
    network = ToyNetwork(1, SHAPE, method.extra_time, periods=periods)
    if start is not None:
        # What the start does not have, the second time, keeps its initialisation.
        network.load_state_dict(start.state_dict(), strict=False)
    return train(network, method, draw_batch(batch), steps=steps, seed=seed, lr=lr)


def evaluate(network: ToyNetwork, method: Method, nfe: int) -> dict[str, float]:
    """Compare samples with the truth at seven observations.

    Returns:
        ``energy_distance``; ``hit`` and ``ghost``, the shares within 0.45 of a mode and more than 0.7
        off the modes' axis; ``spread_within``, the spread within modes over the true one; ``mse``, of one
        sample against one demonstration, per dimension.
    """
    rows = []
    for i, observation in enumerate(OBSERVATIONS):
        same = torch.full((SAMPLES, 1), observation)
        samples = sample(network, method, same, nfe, seed=100 + i, shape=SHAPE)
        rows.append(_compare(samples, oracle(observation), seed=200 + i))
    return {name: sum(row[name] for row in rows) / len(rows) for name in rows[0]}


def _compare(samples: Tensor, truth: Mixture, *, seed: int) -> dict[str, float]:
    real = truth.draw(SAMPLES, torch.Generator().manual_seed(seed))
    x, y = samples.flatten(1).double(), real.flatten(1).double()
    modes = truth.means.flatten(1).double()
    distance, nearest = torch.cdist(x, modes).min(1)
    near = distance < 0.45
    off_axis = x - (x @ modes[0])[:, None] * modes[0] / RADIUS**2
    spread = (x[near] - modes[nearest[near]]).std() / STD if near.sum() > 10 else torch.nan
    return {
        "energy_distance": energy_distance(x, y),
        "hit": float(near.double().mean()),
        "ghost": float((off_axis.norm(dim=1) > 0.7).double().mean()),
        "spread_within": float(spread),
        "mse": float(((x - y) ** 2).mean()),
    }


def energy_distance(x: Tensor, y: Tensor) -> float:
    """Return 2·E|x − y| − E|x − x'| − E|y − y'| between points (N, D); pairs of one point left out."""
    n, m = len(x), len(y)
    within = torch.cdist(x, x).sum() / (n * (n - 1)) + torch.cdist(y, y).sum() / (m * (m - 1))
    return float(2 * torch.cdist(x, y).mean() - within)


def main() -> None:
    command = read_command(__doc__, steps=3000)
    torch.set_num_threads(1)
    began = time.perf_counter()
    start = None
    if command.method.name == "snapflow":
        start, _ = train_method(make_method("fm"), seed=command.seed, steps=command.steps)
    network, logs = train_method(
        command.method, seed=command.seed, steps=command.steps, start=start
    )
    row = evaluate(network, command.method, command.nfe)
    seconds = time.perf_counter() - began
    print(f"{command.name}, nfe {command.nfe}, {seconds:.0f} s; last step: {logs}")
    for name, value in row.items():
        print(f"  {name:16} {value:.4f}")


if __name__ == "__main__":
    main()
