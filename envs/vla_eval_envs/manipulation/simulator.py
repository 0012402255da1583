"""MuJoCo, imported in one place: after the choice of a GL backend, with a clear error without it."""

from __future__ import annotations

import contextlib
import hashlib

import numpy as np

from vla_eval.errors import InfrastructureError, MissingExtraError
from vla_eval_envs.gl import choose_gl_backend
from vla_eval_envs.mujoco_warnings import record_warnings

__all__ = ["model_digest", "mujoco"]

# Physics works without a renderer; whoever asks for a picture gets this error then.
with contextlib.suppress(InfrastructureError):
    choose_gl_backend()

try:
    import mujoco
except ImportError as error:
    raise MissingExtraError("SO-101 simulation", "so101") from error

record_warnings(mujoco)


def model_digest(model: mujoco.MjModel) -> str:
    """Return 16 hex digits of the sha256 of a compiled model: every number in it."""
    buffer = np.zeros(mujoco.mj_sizeModel(model), dtype=np.uint8)
    mujoco.mj_saveModel(model, None, buffer)
    return hashlib.sha256(buffer.tobytes()).hexdigest()[:16]
