"""Questions about an arm's identity, as ``run.json`` stores it."""

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
"""Option of policies behind servers that do not identify their policy: the identity that the user
declares, or :data:`UNKNOWN`. Runs of unknown policies are reported and never certified."""
UNKNOWN = "unknown"
WITHOUT_WEIGHTS = frozenset({"constant", "scripted", "uniform"})
"""Methods of policies without weights: code and options identify them completely."""


def weights_are_hashed(identity: Mapping[str, Any]) -> bool:
    """Return whether an arm's identity fixes its weights: by their hash, or by having none.

    A wrapper has the method and the hash of the wrapped policy.
    """
    return bool(identity.get("weights_sha256")) or identity.get("method") in WITHOUT_WEIGHTS


def server_identity(identity: Mapping[str, Any] | None) -> str | None:
    """Return the :data:`SERVER_IDENTITY` option of an arm's identity, or None."""
    options = (identity or {}).get("options")
    return options.get(SERVER_IDENTITY) if isinstance(options, Mapping) else None
