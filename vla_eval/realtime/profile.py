"""Files of measured inference times, as ``vlaeval bench policy SPEC --profile FILE`` writes them.

A protocol embeds the times (:class:`~vla_eval.realtime.settings.Profile`), so its hash covers them, and
a run needs the file no longer.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue

from vla_eval.errors import UsageError
from vla_eval.files.jsonfile import read_model, read_regular
from vla_eval.realtime.settings import Name, Profile, Quantiles

__all__ = ["BUSY", "ProfileFile", "profile_change", "read_profile"]

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
    identity_sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
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
    )
    return content, table


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
    table = read_profile(Path(file))[1].model_dump(mode="json")
    # A JSON value is a TOML value, but for an object.
    fields = (f"{name} = {json.dumps(value, ensure_ascii=False)}" for name, value in table.items())
    return f"run.realtime.arms.{arm}.profile={{ {', '.join(fields)} }}"
