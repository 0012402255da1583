"""Checks for ``vlaeval doctor``: can this machine simulate and render the SO-101?"""

from __future__ import annotations

import os

from vla_eval.errors import MissingExtraError, VlaEvalError
from vla_eval.installed import install_command

__all__ = ["checks"]

_EXPECTED_MUJOCO = "3.3.2"
_INSTALL_REMEDY = f"run: {install_command('so101')}"
_GL_REMEDY = (
    "run: sudo apt-get install -y libegl1 libgl1-mesa-dri, or set MUJOCO_GL to egl or osmesa"
)


def checks() -> list[tuple[str, bool, str, str]]:
    """Return (name, ok, detail, remedy) of each check; the checks stop at the first failure.

    The remedy is empty where a check passed. ``vla_eval.doctor`` catches what the environment raises.
    """
    results = [_check_mujoco()]
    for check in (_check_backend, _check_render):
        if results[-1][1]:
            results.append(check())
    return results


def _check_mujoco() -> tuple[str, bool, str, str]:
    try:
        from vla_eval_envs.manipulation.simulator import mujoco

        version = str(mujoco.__version__)
    except MissingExtraError as error:
        return "so101: mujoco", False, str(error), _INSTALL_REMEDY
    except VlaEvalError as error:
        return "so101: mujoco", False, str(error), _GL_REMEDY
    detail = (
        f"mujoco {version}"
        if version == _EXPECTED_MUJOCO
        else f"mujoco {version}, expected {_EXPECTED_MUJOCO}"
    )
    return (
        "so101: mujoco",
        version == _EXPECTED_MUJOCO,
        detail,
        "" if version == _EXPECTED_MUJOCO else _INSTALL_REMEDY,
    )


def _check_backend() -> tuple[str, bool, str, str]:
    from vla_eval_envs.gl import choose_gl_backend

    try:
        backend = choose_gl_backend()
    except VlaEvalError as error:
        return "so101: GL backend", False, str(error), _GL_REMEDY
    return "so101: GL backend", True, f"MUJOCO_GL={backend}", ""


def _check_render() -> tuple[str, bool, str, str]:
    from vla_eval_envs.so101.pick_place import PickPlace

    env = PickPlace(image_size=64)
    try:
        observation, _ = env.reset(options={"init_state": 0})
        spread = min(float(image.std()) for image in observation["pixels"].values())
    except Exception as error:  # noqa: BLE001  (any error of a GL driver is the finding)
        return "so101: rendering", False, f"{type(error).__name__}: {error}", _GL_REMEDY
    finally:
        env.close()
    detail = f"two 64 x 64 pictures with {os.environ.get('MUJOCO_GL', '?')}"
    if spread > 1.0:
        return "so101: rendering", True, detail, ""
    return "so101: rendering", False, f"{detail} are blank", _GL_REMEDY
