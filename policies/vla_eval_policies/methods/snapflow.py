"""SnapFlow: a flow-matching policy learns one jump from its own two half-steps.

Luan et al., arXiv 2604.05656. The network takes a second time s, the target of the jump; s = t asks
for the local velocity. From new noise x = ε::

    v₁ = v_θ(x, 1, s=1),   v₂ = v_θ(x − v₁/2, ½, s=½)        without gradient
    L  = α·‖ v_θ(x_t, t, s=t) − (ε − a) ‖²  +  (1 − α)·λ·‖ v_θ(x, 1, s=0) − (v₁ + v₂)/2 ‖²
    sampling  a = ε − v_θ(ε, 1, s=0)

The target is exactly the two-step Euler map of the local field. So the optimum is two-step flow
matching instead of ten-step: the target does not learn from finer steps. ``substeps`` = 10 replaces the
two half-steps by ten and removes this limit.

The paper chooses one of the two terms for each sample; here both are computed on every sample, which is
the same in expectation and has less variance.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import torch
from pydantic import Field as Option
from torch import Tensor

from vla_eval_policies.methods.field import (
    Batch,
    Draw,
    ExtraTime,
    Field,
    local_velocity,
    squared_error,
)
from vla_eval_policies.methods.fm import flow_matching_error
from vla_eval_policies.methods.method import Loss, Method, Preset, at
from vla_eval_policies.methods.solvers import solve

__all__ = ["SnapFlow"]


class SnapFlow(Method):
    """``snapflow``."""

    name: ClassVar[str] = "snapflow"
    summary: ClassVar[str] = "one step, distilled from the policy's own two half-steps"
    extra_time: ClassVar[ExtraTime] = ExtraTime.TARGET
    default_nfe: ClassVar[int] = 1
    knows_local_velocity: ClassVar[bool] = True
    presets: ClassVar[Mapping[str, Preset]] = {
        "published": Preset(
            {"alpha": 0.5, "weight": 0.1, "substeps": 2},
            "Luan et al., arXiv 2604.05656",
            training="30 000 steps, no moving average; the vision-language model is frozen",
            open="Batch size, learning rate and the law of t are not published. Starts from a "
            "flow-matching checkpoint.",
        ),
        "ten-substeps": Preset(
            {"alpha": 0.5, "weight": 1.0, "substeps": 10},
            "this project: the shortcut learns the ten-step map instead of the two-step map",
            open="Weight 1 instead of 0.1.",
        ),
    }

    alpha: float = Option(default=0.5, ge=0.0, le=1.0)
    """α, the share of flow matching in the loss; the rest is the shortcut term."""
    weight: float = Option(default=0.1, ge=0.0)
    """λ, an additional factor of the shortcut term."""
    substeps: int = Option(default=2, ge=1, le=10_000)
    """Number of Euler steps that compute the shortcut's target; 2 as published."""

    def loss(self, field: Field, batch: Batch, generator: torch.Generator) -> Loss:
        """α·flow matching + (1 − α)·λ·shortcut, with a target from the field's own velocities."""
        flow = flow_matching_error(field, batch, generator).mean()
        noise = batch.noise(generator)
        target = self.target(field, noise)
        jump = field(noise, at(1.0, noise), at(0.0, noise))
        shortcut = squared_error(jump, target, batch.real).mean()
        value = self.alpha * flow + (1 - self.alpha) * self.weight * shortcut
        return Loss(value, {"flow": float(flow.detach()), "shortcut": float(shortcut.detach())})

    @torch.no_grad()
    def target(self, field: Field, noise: Tensor) -> Tensor:
        """Return the mean velocity of the Euler steps from the noise, (B, H, D), without gradient."""
        end = solve("euler", lambda x, t: local_velocity(field, x, t), noise, self.substeps)
        return noise - end

    def sample(self, field: Field, draw: Draw, nfe: int) -> Tensor:
        """Jump from the noise to the action."""
        self.check_nfe(nfe)
        x = draw()
        return x - field(x, at(1.0, x), at(0.0, x))

    def check_nfe(self, nfe: int) -> None:
        """Raise UsageError for more than one step: s = 0 is trained only at t = 1."""
        self._only_one(nfe, "its jump is trained from pure noise alone; method=fm walks its field")
