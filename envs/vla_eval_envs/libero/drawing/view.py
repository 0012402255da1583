"""The view of LIBERO's cameras, rendered only on demand.

robosuite 1.4.0 renders inside ``step``, in the 24th of its 25 physics steps (measured; its sampling
clock runs ahead by the two forced updates of a reset), before the last one and before LIBERO's
changes of site colours. To render later exactly the same picture, the poses that drawing uses (some
20 kB) are stored at that moment, and put in place while drawing.
"""

# ruff: noqa: SLF001  robosuite hides the MuJoCo objects behind an underscore

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["View"]

# All parts of a state that mjv_updateScene reads without debugging overlays.
_POSES = (
    "xpos",
    "xmat",
    "geom_xpos",
    "geom_xmat",
    "site_xpos",
    "site_xmat",
    "cam_xpos",
    "cam_xmat",
    "light_xpos",
    "light_xdir",
)


class View:
    """The drawable state of a robosuite simulation at the moment of its last observation."""

    def __init__(self, *, sparing: bool) -> None:
        """Create a view without a stored moment.

        Args:
            sparing: whether to draw only visible parts; the simulation's model must stay the same object.
        """
        self._sparing = sparing
        self._poses: dict[str, NDArray[np.float64]] = {}
        self._site_rgba = np.empty(0, dtype=np.float32)
        self._visibility: Any = None

    def capture(self, sim: Any) -> None:
        """Store the poses and site colours of this moment."""
        data = sim.data._data
        self._poses = {name: getattr(data, name).copy() for name in _POSES}
        self._site_rgba = sim.model._model.site_rgba.copy()

    def render(self, sim: Any, cameras: Mapping[str, str], size: int) -> dict[str, Any]:
        """Draw the stored moment.

        Args:
            sim: the ``MjSim`` that was passed to :meth:`capture`.
            cameras: MuJoCo's camera name for every key of the result.
            size: height and width in pixels.

        Returns:
            uint8 (size, size, 3) for every key, first row at the bottom as in OpenGL.
        """
        # robosuite's render does not make its context current. With two environments in one process
        # it would draw with the meshes and textures of the other.
        sim._render_context_offscreen.gl_ctx.make_current()
        with self._in_place(sim):
            return {key: self._draw(sim, camera, size) for key, camera in cameras.items()}

    def _draw(self, sim: Any, camera: str, size: int) -> Any:
        if not self._sparing:
            return sim.render(camera_name=camera, width=size, height=size)
        if self._visibility is None:
            # MuJoCo may be imported only after the GL backend is chosen.
            from vla_eval_envs.libero.drawing.visible import Visibility

            self._visibility = Visibility(sim)
        return self._visibility.draw(sim, camera, size)

    @contextlib.contextmanager
    def _in_place(self, sim: Any) -> Iterator[None]:
        data, model = sim.data._data, sim.model._model
        now = {name: getattr(data, name).copy() for name in _POSES}
        site_rgba = model.site_rgba.copy()
        try:
            _write(data, self._poses)
            model.site_rgba[:] = self._site_rgba
            yield
        finally:
            _write(data, now)
            model.site_rgba[:] = site_rgba


def _write(data: Any, poses: Mapping[str, NDArray[np.float64]]) -> None:
    for name, values in poses.items():
        getattr(data, name)[:] = values
