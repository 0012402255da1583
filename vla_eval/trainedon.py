"""In which scenes a policy's demonstrations began, and which of them are judged now.

A policy's identity says it as ``trained_on``: the first 16 hex digits of each scene's hash, the one
that records store. A state that is evaluated with other arguments of the environment (another look, a
disturbance, another env seed in LIBERO) is another scene with another hash, so that a state which was
learned in one of them is found in that one only.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

__all__ = ["Scenes", "is_short", "seen", "shorten", "together"]

type Scenes = tuple[str, ...] | None
"""Shortened scene hashes, sorted, each once. Empty: learned from nothing. None: nobody knows."""

_DIGITS = 16
_SHORT = re.compile(rf"[0-9a-f]{{{_DIGITS}}}")


def shorten(scene_hashes: Iterable[str]) -> Scenes:
    """Return the first digits of scene hashes; None where an environment did not say one."""
    found = {each[:_DIGITS] for each in scene_hashes}
    return tuple(sorted(found)) if all(map(_SHORT.fullmatch, found)) else None


def is_short(scenes: object) -> bool:
    """Whether a value is what :func:`shorten` may return, apart from None."""
    return (
        isinstance(scenes, tuple)
        and all(isinstance(each, str) and _SHORT.fullmatch(each) for each in scenes)
        and list(scenes) == sorted(set(scenes))
    )


def together(parts: Iterable[Scenes]) -> Scenes:
    """Return the scenes of several sources; None where one of them is not known."""
    found: set[str] = set()
    for part in parts:
        if part is None:
            return None
        found.update(part)
    return tuple(sorted(found))


def seen(identity: Mapping[str, Any], scene_hashes: Iterable[str]) -> list[str] | None:
    """Return which scenes a policy has learned from.

    Args:
        identity: an arm's, as ``run.json`` has it.
        scene_hashes: of the episodes in question, as records store them.

    Returns:
        Those of the hashes, each once, in their order. None where that is not known: the identity does
        not say what the policy was trained on, or no overlap is found and a hash is missing.
    """
    said = identity.get("trained_on")
    if not isinstance(said, list | tuple) or not is_short(tuple(said)):
        return None
    learned, asked = set(said), list(dict.fromkeys(scene_hashes))
    found = [each for each in asked if each[:_DIGITS] in learned]
    return None if learned and not found and "" in asked else found
