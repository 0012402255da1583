"""Options in the specs of policy servers' clients."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

__all__ = ["OUTSIDE_IDENTITY", "HarnessOptions", "OpenpiOptions", "RemoteOptions"]


class RemoteOptions(BaseModel):
    """Options of every client of a policy server."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    n_action_steps: int | None = Field(default=None, ge=1)
    """Execution horizon; required unless the server reports it."""
    chunk_size: int | None = Field(default=None, ge=1)
    """Length of the chunks, if known; recorded only."""
    nfe: int | None = Field(default=None, ge=0)
    """Function evaluations of one chunk, as declared by the user."""
    identity: str | None = Field(default=None, min_length=1)
    """Identity of the policy (weights, version), declared by the user if the server reports none."""
    timeout_s: float = Field(default=60.0, gt=0)
    """Longest wait for an answer."""
    warm_up_s: float = Field(default=600.0, gt=0)
    """Longest wait for the answer to the warm-up; 600 s are enough for most compilers."""
    connect_s: float = Field(default=30.0, ge=0)
    """Longest wait for a server that refuses connections."""
    max_frame_mb: int = Field(default=64, ge=1)
    """Largest accepted frame, in MiB."""


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
"""Options that change no action, or that have their own field in the policy's metadata."""


class OpenpiOptions(RemoteOptions):
    """Further options of the client of an openpi server."""

    layout: str | None = None
    """Names of observations, see :data:`vla_eval_policies.remote.layouts.LAYOUTS`."""
    images: str | None = None
    state: str | None = None
    prompt: str | None = None
    size: int | None = Field(default=None, ge=1)


class HarnessOptions(RemoteOptions):
    """Further options of the client of a harness model server."""

    wrist: bool | None = None
    """Whether to send the wrist picture; None follows the server's request."""
    state: bool | None = None
    """Whether to send the robot's state; None follows the server's request."""
    ignore: str | None = None
    """Observation parameters of the server to ignore, separated by commas."""
