"""What clients of policy servers can be told in a spec."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

__all__ = ["OUTSIDE_IDENTITY", "HarnessOptions", "OpenpiOptions", "RemoteOptions"]


class RemoteOptions(BaseModel):
    """What every client of a server can be told."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    n_action_steps: int | None = Field(default=None, ge=1)
    """Execution horizon; needed unless the server says it."""
    chunk_size: int | None = Field(default=None, ge=1)
    """Length of the chunks, if known; only noted."""
    nfe: int | None = Field(default=None, ge=0)
    """Function evaluations of one chunk, as declared by whoever runs the server."""
    identity: str | None = Field(default=None, min_length=1)
    """Who the policy is, weights and version, as declared by whoever runs a server that does not say."""
    timeout_s: float = Field(default=60.0, gt=0)
    """Longest wait for an answer."""
    warm_up_s: float = Field(default=600.0, gt=0)
    """Longest wait for the answer to the warm-up; 600 s are enough for most compilers."""
    connect_s: float = Field(default=30.0, ge=0)
    """How long a server that refuses connections is waited for."""
    max_frame_mb: int = Field(default=64, ge=1)
    """Largest frame that is taken, in MiB."""


OUTSIDE_IDENTITY = {
    "timeout_s",
    "warm_up_s",
    "connect_s",
    "max_frame_mb",
    "n_action_steps",
    "chunk_size",
    "nfe",
    "identity",
}
"""Options that change no action, or that have a field of their own in the policy's metadata."""


class OpenpiOptions(RemoteOptions):
    """What the client of an openpi server can be told besides."""

    layout: str | None = None
    """How observations are named: see :data:`vla_eval_policies.remote.layouts.LAYOUTS`."""
    images: str | None = None
    state: str | None = None
    prompt: str | None = None
    size: int | None = Field(default=None, ge=1)


class HarnessOptions(RemoteOptions):
    """What the client of a harness model server can be told besides."""

    wrist: bool | None = None
    """Whether to send the wrist picture; None does what the server asks for."""
    state: bool | None = None
    """Whether to send the robot's state; None does what the server asks for."""
    ignore: str | None = None
    """Observation parameters that the server asks for and that are to be ignored, by commas."""
