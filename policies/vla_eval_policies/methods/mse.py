"""Plain regression with the same network: the control for every claim about one step.

    loss      E ‖ f_θ(0, 1) + a ‖²
    sampling  a = −f_θ(0, 1)

It is flow matching with the noise set to zero. It is deterministic; its optimum is the conditional mean.
"""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from vla_eval_policies.methods.field import Batch, Draw, Field, squared_error
from vla_eval_policies.methods.method import Loss, Method, at

__all__ = ["Regression"]


class Regression(Method):
    """``mse``."""

    name: ClassVar[str] = "mse"
    summary: ClassVar[str] = "regression to the mean of the demonstrations: a control"
    default_nfe: ClassVar[int] = 1

    def loss(self, field: Field, batch: Batch, generator: torch.Generator) -> Loss:
        """‖ f_θ(0, 1) + a ‖²."""
        del generator
        actions = -field(torch.zeros_like(batch.actions), at(1.0, batch.actions))
        return Loss(squared_error(actions, batch.actions, batch.real).mean())

    def sample(self, field: Field, draw: Draw, nfe: int) -> Tensor:
        """Predict in one pass; only the shape of the noise is used."""
        self.check_nfe(nfe)
        x = torch.zeros_like(draw())
        return -field(x, at(1.0, x))

    def check_nfe(self, nfe: int) -> None:
        """Raise UsageError for more than one pass."""
        self._only_one(nfe, "a regressor has no steps")
