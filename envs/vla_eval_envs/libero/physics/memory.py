"""Frees the memory that MuJoCo's compiler keeps after compiling, which is more than the scene itself.

Measured with MuJoCo 3.3.2: compiling a scene of libero_spatial (105 MB) leaves 470 MB. 210 MB are the
parsed XML with its meshes, kept for saving it; 170 MB are decoded meshes and textures, kept for the next
scene, up to 500 MB; the C library keeps the rest. This memory is useless when compiled scenes are kept
on disk. A small cache stays for the parts that scenes share.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import sys
from pathlib import Path
from types import ModuleType

__all__ = ["limit_asset_cache", "mujoco_library", "release_compiler_memory"]

# The parts that the scenes of a suite share: robot, room, table. The real size is 1.2 times the size
# that MuJoCo counts.
_ASSET_CACHE_BYTES = 32 * 2**20


def mujoco_library(mujoco: ModuleType) -> Path:
    """Return the path of the shared library that the package ``mujoco`` has loaded."""
    return next(Path(str(mujoco.__file__)).parent.glob("libmujoco.*"))


@functools.cache
def _library(path: Path) -> ctypes.CDLL:
    library = ctypes.CDLL(str(path))
    library.mj_globalCache.restype = ctypes.c_void_p
    library.mj_setCacheSize.argtypes = [ctypes.c_void_p, ctypes.c_size_t]
    return library


def limit_asset_cache(mujoco: ModuleType) -> None:
    """Limit the decoded meshes and textures that MuJoCo keeps for later scenes.

    Call it before any compilation: MuJoCo 3.3.2 crashes if the new limit is below the cache's size.
    """
    # MuJoCo does not document these two functions; without them the process only uses more memory.
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
