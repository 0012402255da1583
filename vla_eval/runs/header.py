"""The content of ``run.json``."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue

from vla_eval.errors import UsageError
from vla_eval.files.jsonfile import AwareTime
from vla_eval.identity import UNKNOWN, server_identity
from vla_eval.protocol import Protocol

__all__ = [
    "Arm",
    "RunHeader",
    "Session",
    "identity_sha256",
    "refuse_unidentified",
    "same_policy",
]


class Arm(BaseModel):
    """One policy in a run."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    spec: str
    identity: Mapping[str, JsonValue] | None = None
    """The policy's metadata, the hash of its code, and the spec as above (older runs lack the spec);
    None until the policy was first loaded."""


class Session(BaseModel):
    """One call of ``vlaeval run`` on this folder."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    started_at: AwareTime
    shard: str
    versions: Mapping[str, str]
    warm_up_s: Mapping[str, Annotated[float, Field(ge=0, allow_inf_nan=False)]] = Field(
        default_factory=dict
    )
    """Longest wait of an episode for its policy to warm up, in s, by arm; outside the episode's timing."""

    engine: Mapping[str, JsonValue] | None = Field(
        default=None, exclude_if=lambda value: value is None
    )
    """The cluster that it ran on: kind, version, threads of its policy hosts, nodes. None: one machine."""

    def warmed_up(self, arm: str, seconds: float) -> Session:
        """Return the session updated with the warm-up time of an episode."""
        longest = max(seconds, self.warm_up_s.get(arm, 0.0))
        return self.model_copy(update={"warm_up_s": {**self.warm_up_s, arm: longest}})


class RunHeader(BaseModel):
    """The content of ``run.json``."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: Literal[1] = 1
    status: Literal["started", "complete", "incomplete"]
    protocol_sha256: str
    protocol: Protocol
    arms: tuple[Arm, ...]
    created_at: AwareTime
    versions: Mapping[str, str] = Field(default_factory=dict)
    machine: Mapping[str, JsonValue] = Field(default_factory=dict)
    sessions: tuple[Session, ...] = ()
    """The latest calls of ``vlaeval run`` on this folder."""


def identity_sha256(identity: Mapping[str, Any]) -> str:
    """Hash a policy's identity."""
    text = json.dumps(identity, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def same_policy(one: Arm, other: Arm) -> bool:
    """Return whether two arms are one policy: by identity if both have one, else by spec.

    One policy may have two specs, for example because its checkpoint lies in two places.
    """
    if not one.identity or not other.identity:
        return one.spec == other.spec
    ours, theirs = (
        {name: value for name, value in (arm.identity or {}).items() if name != "spec"}
        for arm in (one, other)
    )
    return ours == theirs


def refuse_unidentified(arm: Arm) -> None:
    """Raise UsageError if an arm's policy is unidentified, so that no claim about it is possible."""
    if not arm.identity:
        raise UsageError(
            f"arm '{arm.name}' was never identified (no episode began), so nothing can be claimed "
            "about it"
        )
    if server_identity(arm.identity) == UNKNOWN:
        raise UsageError(
            f"arm '{arm.name}': its server does not say which policy it serves, so nothing can be "
            "claimed about it; serve it with `vlaeval serve`, or say who it is and run again: "
            f"{arm.spec}{'&' if '?' in arm.spec else '?'}identity=NAME-AND-VERSION"
        )
