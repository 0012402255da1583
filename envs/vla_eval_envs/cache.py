"""The cache folder of this package: compiled code and library settings, which can be made again."""

from __future__ import annotations

import os
from pathlib import Path

from platformdirs import user_cache_path

from vla_eval.errors import InfrastructureError

__all__ = ["cache_folder"]


def cache_folder(name: str) -> Path:
    """Return the existing, writable folder ``name`` inside the cache.

    The cache is the folder in the environment variable ``VLA_EVAL_CACHE`` if that is set, else the
    platform's own place for caches (``~/.cache/vla_eval`` on Linux).

    Raises:
        InfrastructureError: the folder can be neither made nor written to.
    """
    chosen = os.environ.get("VLA_EVAL_CACHE")
    root = Path(chosen).expanduser() if chosen else user_cache_path("vla_eval")
    folder = root / name
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InfrastructureError(
            f"the cache folder {folder} cannot be made ({error.strerror}); "
            "set VLA_EVAL_CACHE to a folder that you can write to"
        ) from error
    if not os.access(folder, os.W_OK):
        raise InfrastructureError(
            f"the cache folder {folder} is not writable; "
            "set VLA_EVAL_CACHE to a folder that you can write to"
        )
    return folder
