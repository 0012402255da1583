"""Checks for ``vlaeval doctor``: can this machine evaluate LIBERO, and if not, what is the remedy?"""

from __future__ import annotations

from collections.abc import Callable

from vla_eval.errors import VlaEvalError
from vla_eval.installed import install_command
from vla_eval_envs.libero.assets import ASSETS_VARIABLE, find_assets
from vla_eval_envs.libero.env import LiberoEnv
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
