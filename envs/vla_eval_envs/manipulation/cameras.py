"""Off-screen pictures of a scene. The GL contexts are made at the first picture."""

from __future__ import annotations

import atexit
import functools
import weakref
from collections.abc import Mapping
from typing import Any

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from vla_eval_envs.gl import choose_gl_backend
from vla_eval_envs.manipulation.simulator import mujoco

__all__ = ["RENDER_HEIGHT", "RENDER_WIDTH", "Cameras", "picture_space"]

RENDER_HEIGHT, RENDER_WIDTH = 480, 640
"""Size of the picture that ``render`` returns, pixels."""
_MAX_IMAGE_SIZE = 2048
_LOOKING_DOWN = ("top",)
# In software GL multisampling doubles the time of a frame. Coarser cylinders and undivided boxes
# halve it: 1.3 ms instead of 2.7 at 256 x 256.
_FAST = {"offsamples": 0, "shadowsize": 1024, "numslices": 20, "numstacks": 2, "numquads": 1}
_NICE = {"offsamples": 4, "shadowsize": 2048, "numslices": 28, "numstacks": 16, "numquads": 4}


def picture_space(image_size: int) -> spaces.Box:
    """Return the space of a policy's view, uint8 (image_size, image_size, 3).

    Raises:
        ValueError: ``image_size`` cannot be rendered.
    """
    if not 1 <= image_size <= _MAX_IMAGE_SIZE:
        raise ValueError(f"image_size must be in 1..{_MAX_IMAGE_SIZE}, not {image_size}")
    return spaces.Box(0, 255, (image_size, image_size, 3), np.uint8)


_open: weakref.WeakSet[Cameras] = weakref.WeakSet()


@functools.cache
def _close_at_exit() -> None:
    """Close at exit the cameras that scripts leave open.

    Call this after the first GL context exists, so that the cameras close before its library ends.
    """

    @atexit.register
    def close_all() -> None:
        for cameras in list(_open):
            cameras.close()


class Cameras:
    """Renders a model's cameras: fast square pictures for policies, smooth pictures for people."""

    def __init__(self, model: mujoco.MjModel, image_size: int, *, shadows: bool) -> None:
        self._model = model
        self._image_size = image_size
        self._shadows = shadows
        self._fast: Any = None
        self._nice: Any = None
        _open.add(self)

    def picture(self, data: mujoco.MjData, camera: str) -> NDArray[np.uint8]:
        """Return a policy's view, uint8 (image_size, image_size, 3), freshly allocated."""
        flags = mujoco.mjtRndFlag
        if self._fast is None:
            self._fast = self._renderer((self._image_size, self._image_size), _FAST)
            self._fast.scene.flags[flags.mjRND_SHADOW] = self._shadows
            self._fast.scene.flags[flags.mjRND_REFLECTION] = False
        # Cameras that look down never see the sky, and drawing it takes a tenth of their frame.
        self._fast.scene.flags[flags.mjRND_SKYBOX] = camera not in _LOOKING_DOWN
        return _draw(self._fast, data, camera)

    def nice_picture(self, data: mujoco.MjData, camera: str) -> NDArray[np.uint8]:
        """Return a view with shadows and smooth edges, uint8 (480, 640, 3)."""
        if self._nice is None:
            self._nice = self._renderer((RENDER_HEIGHT, RENDER_WIDTH), _NICE)
        return _draw(self._nice, data, camera)

    def close(self) -> None:
        """Free the GL contexts; a second call has no effect."""
        for renderer in (self._fast, self._nice):
            if renderer is not None:
                renderer.close()
        self._fast = self._nice = None

    def _renderer(self, size: tuple[int, int], quality: Mapping[str, int]) -> Any:
        choose_gl_backend()
        # A buffer larger than the picture would only cost time: it is cleared and read as a whole.
        buffer = self._model.vis.global_
        buffer.offheight, buffer.offwidth = size
        for name, value in quality.items():
            # Only the context reads these values, when it is made.
            setattr(self._model.vis.quality, name, value)
        renderer = mujoco.Renderer(self._model, *size)
        _close_at_exit()
        return renderer


def _draw(renderer: Any, data: mujoco.MjData, camera: str) -> NDArray[np.uint8]:
    renderer.update_scene(data, camera)
    pixels: NDArray[np.uint8] = renderer.render()
    return pixels
