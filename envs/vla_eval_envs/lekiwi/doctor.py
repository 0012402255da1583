"""Checks for ``vlaeval doctor``: can this machine simulate and render LeKiwi?"""

from __future__ import annotations

import os

from vla_eval.errors import MissingExtraError, UsageError
from vla_eval.installed import install_command

__all__ = ["checks"]

_NAME = "lekiwi: rendering"
_INSTALL = f"run: {install_command('so101')}"
_GL = "run: sudo apt-get install -y libegl1 libgl1-mesa-dri, or set MUJOCO_GL to egl or osmesa"


def checks() -> list[tuple[str, bool, str, str]]:
    """Return (name, ok, detail, remedy) of each check; the SO-101's checks cover MuJoCo and GL."""
    from vla_eval_envs.lekiwi.shopping import Shopping

    try:
        env = Shopping(image_size=64)
    except MissingExtraError as error:
        return [("lekiwi: mujoco", False, str(error), _INSTALL)]
    except UsageError as error:
        return [("lekiwi: mujoco", False, str(error), _GL)]
    try:
        observation, _ = env.reset(options={"init_state": 0})
        spread = min(float(image.std()) for image in observation["pixels"].values())
    except Exception as error:  # noqa: BLE001  (any error of a GL driver is the finding)
        return [(_NAME, False, f"{type(error).__name__}: {error}", _GL)]
    finally:
        env.close()
    detail = f"three 64 x 64 pictures with {os.environ.get('MUJOCO_GL', '?')}"
    if spread > 1.0:
        return [(_NAME, True, detail, "")]
    return [(_NAME, False, f"{detail} are blank", _GL)]
