"""Checks for ``vlaeval doctor``: can this machine evaluate LIBERO, and if not, what is the remedy?"""

from __future__ import annotations

from collections.abc import Callable
from typing import get_args

import numpy as np
from numpy.typing import NDArray

from vla_eval.errors import VlaEvalError
from vla_eval.installed import install_command
from vla_eval_envs.libero.assets import ASSETS_VARIABLE, find_assets
from vla_eval_envs.libero.env import LiberoEnv
from vla_eval_envs.libero.scenes import Drawing
from vla_eval_envs.libero.versions import ALLOW_VARIABLE, MUJOCO_PIN, versions

__all__ = ["checks"]

_INSTALL = install_command("libero")


def checks() -> list[tuple[str, bool, str, str]]:
    """Return ``(name, ok, detail, remedy)`` for packages, assets and a rendered scene, in order.

    A check whose precondition failed is left out, because its failure would add no information.
    """
    results: list[tuple[str, bool, str, str]] = []
    for name, check, remedy in (
        ("LIBERO packages", _packages, _INSTALL),
        ("LIBERO assets", _assets, f"set {ASSETS_VARIABLE}, or go online for the first run"),
        ("LIBERO scene", _scene, "run vlaeval doctor again with MUJOCO_GL=egl, then =osmesa"),
        (
            "LIBERO pictures",
            _pictures,
            'put drawing = "plain" into a protocol\'s blocks.env_kwargs',
        ),
    ):
        ok, detail = _attempt(check)
        results.append((name, ok, detail, "" if ok else remedy))
        if not ok:
            break
    return results


def _attempt(check: Callable[[], str]) -> tuple[bool, str]:
    try:
        return True, check()
    except VlaEvalError as error:
        return False, str(error)
    except Exception as error:  # noqa: BLE001  a check reports every failure
        return False, f"{type(error).__name__}: {error}"


def _packages() -> str:
    installed = versions()
    note = f", not {MUJOCO_PIN} ({ALLOW_VARIABLE}=1)" if installed.mujoco_override else ""
    return (
        f"hf-libero {installed.hf_libero}, robosuite {installed.robosuite}, "
        f"mujoco {installed.mujoco}{note}"
    )


def _assets() -> str:
    assets = find_assets(download=False)
    if assets.standins_count:
        return (
            f"stand-ins: {assets.standins_count} files are replaced, so results may not be "
            "published as LIBERO's"
        )
    return f"found ({assets.name})"


def _scene() -> str:
    env = LiberoEnv("libero_spatial", 0, image_size=64)
    try:
        observation, info = env.reset(seed=0, options={"init_state": 0})
    finally:
        env.close()
    spread = float(observation["pixels"]["agentview"].std())
    if spread < 1:
        raise RuntimeError("the picture is empty")
    return f"libero_spatial task 0 renders with {info['provenance']['gl']}"


def _pictures() -> str:
    """Compare the pictures without what cannot be seen with those of the whole scene.

    The task has a stove that mirrors; the arm moves before each of the pictures.
    """
    exact, plain = (_drawn(drawing) for drawing in get_args(Drawing))
    different = int(np.any(exact != plain, axis=(1, 2, 3)).sum())
    if different:
        raise RuntimeError(f"{different} of {len(exact)} pictures are not those of the whole scene")
    return f"{len(exact)} pictures equal those of the whole scene"


def _drawn(drawing: Drawing) -> NDArray[np.uint8]:
    """Return pictures of both cameras at some moments of an episode, (n, height, width, 3)."""
    env, pictures = LiberoEnv("libero_spatial", 0, image_size=128, drawing=drawing), []
    try:
        env.reset(seed=0, options={"init_state": 0})
        for action in np.random.default_rng(0).uniform(-1, 1, (4, 7)).astype(np.float32):
            for _ in range(5):
                env.advance(action)
            pictures += env.observe()["pixels"].values()
    finally:
        env.close()
    return np.array(pictures)
