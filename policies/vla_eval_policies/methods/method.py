"""What a method is: a training loss, a second time input, a sampler, and what a sample costs."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

import torch
from pydantic import BaseModel, ConfigDict
from torch import Tensor

from vla_eval.errors import UsageError
from vla_eval_policies.methods.field import CONVENTION, Batch, Convention, Draw, ExtraTime, Field

__all__ = ["Loss", "Method", "Preset", "TaughtMethod", "TrainingCost"]


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


@dataclass(frozen=True)
class Preset:
    """A paper's numbers for a method."""

    options: Mapping[str, Any]
    """Hyperparameters that the source gives, by name; the others keep their defaults."""
    source: str
    training: str = ""
    """What the source says about optimisation."""
    open: str = ""
    """What it does not say, and what was read into it."""


class Method(BaseModel):
    """Base of all methods; the fields of a subclass are its hyperparameters, each with its meaning.

    A subclass declares its name, what second time it feeds to the network, what the network's output
    means, and the papers' presets. It implements :meth:`loss`, :meth:`sample` and, where not every
    number of function evaluations is defined, :meth:`check_nfe`. It knows nothing of networks, robots
    or files. The registry finds it by its module being in this package.
    """

    model_config = ConfigDict(
        frozen=True, extra="forbid", allow_inf_nan=False, use_attribute_docstrings=True
    )

    name: ClassVar[str]
    summary: ClassVar[str]
    """One line."""
    extra_time: ClassVar[ExtraTime] = ExtraTime.NONE
    convention: ClassVar[Convention] = CONVENTION
    default_nfe: ClassVar[int]
    knows_local_velocity: ClassVar[bool] = False
    """Whether its networks learn the velocity of every point too, which method ``fm`` can walk."""
    short_period_options: ClassVar[Mapping[str, Any]] = {}
    """Other defaults for networks whose time features have short periods, such as SmolVLA's 0.004."""
    presets: ClassVar[Mapping[str, Preset]] = {}
    """By name: ``"published"`` of method ``snapflow`` is ``snapflow:published``."""

    @abstractmethod
    def loss(self, field: Field, batch: Batch, generator: torch.Generator) -> Loss:
        """Return the training loss of a batch.

        Args:
            field: the network, bound to the batch's observations.
            batch: their demonstrated chunks.
            generator: of every random draw.
        """

    @abstractmethod
    def sample(self, field: Field, draw: Draw, nfe: int) -> Tensor:
        """Return action chunks (B, H, D) with ``nfe`` evaluations of the field."""

    @property
    def differentiates(self) -> bool:
        """Whether the loss differentiates the network along the flow, which takes float32."""
        return False

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


class TaughtMethod(Method):
    """Base of methods whose targets come from a moving average of the network, the teacher."""

    @abstractmethod
    def taught_loss(
        self, field: Field, teacher: Field, batch: Batch, generator: torch.Generator
    ) -> Loss:
        """Return the training loss of a batch; the teacher is bound to the same observations."""

    def loss(self, field: Field, batch: Batch, generator: torch.Generator) -> Loss:
        """Return the loss of a network that is its own teacher."""
        return self.taught_loss(field, field, batch, generator)


def at(value: float, like: Tensor) -> Tensor:
    """Return one time for each sample of ``like``, (B,)."""
    return torch.full((like.shape[0],), value, dtype=like.dtype, device=like.device)
