"""Small things that several tests of methods use."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor, nn

sys.path.insert(0, str(Path(__file__).parents[3] / "examples" / "toys"))

from network import ToyNetwork

from vla_eval_policies.methods import Batch, ExtraTime, Field


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def noise(*shape: int, seed: int = 0, dtype=torch.float64) -> Tensor:
    return torch.randn(shape, generator=generator(seed), dtype=dtype)


def full_batch(actions: Tensor) -> Batch:
    return Batch(actions, torch.ones_like(actions, dtype=torch.bool))


def tiny(extra_time: ExtraTime, *, seed: int = 0, chunk=(4, 3)) -> ToyNetwork:
    """A small random network; its second time does something, unlike at initialisation."""
    torch.manual_seed(seed)
    network = ToyNetwork(2, chunk, extra_time, width=32)
    if isinstance(network.time.second, nn.Sequential):
        nn.init.normal_(network.time.second[-1].weight, std=0.1)
    return network


@dataclass
class Spy:
    """A field that notes when it is asked."""

    inner: Field
    calls: list[tuple[Tensor, Tensor | None]] = field(default_factory=list)
    """(t, extra) of every call."""

    @property
    def extra_time(self) -> ExtraTime:
        return self.inner.extra_time

    def __call__(self, x, t, extra=None):
        self.calls.append((t.clone(), None if extra is None else extra.clone()))
        return self.inner(x, t, extra)

    def repeat(self, copies: int) -> Spy:
        return Spy(self.inner.repeat(copies), self.calls)

    @property
    def times(self) -> list[float]:
        return [float(t[0]) for t, _ in self.calls]
