"""Compiled scenes on disk: a machine compiles a scene once, and later loads it.

Compiling takes 1 to 3 s and temporarily half a gigabyte of memory; loading a compiled scene takes
0.1 s. A file has 100 to 230 MB. The folder is kept below 8 GB and below a tenth of the free space; the
files unused for longest are deleted first.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import shutil
from pathlib import Path
from typing import Any

import mujoco

from vla_eval_envs.cache import cache_folder

__all__ = ["compile_or_load"]

_FOLDER = "libero-scenes"
_MAX_BYTES = 8 * 10**9
_SHARE_OF_FREE_SPACE = 0.1
_FILES = re.compile(r'\bfile="([^"]+)"')


def compile_or_load(xml: str) -> Any:
    """Return the compiled ``mujoco.MjModel`` of a scene.

    Args:
        xml: the scene, with absolute paths of its files.
    """
    path = cache_folder(_FOLDER) / f"{_key(xml)}.mjb"
    if path.is_file():
        # A file of another version, or a file truncated by a full disk, must not cause a failure.
        with contextlib.suppress(ValueError, mujoco.FatalError):
            model = mujoco.MjModel.from_binary_path(str(path))
            os.utime(path)
            return model
    model = mujoco.MjModel.from_xml_string(xml)
    with contextlib.suppress(OSError, mujoco.FatalError):
        _save(model, path)
    return model


def _key(xml: str) -> str:
    digest = hashlib.sha256(f"{mujoco.__version__}\n{xml}".encode())
    for name in sorted(set(_FILES.findall(xml))):
        with contextlib.suppress(OSError):  # the compiler will report the missing file
            status = Path(name).stat()
            digest.update(f"{name} {status.st_size} {status.st_mtime_ns}\n".encode())
    return digest.hexdigest()


def _save(model: Any, path: Path) -> None:
    size = int(mujoco.mj_sizeModel(model))
    budget = min(_MAX_BYTES, int(shutil.disk_usage(path.parent).free * _SHARE_OF_FREE_SPACE))
    if size > budget:
        return
    _make_room(path.parent, budget - size)
    draft = path.with_suffix(f".{os.getpid()}.tmp")
    try:
        mujoco.mj_saveModel(model, str(draft))
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)


def _make_room(folder: Path, budget: int) -> None:
    """Delete the files that were unused for longest until the rest fits the budget."""
    kept = sorted(folder.glob("*.mjb"), key=lambda path: path.stat().st_mtime)
    total = sum(path.stat().st_size for path in kept)
    for path in kept:
        if total <= budget:
            break
        total -= path.stat().st_size
        path.unlink(missing_ok=True)
