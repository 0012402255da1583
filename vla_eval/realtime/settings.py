"""The part of a protocol that declares virtual time: ``[run.realtime]``, hashed with the protocol."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from vla_eval.files.jsonfile import ArmName
from vla_eval.realtime.machines import machine_table

__all__ = ["ArmLatency", "Machine", "Name", "Profile", "Quantiles", "Realtime", "Sha256"]

QUANTILES = 101
"""Entries of a profile: the quantiles at 0, 1, … 100 %."""

Microseconds = Annotated[int, Field(ge=0, le=3_600_000_000)]
Name = Annotated[str, Field(min_length=1)]


def _increasing(quantiles: tuple[int, ...]) -> tuple[int, ...]:
    for percent, (low, high) in enumerate(pairwise(quantiles)):
        if high < low:
            raise ValueError(
                f"quantiles fall from {low} at {percent} % to {high} at {percent + 1} %"
            )
    return quantiles


Quantiles = Annotated[
    tuple[Annotated[int, Field(ge=1, le=3_600_000_000)], ...],
    Field(min_length=QUANTILES, max_length=QUANTILES),
    AfterValidator(_increasing),
]
"""Times in µs at 0, 1, … 100 %."""


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


class Machine(_Frozen):
    """A declared machine. One inference takes prefix + passes × pass + (samples − 1) × sample + link."""

    name: Name
    source: Name
    """Publication or measurement that the numbers come from."""
    prefix_us: Microseconds
    """The part that is independent of the solver's steps: images, instruction, state."""
    pass_us: Microseconds
    """One forward pass of the action expert."""
    sample_us: Microseconds = 0
    """Each further sample of one pass: a larger batch."""
    link_us: Microseconds = 0
    """Camera, network and queue, from exposure to command."""
    only_passes: Annotated[int, Field(ge=1, le=1000)] | None = None
    """Number of passes that the times hold for, where the source prints one total; None: any number."""

    def inference_us(self, passes: int, samples: int) -> int:
        """Return the time of one inference in µs.

        Raises:
            ValueError: the source says nothing about this number of passes.
        """
        if self.only_passes not in (None, passes):
            raise ValueError(
                f"the source of machine '{self.name}' gives the time of {self.only_passes} passes only, "
                f"not of {passes}"
            )
        return (
            self.prefix_us + passes * self.pass_us + (samples - 1) * self.sample_us + self.link_us
        )


Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class Profile(_Frozen):
    """A measured distribution of inference times: ``vlaeval bench policy --profile``, ``vlaeval latency from``."""

    hardware: Name
    policy: Name
    """Spec of the measured policy."""
    measured_on: Name
    """Date, ISO 8601."""
    sha256: Sha256
    """Hash of the profile's file."""
    quantiles_us: Quantiles
    replayed_run: Name | None = Field(default=None, exclude_if=lambda value: value is None)
    """Protocol and arm of the run that the times come from; None: a measurement of its own."""
    replayed_sha256: Sha256 | None = Field(default=None, exclude_if=lambda value: value is None)
    """Hash of that arm's records."""

    @property
    def median_us(self) -> int:
        """The median."""
        return self.quantiles_us[QUANTILES // 2]


class ArmLatency(_Frozen):
    """The latency of one arm in place of the machine's; one of the two fields."""

    total_us: Microseconds | None = None
    """Time of every inference: a counterfactual, such as a teacher as fast as its student."""
    profile: Profile | None = None

    @model_validator(mode="after")
    def _one(self) -> Self:
        if (self.total_us is None) == (self.profile is None):
            raise ValueError("an arm's latency is total_us or profile, one of the two")
        return self


class Realtime(_Frozen):
    """How the world goes on while the policy thinks."""

    mode: Literal["blocking", "async"]
    """``blocking``: the robot stalls during an inference. ``async``: it executes queued actions."""
    merge: Literal["replace", "average", "ensemble", "crossfade"] | None = None
    """See :mod:`vla_eval.realtime.merges`; ``async`` only, where None is ``replace``."""
    old_weight: Annotated[float, Field(ge=0, le=1)] | None = None
    """Weight of the queued action in ``average``; None: 0.3."""
    coefficient: Annotated[float, Field(ge=0, le=100)] | None = None
    """Decay of the weights in ``ensemble``; None: 0.01."""
    machine: Annotated[Machine | None, BeforeValidator(machine_table)] = None
    """A table, or the name of a shipped machine (``vlaeval latency list``)."""
    jitter: Literal["profile"] | None = None
    """``profile``: inference times are drawn from the profiles, with equal random numbers in all arms;
    None: every inference takes the median."""
    arms: Mapping[ArmName, ArmLatency] = Field(default_factory=dict)
    """Arms with a latency of their own, by name."""

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.mode == "blocking" and self.merge is not None:
            raise ValueError("merge needs mode = 'async': a blocking robot has nothing queued")
        if self.old_weight is not None and self.merge != "average":
            raise ValueError("old_weight needs merge = 'average'")
        if self.coefficient is not None and self.merge != "ensemble":
            raise ValueError("coefficient needs merge = 'ensemble'")
        if self.machine is None and not self.arms:
            raise ValueError("machine is missing: a table, or a name of 'vlaeval latency list'")
        profiled = any(arm.profile is not None for arm in self.arms.values())
        if self.jitter == "profile" and not profiled:
            raise ValueError("jitter = 'profile' needs an arm with a profile")
        return self
