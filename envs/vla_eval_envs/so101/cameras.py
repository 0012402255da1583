"""Off-screen pictures of a scene. Owns the GL contexts, which are made when first needed."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from vla_eval_envs.gl import choose_gl_backend
from vla_eval_envs.so101.simulator import mujoco

__all__ = ["RENDER_HEIGHT", "RENDER_WIDTH", "Cameras"]

RENDER_HEIGHT, RENDER_WIDTH = 480, 640
"""Size in pixels of what ``render`` returns."""
# The policy's cameras: no multisampling, which doubles the time of a frame in software GL.
_FAST_SAMPLES, _FAST_SHADOW_PIXELS = 0, 1024
_NICE_SAMPLES, _NICE_SHADOW_PIXELS = 4, 2048


class Cameras:
    """Renders a model's cameras: fast square pictures for policies, nice ones for people."""

    def __init__(self, model: mujoco.MjModel, image_size: int, *, shadows: bool) -> None:
        self._model = model
        self._image_size = image_size
        self._shadows = shadows
        self._fast: Any = None
        self._nice: Any = None
        model.vis.global_.offwidth = max(image_size, RENDER_WIDTH)
        model.vis.global_.offheight = max(image_size, RENDER_HEIGHT)

    def picture(self, data: mujoco.MjData, camera: str) -> NDArray[np.uint8]:
        """Return a policy's view, uint8 (image_size, image_size, 3), freshly allocated."""
        if self._fast is None:
            size = (self._image_size, self._image_size)
            self._fast = self._renderer(size, _FAST_SAMPLES, _FAST_SHADOW_PIXELS)
            self._fast.scene.flags[mujoco.mjtRndFlag.mjRND_SHADOW] = self._shadows
            self._fast.scene.flags[mujoco.mjtRndFlag.mjRND_REFLECTION] = False
        return _draw(self._fast, data, camera)

    def nice_picture(self, data: mujoco.MjData, camera: str) -> NDArray[np.uint8]:
        """Return a view with shadows and smooth edges, uint8 (480, 640, 3)."""
        if self._nice is None:
            size = (RENDER_HEIGHT, RENDER_WIDTH)
            self._nice = self._renderer(size, _NICE_SAMPLES, _NICE_SHADOW_PIXELS)
        return _draw(self._nice, data, camera)

    def close(self) -> None:
        """Free the GL contexts. Twice does no harm."""
        for renderer in (self._fast, self._nice):
            if renderer is not None:
                renderer.close()
        self._fast = self._nice = None

    def _renderer(self, size: tuple[int, int], samples: int, shadow_pixels: int) -> Any:
        choose_gl_backend()
        # The context reads these when it is made, and nothing else does.
        self._model.vis.quality.offsamples = samples
        self._model.vis.quality.shadowsize = shadow_pixels
        return mujoco.Renderer(self._model, *size)


def _draw(renderer: Any, data: mujoco.MjData, camera: str) -> NDArray[np.uint8]:
    renderer.update_scene(data, camera)
    pixels: NDArray[np.uint8] = renderer.render()
    return pixels
