"""The one import of MuJoCo: it chooses a GL backend first, and raises a clear error without MuJoCo.

``mujoco`` in this module is a stand-in that imports MuJoCo at its first use. So the modules of tasks
can be imported, and the tasks listed, where MuJoCo is not installed.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import importlib
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np

from vla_eval.errors import InfrastructureError, MissingExtraError
from vla_eval_envs.gl import choose_gl_backend
from vla_eval_envs.mujoco_warnings import record_warnings

__all__ = ["model_digest", "mujoco"]


@functools.cache
def _imported() -> ModuleType:
    # Physics works without a renderer. The first picture raises this error again.
    with contextlib.suppress(InfrastructureError):
        choose_gl_backend()
    try:
        module = importlib.import_module("mujoco")
    except ImportError as error:
        raise MissingExtraError("SO-101 simulation", "so101") from error
    record_warnings(module)
    return module


class _MuJoCo:
    def __getattr__(self, name: str) -> Any:
        return getattr(_imported(), name)


if TYPE_CHECKING:
    import mujoco
else:
    mujoco = _MuJoCo()


def model_digest(model: mujoco.MjModel) -> str:
    """Return the first 16 hex digits of the sha256 over all numbers of a compiled model."""
    buffer = np.zeros(mujoco.mj_sizeModel(model), dtype=np.uint8)
    mujoco.mj_saveModel(model, None, buffer)
    return hashlib.sha256(buffer.tobytes()).hexdigest()[:16]
