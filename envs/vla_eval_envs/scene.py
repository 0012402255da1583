"""The identity of a scene: hashes of all positions at the start of an episode and at its end."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

__all__ = ["scene_hash", "state_hash"]

_MODEL_FIELDS = ("body_pos", "body_quat", "geom_pos", "geom_quat", "geom_size", "geom_rgba")
_DECIMALS = 9
_END_DECIMALS = 6


def scene_hash(model: Any, data: Any, motion: Mapping[str, float] | None = None) -> str:
    """Return the sha256, as 64 hex digits, of a scene's geometry, colours and joint positions.

    The hash covers names, shapes and values of ``body_pos`` and ``geom_pos`` (m), ``body_quat`` and
    ``geom_quat`` (w x y z), ``geom_size`` (m), ``geom_rgba`` (0..1) and ``qpos`` (m and rad), each
    rounded to 1e-9 and with 0.0 for -0.0. So equal scenes stay equal although sums differ in their
    last bit.

    Args:
        model: ``mujoco.MjModel``, or a wrapper that exposes its arrays (robosuite's).
        data: ``mujoco.MjData``, or such a wrapper.
        motion: numbers, by name, that decide what moves by itself; they are part of the hash. Scenes
            without any keep the hash that they had before this argument existed.
    """
    digest = hashlib.sha256()
    for field in _MODEL_FIELDS:
        _update(digest, field, getattr(model, field))
    _update(digest, "qpos", data.qpos)
    for name, value in sorted((motion or {}).items()):
        _update(digest, name, value)
    return digest.hexdigest()


def state_hash(data: Any) -> str:
    """Return the sha256, as 64 hex digits, of a scene's joint positions at any moment of an episode.

    It covers ``qpos`` (m and rad), rounded to 1e-6: a processor's last bits grow over an episode's contacts.

    Args:
        data: ``mujoco.MjData``, or a wrapper that exposes its arrays (robosuite's).
    """
    digest = hashlib.sha256()
    _update(digest, "qpos", data.qpos, decimals=_END_DECIMALS)
    return digest.hexdigest()


def _update(digest: Any, name: str, values: ArrayLike, decimals: int = _DECIMALS) -> None:
    # Adding 0.0 turns -0.0 into 0.0; "<f8" keeps the bytes the same on every machine.
    array = np.round(np.asarray(values, dtype=np.float64), decimals) + 0.0
    digest.update(f"{name}{array.shape}".encode())
    digest.update(np.ascontiguousarray(array, dtype="<f8").tobytes())
