"""Imports LIBERO and robosuite without their side effects.

Without this module, the import prompts on standard input, writes ``~/.libero``, writes compiled code
into site-packages, writes ``/tmp/robosuite.log`` and complains about a missing settings file.
"""

# ruff: noqa: SLF001  LIBERO has no public way to choose its assets

from __future__ import annotations

import contextlib
import functools
import hashlib
import importlib
import importlib.util
import io
import logging
import os
import sys
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from vla_eval.errors import MissingExtraError, UsageError
from vla_eval_envs.cache import cache_folder
from vla_eval_envs.gl import choose_gl_backend
from vla_eval_envs.libero.assets import Assets
from vla_eval_envs.libero.jit import compiled_code_cache, environment_variable
from vla_eval_envs.libero.physics.memory import limit_asset_cache

__all__ = ["Library", "load", "quiet"]

# robosuite's defaults, which LIBERO's physics and pictures need, without its log file, without its
# log on the console, and without its replacement of the caller's MUJOCO_GL.
_ROBOSUITE_SETTINGS = {"SIMULATION_TIMESTEP": 0.002, "IMAGE_CONVENTION": "opengl"}
_SILENCE = {"CONSOLE_LOGGING_LEVEL": "ERROR", "FILE_LOGGING_LEVEL": None}


@dataclass(frozen=True)
class Library:
    """The parts of LIBERO and robosuite that an environment uses."""

    root: Path
    """The folder of ``libero.libero``, with ``bddl_files`` and ``init_files``."""
    gl: str
    assets: Assets
    problems: dict[str, Any]
    """Problem classes by lower-case name (``TASK_MAPPING``)."""
    problem_info: Any
    controller_config: Any
    observable: Any
    sensor: Any
    randomization_error: type[Exception]
    simulation: Any
    """robosuite's ``MjSim``."""
    bad_state_warnings: tuple[int, ...]
    """MuJoCo's warnings after which it has reset the state by itself."""


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Drop LIBERO's output and warnings: standard output is for our own results.

    It also keeps ``libero.libero.envs.venv`` from changing the process's warning filters.
    """
    with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


@functools.cache
def load(assets: Assets) -> Library:
    """Import LIBERO and robosuite, and make every object class use ``assets``.

    Raises:
        UsageError: this process already uses another assets folder.
    """
    gl = choose_gl_backend()
    first = "mujoco" not in sys.modules
    with quiet(), _libero_settings(), compiled_code_cache(), _matplotlib_later():
        _import_robosuite(gl)
        libero = importlib.import_module("libero.libero")
        _set_assets(libero, assets.path)
        domain = importlib.import_module("libero.libero.envs")
        importlib.import_module("vla_eval_envs.libero.physics.loop")
    mujoco = importlib.import_module("mujoco")
    _log_mujoco_warnings(mujoco)
    if first:
        limit_asset_cache(mujoco)
    observables = importlib.import_module("robosuite.utils.observables")
    kinds = mujoco.mjtWarning
    return Library(
        root=Path(str(libero.__file__)).parent,
        gl=gl,
        assets=assets,
        problems=domain.TASK_MAPPING,
        problem_info=importlib.import_module("libero.libero.envs.bddl_utils").get_problem_info,
        controller_config=importlib.import_module("robosuite.controllers").load_controller_config,
        observable=observables.Observable,
        sensor=observables.sensor,
        randomization_error=importlib.import_module("robosuite.utils.errors").RandomizationError,
        simulation=importlib.import_module("robosuite.utils.binding_utils").MjSim,
        bad_state_warnings=tuple(
            int(kind) for kind in (kinds.mjWARN_BADQPOS, kinds.mjWARN_BADQVEL, kinds.mjWARN_BADQACC)
        ),
    )


def _set_assets(libero: Any, path: Path) -> None:
    current = libero._assets_path_cache
    if current is not None and Path(current).resolve() != path:
        raise UsageError(
            f"this process already uses LIBERO's assets in {current} and cannot change to {path}; "
            "use one assets folder in a process"
        )
    libero._assets_path_cache = str(path)


def _import_robosuite(gl: str) -> None:
    """Import robosuite with fixed settings, whether or not a ``macros_private`` file exists."""
    private = "robosuite.macros_private"
    if "robosuite" not in sys.modules:
        settings = ModuleType(private)
        vars(settings).update(_ROBOSUITE_SETTINGS, **_SILENCE, MUJOCO_GPU_RENDERING=gl == "egl")
        sys.modules[private] = settings
        try:
            importlib.import_module("robosuite")
        finally:
            del sys.modules[private]
    macros = importlib.import_module("robosuite.macros")
    for name, value in _ROBOSUITE_SETTINGS.items():
        if getattr(macros, name) != value:
            raise UsageError(
                f"robosuite was imported earlier with {name} = {getattr(macros, name)}; "
                f"LIBERO needs {value}"
            )


@contextlib.contextmanager
def _libero_settings() -> Iterator[None]:
    """Provide a settings file for ``libero.libero``, so that it neither prompts nor writes to home."""
    specification = importlib.util.find_spec("libero")
    if specification is None or specification.origin is None:
        raise MissingExtraError("LIBERO", "libero")
    root = Path(specification.origin).parent / "libero"
    # One folder for each installation, because the file holds its paths.
    folder = cache_folder(f"libero-{hashlib.sha256(str(root).encode()).hexdigest()[:12]}")
    entries = {
        "assets": root / "assets",
        "bddl_files": root / "bddl_files",
        "benchmark_root": root,
        "datasets": root.parent / "datasets",
        "init_states": root / "init_files",
    }
    text = "".join(f"{name}: {str(path)!r}\n" for name, path in entries.items())
    settings = folder / "config.yaml"
    if not settings.is_file() or settings.read_text(encoding="utf-8") != text:
        draft = folder / f"config.{os.getpid()}.yaml"
        draft.write_text(text, encoding="utf-8")
        draft.replace(settings)
    with environment_variable("LIBERO_CONFIG_PATH", str(folder)):
        yield


class _Later(ModuleType):
    """Stands for a module until its first use."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):  # the import system's own questions
            raise AttributeError(name)
        return getattr(importlib.import_module(self.__name__), name)


@contextlib.contextmanager
def _matplotlib_later() -> Iterator[None]:
    """Delay the import of Matplotlib, which makes a folder in home, until LIBERO colours segments."""
    if "matplotlib" in sys.modules:
        yield
        return
    package, colours = _Later("matplotlib"), _Later("matplotlib.cm")
    package.cm = colours  # type: ignore[attr-defined]
    sys.modules |= {"matplotlib": package, "matplotlib.cm": colours}
    try:
        yield
    finally:
        for stub in (package, colours):
            if sys.modules.get(stub.__name__) is stub:
                del sys.modules[stub.__name__]


def _log_mujoco_warnings(mujoco: ModuleType) -> None:
    """Keep MuJoCo from printing warnings and writing MUJOCO_LOG.TXT into the current folder."""
    if mujoco.get_mju_user_warning() is None:
        mujoco.set_mju_user_warning(logging.getLogger("vla_eval_envs.mujoco").warning)
