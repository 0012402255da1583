"""MuJoCo, imported in one place: after the choice of a GL backend, with a clear error without it."""

from __future__ import annotations

import contextlib

from vla_eval.errors import InfrastructureError, MissingExtraError
from vla_eval_envs.gl import choose_gl_backend
from vla_eval_envs.mujoco_warnings import record_warnings

__all__ = ["mujoco"]

# Physics works without a renderer; whoever asks for a picture gets this error then.
with contextlib.suppress(InfrastructureError):
    choose_gl_backend()

try:
    import mujoco
except ImportError as error:
    raise MissingExtraError("SO-101 simulation", "so101") from error

record_warnings(mujoco)
