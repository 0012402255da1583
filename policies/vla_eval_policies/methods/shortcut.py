"""Shortcut models: every step size learns from two steps of half the size.

Frans et al., arXiv 2410.12557 (published with time reversed). The network takes the step size d, a
power of two; the smallest, 1/128, stands for the local velocity::

    v₁ = v_θ̄(x_t, t, d/2),   v₂ = v_θ̄(x_t − d/2·v₁, t − d/2, d/2)        θ̄: moving average of θ
    L  = (1 − β)·‖ v_θ(x_t, t, 1/128) − (ε − a) ‖² + β·‖ v_θ(x_t, t, d) − (v₁ + v₂)/2 ‖²
    sampling  x ← x − d·v_θ(x, t, d),  d = 1/NFE

Unlike in SnapFlow, the targets form a chain: one step learns from two, two from four …, so the optimum
is the 128-step map. The published clip of targets to ±4 is for images and is left out. The paper splits
a batch (a share β bootstraps); here both terms are computed on every sample.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import torch
from pydantic import Field as Option
from torch import Tensor

from vla_eval.errors import UsageError
from vla_eval_policies.methods.field import (
    FINEST_STEP,
    Batch,
    Draw,
    ExtraTime,
    Field,
    interpolate,
    squared_error,
)
from vla_eval_policies.methods.fm import flow_matching_error
from vla_eval_policies.methods.method import Loss, Preset, TaughtMethod, at
from vla_eval_policies.methods.solvers import euler

__all__ = ["Shortcut"]

_FINEST = round(1 / FINEST_STEP)
_SIZES = _FINEST.bit_length() - 1
"""Number of step sizes whose half is also a step size: 1, 1/2 … 1/64."""


class Shortcut(TaughtMethod):
    """``shortcut``."""

    name: ClassVar[str] = "shortcut"
    summary: ClassVar[str] = "any power of two of steps; each step size learns from its half"
    extra_time: ClassVar[ExtraTime] = ExtraTime.STEP
    default_nfe: ClassVar[int] = 1
    knows_local_velocity: ClassVar[bool] = True
    presets: ClassVar[Mapping[str, Preset]] = {
        "published": Preset(
            {"bootstrap": 0.125},
            "Frans et al., arXiv 2410.12557, and its code",
            training="moving average 0.999",
            open="Without the clip of targets to ±4.",
        ),
    }

    bootstrap: float = Option(default=0.25, ge=0.0, le=1.0)
    """β, the share of self-consistency in the loss; the rest is flow matching."""

    def taught_loss(
        self, field: Field, teacher: Field, batch: Batch, generator: torch.Generator
    ) -> Loss:
        """(1 − β)·flow matching + β·self-consistency."""
        flow = flow_matching_error(field, batch, generator).mean()
        noise = batch.noise(generator)
        t, d = _draw_step(batch.actions, generator)
        x = interpolate(batch.actions, noise, t)
        target = self.target(teacher, x, t, d)
        consistency = squared_error(field(x, t, d), target, batch.real).mean()
        value = (1 - self.bootstrap) * flow + self.bootstrap * consistency
        return Loss(
            value, {"flow": float(flow.detach()), "consistency": float(consistency.detach())}
        )

    @torch.no_grad()
    def target(self, teacher: Field, x: Tensor, t: Tensor, d: Tensor) -> Tensor:
        """Return the mean velocity of two half-steps, (B, H, D)."""
        half = d / 2
        first = teacher(x, t, half)
        second = teacher(x - half[:, None, None] * first, t - half, half)
        return (first + second) / 2

    def sample(self, field: Field, draw: Draw, nfe: int) -> Tensor:
        """Take ``nfe`` equal steps."""
        self.check_nfe(nfe)
        return euler(lambda x, t: field(x, t, at(1 / nfe, x)), draw(), nfe)

    def check_nfe(self, nfe: int) -> None:
        """Raise UsageError unless ``nfe`` is a power of two up to 128."""
        super().check_nfe(nfe)
        if nfe & (nfe - 1) or nfe > _FINEST:
            raise UsageError(
                f"method '{self.name}' needs a power of two up to {_FINEST} as nfe, not {nfe}"
            )


def _draw_step(like: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Draw a step size d of at least 1/64, and t ∈ {d, 2d, …, 1}; both (B,)."""
    count, device = like.shape[0], generator.device
    exponent = torch.randint(_SIZES, (count,), generator=generator, device=device)
    d = 0.5**exponent
    position = torch.rand(count, generator=generator, device=device)
    t = d * (1 + torch.floor(position / d))
    return t.to(like), d.to(like)
