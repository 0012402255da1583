"""Who an arm is, as ``run.json`` stores it: what may be asked of such an identity."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

__all__ = [
    "SERVER_IDENTITY",
    "UNKNOWN",
    "WITHOUT_WEIGHTS",
    "server_identity",
    "weights_are_hashed",
]

SERVER_IDENTITY = "server_identity"
"""Option of policies behind servers that do not identify their policy: the user's word for it, or
:data:`UNKNOWN`. Runs of unknown policies are reported and never certified."""
UNKNOWN = "unknown"
WITHOUT_WEIGHTS = frozenset({"constant", "scripted", "uniform"})
"""Methods of policies that learned nothing: code and options are all that they are."""


def weights_are_hashed(identity: Mapping[str, Any]) -> bool:
    """Return whether an arm's identity pins its weights: by their hash, or by having none.

    A wrapper has the method and the hash of the policy inside.
    """
    return bool(identity.get("weights_sha256")) or identity.get("method") in WITHOUT_WEIGHTS


def server_identity(identity: Mapping[str, Any] | None) -> str | None:
    """Return what an arm's identity holds under :data:`SERVER_IDENTITY`, if anything."""
    options = (identity or {}).get("options")
    return options.get(SERVER_IDENTITY) if isinstance(options, Mapping) else None
