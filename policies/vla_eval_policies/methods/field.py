"""The network as the methods see it, and their common convention of time and sign.

Time runs from noise to action::

    x_t = t·ε + (1 − t)·a        t = 1: noise ε ~ N(0, I),   t = 0: action a
    v   = dx_t/dt = ε − a        a sampler walks x ← x − h·v with t falling from 1 to 0

as in π0, π0.5 and SmolVLA. Shortcut models were published with reversed time;
:func:`reversed_field` is the only place that converts between the two.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Literal, Protocol

import torch
from torch import Tensor

__all__ = [
    "CONVENTION",
    "FINEST_STEP",
    "Batch",
    "Convention",
    "Draw",
    "ExtraTime",
    "Field",
    "interpolate",
    "local_velocity",
    "reversed_field",
    "squared_error",
]

FINEST_STEP: Final = 1 / 128
"""Smallest step size of a shortcut network; it stands for the local velocity."""

Draw = Callable[[], Tensor]
"""Returns fresh standard normal noise (B, H, D); a sampler's first call is its starting point."""


@dataclass(frozen=True)
class Convention:
    """Time of the noise, and meaning of the network's output."""

    noise_at: float
    """Value of t at which x is pure noise; the action is at the other end of [0, 1]."""
    output: Literal["noise - action", "action - noise", "noise"]
    """Output of a perfectly trained network for a single, known action."""


CONVENTION: Final = Convention(noise_at=1.0, output="noise - action")
"""The convention of this project."""


class ExtraTime(StrEnum):
    """The second time that some methods feed to the network."""

    NONE = "none"
    TARGET = "target"
    """s, the time to arrive at; s = t asks for the local velocity (SnapFlow)."""
    INTERVAL = "interval"
    """h = t − r, the length of the jump; h = 0 asks for the local velocity (MeanFlow)."""
    STEP = "step"
    """d, a power of two; the smallest asks for the local velocity (shortcut models)."""

    def local(self, t: Tensor) -> Tensor | None:
        """Return the value, shape of ``t``, at which the network gives the local velocity."""
        match self:
            case ExtraTime.NONE:
                return None
            case ExtraTime.TARGET:
                return t
            case ExtraTime.INTERVAL:
                return torch.zeros_like(t)
            case ExtraTime.STEP:
                return torch.full_like(t, FINEST_STEP)


class Field(Protocol):
    """The network, bound to the encoded observations of a batch: f(x, t, extra | observation)."""

    @property
    def extra_time(self) -> ExtraTime:
        """Second time that the network takes besides t."""

    def __call__(self, x: Tensor, t: Tensor, extra: Tensor | None = None) -> Tensor:
        """Return f, (B, H, D), for x (B, H, D), t (B,) and extra (B,).

        Networks that can be trained with known first actions also take times (B, H): one for each token.
        """

    def repeat(self, copies: int) -> Field:
        """Return the field with each observation ``copies`` times in a row, without encoding again."""


@dataclass(frozen=True)
class Batch:
    """Demonstrated action chunks, normalised to about unit spread."""

    actions: Tensor
    """float (B, H, D)."""
    real: Tensor
    """bool (B, H, D); False for padding: extra dimensions, and steps after the episode's end."""

    def repeat(self, copies: int) -> Batch:
        """Return the batch with each chunk ``copies`` times in a row."""
        return Batch(
            self.actions.repeat_interleave(copies, 0), self.real.repeat_interleave(copies, 0)
        )

    def noise(self, generator: torch.Generator) -> Tensor:
        """Draw ε (B, H, D) on the generator's device, so that CPU and GPU get the same noise."""
        drawn = torch.randn(
            self.actions.shape, generator=generator, device=generator.device, dtype=torch.float32
        )
        return drawn.to(self.actions)


def interpolate(actions: Tensor, noise: Tensor, t: Tensor) -> Tensor:
    """Return x_t = t·ε + (1 − t)·a for actions and noise (B, H, D) and t (B,)."""
    time = t[:, None, None]
    return time * noise + (1 - time) * actions


def local_velocity(field: Field, x: Tensor, t: Tensor) -> Tensor:
    """Return the field's instantaneous velocity v(x, t), for any method of training."""
    return field(x, t, field.extra_time.local(t))


def squared_error(prediction: Tensor, target: Tensor, real: Tensor) -> Tensor:
    """Return each sample's mean squared error over its real entries, (B,)."""
    error = ((prediction - target) ** 2 * real).flatten(1).sum(1)
    return error / real.flatten(1).sum(1).clamp(min=1)


@dataclass(frozen=True)
class _Reversed:
    field: Field

    @property
    def extra_time(self) -> ExtraTime:
        return self.field.extra_time

    def __call__(self, x: Tensor, t: Tensor, extra: Tensor | None = None) -> Tensor:
        return -self.field(x, 1 - t, extra)

    def repeat(self, copies: int) -> Field:
        return _Reversed(self.field.repeat(copies))


def reversed_field(field: Field) -> Field:
    """Adapt a network with noise at t = 0 and v = a − ε to our convention (or ours to theirs).

    v_ours(x, t) = −v_theirs(x, 1 − t). The field must have no second time, whose meaning differs
    between methods.
    """
    if field.extra_time is not ExtraTime.NONE:
        raise ValueError(f"a field with the extra time '{field.extra_time}' cannot be reversed")
    return _Reversed(field)
