"""The cache of code that Numba compiles: one folder for each version of the sources.

Numba checks only the date of the file that contains a function. It would load code that was compiled
together with an older function of *another* file. So the name of the cache folder is a hash of all
sources.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import importlib
import os
from collections.abc import Callable, Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

from vla_eval_envs.cache import cache_folder

__all__ = ["compiled", "compiled_code_cache", "environment_variable"]

_SOURCES = (
    "drawing/batches.py",
    "drawing/coverage.py",
    "jit.py",
    "physics/loop.py",
    "physics/operational_space.py",
)
_LIBRARIES = ("numba", "mujoco", "robosuite")


def compiled[F: Callable[..., Any]](function: F) -> F:
    """Compile a function with Numba at its first call; other threads run during its calls."""
    numba = importlib.import_module("numba")  # comes with the extra
    with compiled_code_cache():
        faster: F = numba.njit(function, cache=True, nogil=True)
    return faster


@contextlib.contextmanager
def compiled_code_cache() -> Iterator[None]:
    """Store the code of functions that are decorated in this context in our cache."""
    folder = str(cache_folder(_folder_name()))
    with environment_variable("NUMBA_CACHE_DIR", folder):
        config = importlib.import_module("numba").config
        before = config.CACHE_DIR
        config.CACHE_DIR = folder  # for a Numba that was imported earlier
        try:
            yield
        finally:
            config.CACHE_DIR = before


@functools.cache
def _folder_name() -> str:
    digest = hashlib.sha256("".join(f"{name} {version(name)}\n" for name in _LIBRARIES).encode())
    for name in _SOURCES:
        digest.update((Path(__file__).parent / name).read_bytes())
    return f"numba/{digest.hexdigest()[:16]}"


@contextlib.contextmanager
def environment_variable(name: str, value: str) -> Iterator[None]:
    """Set an environment variable within this context."""
    before = os.environ.get(name)
    os.environ[name] = value
    try:
        yield
    finally:
        if before is None:
            del os.environ[name]
        else:
            os.environ[name] = before
