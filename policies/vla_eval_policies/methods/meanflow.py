"""MeanFlow: the network learns the mean velocity over an interval.

Geng et al., arXiv 2505.13447; as a policy arXiv 2603.01469 (Mean-Flow One-Step VLA) and 2507.10543
(MP1). With the interval [r, t], h = t − r::

    u(z, r, t) = 1/h ∫ᵣᵗ v dτ        so that    u = v − h·du/dt,   du/dt = v·∂_z u + ∂_t u
    L  = sg(w)·Δ²,   Δ² = ‖ u_θ − sg(v − h·du_θ/dt) ‖²,   v = ε − a,   w = (Δ² + c)^−(1 − γ)
    sampling  z ← z − h·u_θ(z, h, t);   one step: a = ε − u_θ(ε, 1, 1)

du/dt is one Jacobian-vector product with tangents (v, 1, 1) on (z, t, h), at fixed r. It passes through
the embeddings of t and h, so these need low frequencies: with SmolVLA's periods, down to 0.004, the
product becomes too large. For such networks ``target`` = "split" needs no derivative (SplitMeanFlow,
arXiv 2507.16884): with m between r and t, and z_m = z − (t − m)·u(z, m, t),

    h·u(z, r, t) = (t − m)·u(z, m, t) + (m − r)·u(z_m, r, m),      and u(z, t, t) = v

The right side is the target, without gradient; samples with r = t learn v from the data.

``flow_ratio`` is the share of samples with r = t (1: pure flow matching); one public code base uses
"ratio" for the opposite share. γ = 1 is plain L2; below 1, samples with large errors weigh less.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

import torch
from pydantic import Field as Option
from torch import Tensor
from torch.func import jvp

from vla_eval_policies.methods.field import (
    Batch,
    Draw,
    ExtraTime,
    Field,
    interpolate,
    squared_error,
)
from vla_eval_policies.methods.method import Loss, Method, Preset, at
from vla_eval_policies.methods.solvers import euler

__all__ = ["MeanFlow"]

_AS_PUBLISHED = {"times": "logit-normal", "whole": 0.0}


class MeanFlow(Method):
    """``meanflow``."""

    name: ClassVar[str] = "meanflow"
    summary: ClassVar[str] = "one or a few steps along the mean velocity of an interval"
    extra_time: ClassVar[ExtraTime] = ExtraTime.INTERVAL
    default_nfe: ClassVar[int] = 1
    knows_local_velocity: ClassVar[bool] = True
    short_period_options: ClassVar[Mapping[str, Any]] = {"target": "split"}
    presets: ClassVar[Mapping[str, Preset]] = {
        "one-step-vla": Preset(
            {"flow_ratio": 0.2, "gamma": 0.5, "c": 1e-3, **_AS_PUBLISHED, "reduction": "sum"},
            "arXiv 2603.01469, tables I to IV: flow ratio 0.2, γ 0.5, chunk 20",
            training="60 000 steps on one task, 200 000 on several; SmolVLM-2 is frozen",
            open="c and the law of times are not published; 1e-3, and the law of the MeanFlow paper.",
        ),
        "imagenet": Preset(
            {"flow_ratio": 0.75, "gamma": 0.0, "c": 0.01, **_AS_PUBLISHED, "reduction": "sum"},
            "Geng et al., arXiv 2505.13447, and its code",
            training="learning rate 1e-4, β₂ 0.95, moving average 0.9999",
            open="Without classifier-free guidance.",
        ),
        "mp1": Preset(
            {"flow_ratio": 0.5, "gamma": 0.5, "c": 1e-3, **_AS_PUBLISHED, "reduction": "mean"},
            "arXiv 2507.10543, and its code",
            training="AdamW, learning rate 1e-4, moving average with power 0.75",
            open="Without its dispersive loss, which belongs to its UNet, and without its guidance, "
            "whose condition is the same on both sides, so that its mean is u itself.",
        ),
    }

    flow_ratio: float = Option(default=0.5, ge=0.0, le=1.0)
    """Share of samples with r = t, which learn the local velocity; 1 is flow matching."""
    gamma: float = Option(default=0.5, ge=0.0, le=1.0)
    """γ of the loss's weight (Δ² + c)^−(1 − γ): 1 is plain L2; below 1, large errors weigh less."""
    c: float = Option(default=1e-3, gt=0.0)
    """Constant that keeps the weight finite; in units of Δ², hence of ``reduction``."""
    reduction: Literal["mean", "sum"] = "mean"
    """Whether Δ² is the mean or the sum over a chunk's real entries; published codes differ, by H·D."""
    times: Literal["uniform", "logit-normal"] = "uniform"
    """Distribution from which the two times r < t are drawn."""
    whole: float = Option(default=0.1, ge=0.0, le=1.0)
    """Share of samples with (r, t) = (0, 1), the interval that a one-step sample uses."""
    target: Literal["derivative", "split"] = "derivative"
    """Target of u: v − h·du/dt, or u's own values on the two parts of a split interval."""

    def loss(self, field: Field, batch: Batch, generator: torch.Generator) -> Loss:
        """sg(w)·‖ u_θ − sg(v − h·du_θ/dt) ‖²."""
        noise = batch.noise(generator)
        t, h = self.draw_interval(batch.actions, generator)
        z, v = interpolate(batch.actions, noise, t), noise - batch.actions
        if self.target == "split":
            share = torch.rand(len(t), generator=generator, device=generator.device).to(t)
            u, target = field(z, t, h), split_velocity(field, z, t, h, v, share)
        else:
            with torch.autocast(z.device.type, enabled=False):  # the product needs float32
                u, du_dt = mean_velocity_and_slope(
                    field, z.float(), t.float(), h.float(), v.float()
                )
                target = (v - h[:, None, None] * du_dt).detach()
        error = squared_error(u, target, batch.real)
        if self.reduction == "sum":
            error = error * batch.real.flatten(1).sum(1)
        weight = (error.detach() + self.c) ** (self.gamma - 1)
        return Loss((weight * error).mean(), {"error": float(error.detach().mean())})

    @property
    def differentiates(self) -> bool:
        """Whether the loss needs du/dt, that is, unless the target is split."""
        return self.target == "derivative"

    def draw_interval(self, like: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Draw t and h = t − r, each (B,)."""
        count, device = like.shape[0], generator.device
        if self.times == "uniform":
            pair = torch.rand(2, count, generator=generator, device=device)
        else:
            pair = torch.sigmoid(torch.randn(2, count, generator=generator, device=device) - 0.4)
        t, r = pair.max(0).values, pair.min(0).values
        chance = torch.rand(2, count, generator=generator, device=device)
        local = chance[0] < self.flow_ratio
        whole = ~local & (chance[1] < self.whole)
        t = torch.where(whole, torch.ones_like(t), t)
        h = torch.where(local, torch.zeros_like(t), torch.where(whole, t, t - r))
        return t.to(like), h.to(like)

    def sample(self, field: Field, draw: Draw, nfe: int) -> Tensor:
        """Take ``nfe`` equal jumps."""
        self.check_nfe(nfe)
        return euler(lambda z, t: field(z, t, at(1 / nfe, z)), draw(), nfe)


def mean_velocity_and_slope(
    field: Field, z: Tensor, t: Tensor, h: Tensor, v: Tensor
) -> tuple[Tensor, Tensor]:
    """Return u(z, h, t) and its total derivative du/dt along the flow, both (B, H, D)."""
    ones = torch.ones_like(t)
    result = jvp(field.__call__, (z, t, h), (v, ones, ones))
    return result[0], result[1]


@torch.no_grad()
def split_velocity(
    field: Field, z: Tensor, t: Tensor, h: Tensor, v: Tensor, share: Tensor
) -> Tensor:
    """Return the mean velocity over [t − h, t], computed by two jumps, (B, H, D); v where h = 0.

    Args:
        field: u(z, t, h).
        z: (B, H, D), at time t.
        t: (B,).
        h: (B,).
        v: (B, H, D), the velocity of the data.
        share: (B,) in [0, 1], share of the interval that the first jump covers.
    """
    first = share * h
    start = field(z, t, first)
    rest = field(z - first[:, None, None] * start, t - first, h - first)
    part = share[:, None, None]
    return torch.where(h[:, None, None] == 0, v, part * start + (1 - part) * rest)
