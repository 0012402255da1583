"""Chooses MuJoCo's OpenGL backend, before MuJoCo is imported.

MuJoCo reads ``MUJOCO_GL`` once, when it is imported, and PyOpenGL reads ``PYOPENGL_PLATFORM`` once,
when its first submodule is imported; the two must agree. Without ``MUJOCO_GL`` MuJoCo would take
GLFW, which needs a display that evaluation machines do not have.
"""

from __future__ import annotations

import ctypes
import importlib
import os
import platform
import sys

from vla_eval.errors import InfrastructureError, UsageError

__all__ = ["choose_gl_backend"]

_BACKENDS = ("cgl", "egl", "glfw", "osmesa", "wgl")
_PLATFORM_OF_BACKEND = {"egl": "egl", "osmesa": "osmesa"}
_LIBRARIES = {"egl": ("libEGL.so.1", "libEGL.so"), "osmesa": ("libOSMesa.so.8", "libOSMesa.so.6")}
_REMEDY = (
    "MuJoCo cannot render: neither libEGL nor libOSMesa can be loaded; "
    "run: sudo apt-get install -y libegl1 libgl1-mesa-dri"
)


def choose_gl_backend() -> str:
    """Set ``MUJOCO_GL`` and ``PYOPENGL_PLATFORM`` for this process and return the backend's name.

    A ``MUJOCO_GL`` that is already set is kept. Otherwise the choice is CGL on macOS; elsewhere it is
    EGL if libEGL loads, else OSMesa. The choice stays in the environment, so worker processes make
    the same choice. Idempotent and cheap; call it before the first ``import mujoco``.

    Raises:
        UsageError: ``MUJOCO_GL`` names no backend.
        InfrastructureError: no off-screen backend is installed, or PyOpenGL was imported earlier with
            another ``PYOPENGL_PLATFORM``.
    """
    wanted = os.environ.get("MUJOCO_GL", "").lower().strip()
    if wanted and wanted not in _BACKENDS:
        raise UsageError(
            f"MUJOCO_GL={wanted}: {', '.join(_BACKENDS)} are known; unset it to take an "
            "installed backend"
        )
    backend = wanted or _default_backend()
    os.environ["MUJOCO_GL"] = backend
    _align_pyopengl(backend)
    _reload_mujoco_context(backend)
    return backend


def _default_backend() -> str:
    if platform.system() == "Darwin":
        return "cgl"
    for backend, names in _LIBRARIES.items():
        if any(_loads(name) for name in names):
            return backend
    raise InfrastructureError(_REMEDY)


def _loads(library: str) -> bool:
    try:
        ctypes.CDLL(library)
    except OSError:
        return False
    return True


def _align_pyopengl(backend: str) -> None:
    """Make ``PYOPENGL_PLATFORM`` name the same backend as ``MUJOCO_GL``."""
    needed = _PLATFORM_OF_BACKEND.get(backend)
    if needed is None:
        return
    current = os.environ.get("PYOPENGL_PLATFORM", "").lower()
    if current == needed:
        return
    if "OpenGL.platform" in sys.modules:
        # PyOpenGL has bound its functions already; changing the variable would change nothing.
        raise InfrastructureError(
            f"MUJOCO_GL is '{backend}', but PyOpenGL was imported before with "
            f"PYOPENGL_PLATFORM='{current}'; run: export PYOPENGL_PLATFORM={needed}"
        )
    os.environ["PYOPENGL_PLATFORM"] = needed


def _reload_mujoco_context(backend: str) -> None:
    """Pass the choice to a MuJoCo that was imported earlier under another ``MUJOCO_GL``.

    ``mujoco.Renderer`` looks up ``GLContext`` in ``mujoco.gl_context`` when it is built, so it is
    enough to reload that module.
    """
    module = sys.modules.get("mujoco.gl_context")
    if module is not None and getattr(module, "_MUJOCO_GL", backend) != backend:
        importlib.reload(module)
