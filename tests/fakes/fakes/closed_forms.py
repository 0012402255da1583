"""Distributions whose flow is known in closed form: what every method can be held against.

Actions of one observation are Gaussian, a mixture of Gaussians, or a single point. Each oracle
answers like a perfectly trained network; none needs training.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

sys.path.insert(0, str(Path(__file__).parents[3] / "examples" / "toys"))

from mixture import Mixture

from vla_eval_policies.methods.field import ExtraTime, Field

__all__ = ["Gaussian", "Mixture", "OracleField", "PointMass"]


@dataclass(frozen=True)
class OracleField:
    """A formula in the place of a network; there is one observation only."""

    formula: Callable[[Tensor, Tensor, Tensor | None], Tensor]
    """f(x, t, extra), with x (B, H, D), t and extra (B,)."""
    extra_time: ExtraTime = ExtraTime.NONE

    def __call__(self, x: Tensor, t: Tensor, extra: Tensor | None = None) -> Tensor:
        """Evaluate."""
        return self.formula(x, t, extra)

    def repeat(self, copies: int) -> Field:
        """Return itself."""
        del copies
        return self


def _time(t: Tensor) -> Tensor:
    return t[:, None, None]


@dataclass(frozen=True)
class Gaussian:
    """a ~ N(μ, s²) in every dimension; S_t² = (1 − t)²s² + t²."""

    mean: float
    std: float

    def velocity(self, x: Tensor, t: Tensor) -> Tensor:
        """Return v = −μ + (t − (1 − t)s²)/S_t² · (x − (1 − t)μ)."""
        time = _time(t)
        slope = (time - (1 - time) * self.std**2) / self._variance(time)
        return -self.mean + slope * (x - (1 - time) * self.mean)

    def flow(self, x: Tensor, t: Tensor, r: Tensor) -> Tensor:
        """X_{t→r} = (1 − r)μ + S_r/S_t · (x − (1 − t)μ): where the exact flow carries x."""
        start, end = _time(t), _time(r)
        scale = (self._variance(end) / self._variance(start)).sqrt()
        return (1 - end) * self.mean + scale * (x - (1 - start) * self.mean)

    def mean_velocity(self, x: Tensor, t: Tensor, h: Tensor) -> Tensor:
        """Return u = (x − X_{t→t−h}(x))/h, and v where h = 0."""
        safe = torch.where(h == 0, torch.ones_like(h), h)
        mean = (x - self.flow(x, t, t - h)) / _time(safe)
        return torch.where(_time(h) == 0, self.velocity(x, t), mean)

    def euler_std(self, steps: int) -> float:
        """Standard deviation after N Euler steps: ∏ (1 − (t − (1 − t)s²)/(N·S_t²))."""
        product = 1.0
        for k in range(steps):
            t = 1 - k / steps
            variance = (1 - t) ** 2 * self.std**2 + t**2
            product *= 1 - (t - (1 - t) * self.std**2) / (steps * variance)
        return product

    def _variance(self, time: Tensor) -> Tensor:
        return (1 - time) ** 2 * self.std**2 + time**2


@dataclass(frozen=True)
class PointMass:
    """One action, (H, D): v = (x − a)/t, constant along the way, so every method is exact."""

    action: Tensor

    def velocity(self, x: Tensor, t: Tensor) -> Tensor:
        """Return v = (x − a)/t."""
        return (x - self.action.to(x.device, x.dtype)) / _time(t)

    def noise(self, x: Tensor, t: Tensor, bars: Tensor) -> Tensor:
        """Diffusion's ε = (x − √ᾱ·a)/√(1 − ᾱ), with ᾱ (T,) and t = (k + 1)/T."""
        k = (t * len(bars)).round().long() - 1
        bar = bars.to(x)[k][:, None, None]
        return (x - bar.sqrt() * self.action.to(x.device, x.dtype)) / (1 - bar).sqrt()
