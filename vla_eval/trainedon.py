"""Initial scenes of a policy's demonstrations, and their overlap with the judged scenes.

A policy's identity holds them as ``trained_on``: the first 16 hex digits of the scene hashes that
records store. The same state with other arguments of the environment (another appearance, a
disturbance, another env seed in LIBERO) is another scene with another hash, so an overlap is found only
if these arguments are equal too.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

__all__ = ["Scenes", "is_short", "seen", "shorten", "together"]

type Scenes = tuple[str, ...] | None
"""Shortened scene hashes, sorted, without duplicates. Empty: learned from no scene. None: unknown."""

_DIGITS = 16
_SHORT = re.compile(rf"[0-9a-f]{{{_DIGITS}}}")


def shorten(scene_hashes: Iterable[str]) -> Scenes:
    """Return the first digits of scene hashes; None if one of them is missing."""
    scenes = {scene[:_DIGITS] for scene in scene_hashes}
    return tuple(sorted(scenes)) if all(map(_SHORT.fullmatch, scenes)) else None


def is_short(scenes: object) -> bool:
    """Return whether a value is a possible result of :func:`shorten` other than None."""
    return (
        isinstance(scenes, tuple)
        and all(isinstance(scene, str) and _SHORT.fullmatch(scene) for scene in scenes)
        and list(scenes) == sorted(set(scenes))
    )


def together(parts: Iterable[Scenes]) -> Scenes:
    """Return the scenes of several sources; None if one of the sources is unknown."""
    scenes: set[str] = set()
    for part in parts:
        if part is None:
            return None
        scenes.update(part)
    return tuple(sorted(scenes))


def seen(identity: Mapping[str, Any], scene_hashes: Iterable[str]) -> list[str] | None:
    """Return the scenes that a policy has learned from.

    Args:
        identity: an arm's identity, as ``run.json`` has it.
        scene_hashes: hashes of the episodes' scenes, as records store them.

    Returns:
        The learned scenes among the hashes, without duplicates, in their order. None if that is unknown:
        the identity has no list of training scenes, or no overlap is found and a hash is missing.
    """
    trained_on = identity.get("trained_on")
    if not isinstance(trained_on, list | tuple) or not is_short(tuple(trained_on)):
        return None
    learned, asked = set(trained_on), list(dict.fromkeys(scene_hashes))
    overlap = [scene for scene in asked if scene[:_DIGITS] in learned]
    return None if learned and not overlap and "" in asked else overlap
