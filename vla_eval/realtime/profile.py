"""Files of measured inference times.

``vlaeval bench policy SPEC --profile FILE`` measures them; ``vlaeval latency from RUN --out FILE`` takes
them from the records of a paused run.

A protocol embeds the times (:class:`~vla_eval.realtime.settings.Profile`), so its hash covers them, and
a run needs the file no longer.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, JsonValue

from vla_eval.errors import UsageError
from vla_eval.files.jsonfile import read_model, read_regular
from vla_eval.realtime.settings import Name, Profile, Quantiles, Sha256

__all__ = [
    "BUSY",
    "ProfileFile",
    "profile_change",
    "quantiles_us",
    "read_profile",
    "refuse_busy",
    "reported_us",
]

BUSY = 1.5
"""Spread of the times from which on a machine counts as busy."""

_WRONG = "is no profile of inference times"
_REMEDY = "write one with: vlaeval bench policy SPEC --profile FILE"


class ProfileFile(BaseModel):
    """The content of a profile: times of single inferences (batch 1), without warm-up."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)

    schema_version: Literal[1] = 1
    hardware: Mapping[str, JsonValue]
    """Processor, threads of torch, accelerator."""
    dtype: str | None
    device: str | None
    policy: Name
    """Spec of the measured policy."""
    identity_sha256: Sha256
    """Hash of the policy's identity, as a paused run's records have it."""
    measured_on: Annotated[str, Field(pattern=r"^\d{4}-\d\d-\d\d$")]
    batch: Literal[1] = 1
    inferences: Annotated[int, Field(ge=1)]
    """Number of measured inferences."""
    total_us: Quantiles
    """Quantiles of the time of one inference."""
    prefix_us: Quantiles | None
    """The same for the part that is independent of the solver's steps; None if it is not reported."""
    denoise_us: Quantiles | None
    """The same for the solver's steps; None if it is not reported."""
    replayed_run: Name | None = Field(default=None, exclude_if=lambda value: value is None)
    """Protocol and arm of the run whose records hold the times; None: a measurement of its own."""
    replayed_sha256: Sha256 | None = Field(default=None, exclude_if=lambda value: value is None)
    """Hash of that arm's records, wall times apart."""

    @property
    def spread(self) -> float:
        """Ratio of the 95 % quantile to the median, or of the median to the fastest, the larger; see `BUSY`.

        Under a steady load the first ratio stays small: all inferences are slow alike.
        """
        quantiles = self.total_us
        return max(quantiles[95] / quantiles[50], quantiles[50] / quantiles[0])

    @property
    def machine(self) -> str:
        """The hardware in one line: the accelerator if the policy used one, else processor and threads."""
        accelerator = self.hardware.get("accelerator")
        if accelerator and str(self.device).startswith("cuda"):
            return str(accelerator)
        threads = self.hardware.get("threads")
        processor = str(self.hardware.get("processor") or "unknown")
        return processor if threads is None else f"{processor}, {threads} threads"


def read_profile(path: Path) -> tuple[ProfileFile, Profile]:
    """Read a profile; return its content and the table that a protocol embeds.

    Raises:
        UsageError: one sentence that names the file and its fault.
    """
    content = read_model(path, ProfileFile, wrong=_WRONG, remedy=_REMEDY)
    table = Profile(
        hardware=content.machine,
        policy=content.policy,
        measured_on=content.measured_on,
        sha256=hashlib.sha256(read_regular(path)).hexdigest(),
        quantiles_us=content.total_us,
        replayed_run=content.replayed_run,
        replayed_sha256=content.replayed_sha256,
    )
    return content, table


def quantiles_us(milliseconds: Sequence[float]) -> tuple[int, ...]:
    """Return the quantiles at 0, 1, … 100 % of times in ms, in whole µs, at least 1."""
    quantiles = 1e3 * np.percentile(milliseconds, range(101))
    return tuple(max(1, round(float(value))) for value in quantiles)


def reported_us(milliseconds: Sequence[float]) -> tuple[int, ...] | None:
    """Return the quantiles of a part of the time; None if the policy does not report it."""
    if not milliseconds or min(milliseconds) <= 0:
        return None
    return quantiles_us(milliseconds)


def refuse_busy(profile: ProfileFile, machine: str, remedy: str) -> None:
    """Raise UsageError if the times vary as they do on a busy machine.

    Args:
        profile: the times.
        machine: beginning of the sentence: which machine is or was busy.
        remedy: what to do.
    """
    if profile.spread <= BUSY:
        return
    fastest, median, slow = (profile.total_us[percent] / 1e3 for percent in (0, 50, 95))
    raise UsageError(
        f"{machine} busy: the fastest inference took {fastest:.3g} ms, half of them over "
        f"{median:.3g} ms and 5 % over {slow:.3g} ms, and on a quiet machine each is less than "
        f"{BUSY:g} times the one before; {remedy}, or keep the times with --busy"
    )


def profile_change(text: str) -> str:
    """Return the protocol's change that ``--profile ARM=FILE`` stands for.

    Raises:
        UsageError: the text has another form, or the file is no profile.
    """
    arm, equals, file = text.partition("=")
    if not equals or not arm or not file:
        raise UsageError(f"--profile {text}: expected ARM=FILE, such as student=laptop.json")
    if "." in arm:
        raise UsageError(
            f"--profile {text}: the name of an arm with a profile must have no '.'; rename the arm"
        )
    table = read_profile(Path(file))[1].model_dump(mode="json", exclude_none=True)
    # A JSON value is a TOML value, but for an object.
    fields = (f"{name} = {json.dumps(value, ensure_ascii=False)}" for name, value in table.items())
    return f"run.realtime.arms.{arm}.profile={{ {', '.join(fields)} }}"
