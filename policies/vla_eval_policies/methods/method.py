"""What a method is: a training loss, a second time input, a sampler, and what a sample costs."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar

import torch
from pydantic import BaseModel, ConfigDict
from torch import Tensor

from vla_eval.errors import UsageError
from vla_eval_policies.methods.field import CONVENTION, Batch, Convention, Draw, ExtraTime, Field

__all__ = ["Loss", "Method", "TrainingCost"]


@dataclass(frozen=True)
class TrainingCost:
    """What one chunk costs; "NFE 1" alone hides the first and the last factor."""

    prefix: int
    """Encodings of the observation."""
    passes: int
    """Forward passes of the action expert, one after the other."""
    batch: int = 1
    """Samples in each pass."""

    @property
    def nfe(self) -> int:
        """Number of function evaluations: every pass of every sample."""
        return self.passes * self.batch

    def __str__(self) -> str:
        return f"{self.batch} × {self.passes}" if self.batch > 1 else str(self.passes)


@dataclass(frozen=True)
class Loss:
    """What a training step minimises."""

    value: Tensor
    """Scalar."""
    logs: Mapping[str, float] = field(default_factory=dict)
    """Parts worth plotting."""


class Method(BaseModel):
    """Base of all methods; the fields of a subclass are its hyperparameters.

    A subclass declares its name, what second time it feeds to the network, and what the network's
    output means, and implements :meth:`loss`, :meth:`sample` and, where not every number of function
    evaluations is defined, :meth:`check_nfe`. It knows nothing of networks, robots or files.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    name: ClassVar[str]
    summary: ClassVar[str]
    """One line."""
    extra_time: ClassVar[ExtraTime] = ExtraTime.NONE
    convention: ClassVar[Convention] = CONVENTION
    default_nfe: ClassVar[int]
    uses_teacher: ClassVar[bool] = False
    """Whether the loss bootstraps from a moving average of the network."""

    @abstractmethod
    def loss(
        self, field: Field, batch: Batch, generator: torch.Generator, teacher: Field | None = None
    ) -> Loss:
        """Return the training loss of a batch.

        Args:
            field: the network, bound to the batch's observations.
            batch: their demonstrated chunks.
            generator: of every random draw.
            teacher: a moving average of the network, bound to the same; for methods that bootstrap.
        """

    @abstractmethod
    def sample(self, field: Field, draw: Draw, nfe: int) -> Tensor:
        """Return action chunks (B, H, D) with ``nfe`` evaluations of the field."""

    def check_nfe(self, nfe: int) -> None:
        """Raise UsageError where the method is not defined for so many evaluations."""
        if nfe < 1:
            raise UsageError(f"nfe must be at least 1, not {nfe}")

    def cost(self, nfe: int) -> TrainingCost:
        """Return what a chunk costs."""
        self.check_nfe(nfe)
        return TrainingCost(prefix=1, passes=nfe)

    def _only_one(self, nfe: int, instead: str) -> None:
        if nfe != 1:
            raise UsageError(
                f"method '{self.name}' is defined for nfe=1 only (not {nfe}); {instead}"
            )


def at(value: float, like: Tensor) -> Tensor:
    """Return one time for each sample of ``like``, (B,)."""
    return torch.full((like.shape[0],), value, dtype=like.dtype, device=like.device)
