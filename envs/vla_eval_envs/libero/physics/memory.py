"""Gives back what MuJoCo's compiler keeps after compiling, which is more than the scene itself.

Measured with MuJoCo 3.3.2: compiling a scene of libero_spatial (105 MB) leaves 470 MB. 210 MB are the
parsed XML with its meshes, kept in case somebody saves it; 170 MB are decoded meshes and textures,
kept for the next scene, up to 500 MB; the rest is what the C library does not return by itself. None of
it serves anybody when compiled scenes are kept on disk; a little is left for what scenes share.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import sys
from pathlib import Path
from types import ModuleType

__all__ = ["limit_asset_cache", "mujoco_library", "release_compiler_memory"]

# What the scenes of a suite have in common: robot, room, table. What MuJoCo counts as 1 takes 1.2.
_ASSET_CACHE_BYTES = 32 * 2**20


def mujoco_library(mujoco: ModuleType) -> Path:
    """Return the shared library that the package ``mujoco`` has loaded."""
    return next(Path(str(mujoco.__file__)).parent.glob("libmujoco.*"))


@functools.cache
def _library(path: Path) -> ctypes.CDLL:
    library = ctypes.CDLL(str(path))
    library.mj_globalCache.restype = ctypes.c_void_p
    library.mj_setCacheSize.argtypes = [ctypes.c_void_p, ctypes.c_size_t]
    return library


def limit_asset_cache(mujoco: ModuleType) -> None:
    """Limit how many decoded meshes and textures MuJoCo keeps for later scenes.

    Only before anything was compiled: MuJoCo 3.3.2 crashes when a cache that holds more shrinks.
    """
    # Neither function is in MuJoCo's documentation: without them there is only more memory in use.
    with contextlib.suppress(AttributeError):
        library = _library(mujoco_library(mujoco))
        library.mj_setCacheSize(library.mj_globalCache(), _ASSET_CACHE_BYTES)


def release_compiler_memory(mujoco: ModuleType) -> None:
    """Free the parsed XML of the last compiled scene, and return free memory to the system."""
    with contextlib.suppress(AttributeError):
        _library(mujoco_library(mujoco)).mj_freeLastXML()
    if sys.platform == "linux":
        with contextlib.suppress(AttributeError, OSError):
            ctypes.CDLL(None).malloc_trim(0)
