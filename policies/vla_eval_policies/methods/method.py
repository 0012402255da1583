"""The base of all methods: a training loss, a second time, a sampler, and the cost of a sample."""

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
    """Cost of a chunk; "NFE 1" alone hides the first and the last factor."""

    prefix: int
    """Number of encodings of the observation."""
    passes: int
    """Number of consecutive forward passes of the action expert."""
    batch: int = 1
    """Number of samples in each pass."""

    @property
    def nfe(self) -> int:
        """Number of function evaluations: passes times samples."""
        return self.passes * self.batch

    def __str__(self) -> str:
        return f"{self.batch} × {self.passes}" if self.batch > 1 else str(self.passes)


@dataclass(frozen=True)
class Loss:
    """The loss of a training step."""

    value: Tensor
    """The loss, a scalar."""
    logs: Mapping[str, float] = field(default_factory=dict)
    """Parts of the loss and other numbers to plot."""


@dataclass(frozen=True)
class Preset:
    """A paper's hyperparameters for a method."""

    options: Mapping[str, Any]
    """Hyperparameters that the source gives, by name; the others keep their defaults."""
    source: str
    training: str = ""
    """The source's settings of the optimisation."""
    open: str = ""
    """Settings that the source leaves open, and our choices for them."""


class Method(BaseModel):
    """Base of all methods; the fields of a subclass are its hyperparameters, each with its meaning.

    A subclass declares its name, the second time that it feeds to the network, the meaning of the
    network's output, and the papers' presets. It implements :meth:`loss` and :meth:`sample`, and also
    :meth:`check_nfe` if it does not allow every number of function evaluations. It depends on no
    network, robot or file. The registry finds it because its module is in this package.
    """

    model_config = ConfigDict(
        frozen=True, extra="forbid", allow_inf_nan=False, use_attribute_docstrings=True
    )

    name: ClassVar[str]
    summary: ClassVar[str]
    """Description in one line."""
    extra_time: ClassVar[ExtraTime] = ExtraTime.NONE
    convention: ClassVar[Convention] = CONVENTION
    default_nfe: ClassVar[int]
    knows_local_velocity: ClassVar[bool] = False
    """Whether its networks also learn the velocity at every point, which method ``fm`` integrates."""
    short_period_options: ClassVar[Mapping[str, Any]] = {}
    """Other defaults for networks whose time features have short periods, such as SmolVLA's 0.004."""
    presets: ClassVar[Mapping[str, Preset]] = {}
    """Presets by name: ``"published"`` of method ``snapflow`` is ``snapflow:published``."""

    @abstractmethod
    def loss(self, field: Field, batch: Batch, generator: torch.Generator) -> Loss:
        """Return the training loss of a batch.

        Args:
            field: the network, bound to the batch's observations.
            batch: the demonstrated chunks of these observations.
            generator: source of all random numbers.
        """

    @abstractmethod
    def sample(self, field: Field, draw: Draw, nfe: int) -> Tensor:
        """Return action chunks (B, H, D) with ``nfe`` evaluations of the field."""

    @property
    def differentiates(self) -> bool:
        """Whether the loss differentiates the network along the flow, which needs float32."""
        return False

    def check_nfe(self, nfe: int) -> None:
        """Raise UsageError if the method is not defined for ``nfe`` evaluations."""
        if nfe < 1:
            raise UsageError(f"nfe must be at least 1, not {nfe}")

    def cost(self, nfe: int) -> TrainingCost:
        """Return the cost of a chunk."""
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
    """Return the time ``value`` for each sample of ``like``, (B,)."""
    return torch.full((like.shape[0],), value, dtype=like.dtype, device=like.device)
