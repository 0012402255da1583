"""Flow matching with many steps, and its truncation to one.

Lipman et al., arXiv 2210.02747; as in π0 and SmolVLA (arXiv 2506.01844).

    loss      E ‖ v_θ(x_t, t) − (ε − a) ‖²,      t = 0.001 + 0.999·u,  u ~ Beta(1.5, 1)
    sampling  x ← x − v_θ(x, t)/N  at t = 1, 1 − 1/N, …, 1/N

With one step and an exact field, x = E[a | observation] for any noise. That is a regressor: it averages
over the modes of the demonstrations.
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
    Field,
    interpolate,
    local_velocity,
    squared_error,
)
from vla_eval_policies.methods.method import Loss, Method, Preset
from vla_eval_policies.methods.solvers import Solver, solve, steps_of

__all__ = ["FlowMatching", "HighNoiseFlowMatching", "flow_matching_error"]


class FlowMatching(Method):
    """``fm``."""

    name: ClassVar[str] = "fm"
    summary: ClassVar[str] = "flow matching: N steps along the learned velocity"
    default_nfe: ClassVar[int] = 10
    knows_local_velocity: ClassVar[bool] = True
    presets: ClassVar[Mapping[str, Preset]] = {
        "smolvla": Preset(
            {},
            "Shukor et al., arXiv 2506.01844, and LeRobot's code",
            training="AdamW, 30 000 steps, 1000 of them warm-up, learning rate 1e-4 falling to 2.5e-6, "
            "weight decay 1e-10, gradients clipped at 10; the vision-language model is frozen",
        ),
    }

    solver: Solver = "euler"
    """Solver of the flow; midpoint needs two evaluations a step, Heun two except in the last step."""
    shift: float = Option(default=1.0, gt=0.0)
    """α of the training times, t = α·u / (1 + (α − 1)·u): above 1, more of them are near the noise."""

    def loss(self, field: Field, batch: Batch, generator: torch.Generator) -> Loss:
        """‖ v_θ(x_t, t) − (ε − a) ‖²."""
        return Loss(flow_matching_error(field, batch, generator, shift=self.shift).mean())

    def sample(self, field: Field, draw: Draw, nfe: int) -> Tensor:
        """Integrate the local velocity from the noise."""
        return solve(self.solver, lambda x, t: local_velocity(field, x, t), draw(), nfe)

    def check_nfe(self, nfe: int) -> None:
        """Raise UsageError if the solver cannot use exactly ``nfe`` evaluations."""
        super().check_nfe(nfe)
        steps_of(self.solver, nfe)


class HighNoiseFlowMatching(FlowMatching):
    """``fm-high-noise``: flow matching with training times shifted to the noise ("Let it be simple").

    arXiv 2606.05737. It is a control for claims about one-step methods: it recovers no modes.
    """

    name: ClassVar[str] = "fm-high-noise"
    summary: ClassVar[str] = "flow matching trained near the noise: a control for one-step claims"
    default_nfe: ClassVar[int] = 1
    presets: ClassVar[Mapping[str, Preset]] = {
        "let-it-be-simple": Preset(
            {"shift": 4.0},
            "arXiv 2606.05737",
            open="The paper tries α 3, 4 and 8; 4 was its best at one step.",
        ),
    }

    shift: float = Option(default=4.0, gt=0.0)
    """α of the training times, t = α·u / (1 + (α − 1)·u): above 1, more of them are near the noise."""


def flow_matching_error(
    field: Field, batch: Batch, generator: torch.Generator, *, shift: float = 1.0
) -> Tensor:
    """Return each sample's flow-matching error of the local velocity, (B,)."""
    noise = batch.noise(generator)
    t = draw_times(batch.actions, generator, shift=shift)
    prediction = local_velocity(field, interpolate(batch.actions, noise, t), t)
    return squared_error(prediction, noise - batch.actions, batch.real)


def draw_times(like: Tensor, generator: torch.Generator, *, shift: float = 1.0) -> Tensor:
    """Draw t (B,) in (0, 1]: 0.001 + 0.999·Beta(1.5, 1), then shifted; mean 0.6 at ``shift`` 1."""
    uniform = torch.rand(like.shape[0], generator=generator, device=generator.device)
    beta = uniform.to(like) ** (1 / 1.5)  # the inverse of the distribution function u^1.5
    u = 0.001 + 0.999 * beta
    return shift * u / (1 + (shift - 1) * u)
