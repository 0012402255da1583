"""The window of render mode ``human``: MuJoCo's passive viewer, in real time."""

from __future__ import annotations

import importlib
import os
import sys
import time
from typing import Any

from vla_eval.errors import InfrastructureError
from vla_eval_envs.manipulation.simulator import mujoco

__all__ = ["Viewer"]

_NO_DISPLAY = (
    "render_mode='human' opens a window, and this process has no display (DISPLAY and "
    "WAYLAND_DISPLAY are not set); use render_mode='rgb_array', or run it under xvfb-run"
)
_CONTROL_STEP_S = 1 / 30


class Viewer:
    """A window that opens at the first ``show``; mouse and keys move the view.

    The episode continues after the window is closed.
    """

    def __init__(self, model: mujoco.MjModel, data: mujoco.MjData) -> None:
        on_x_or_wayland = sys.platform.startswith(("linux", "freebsd"))
        if on_x_or_wayland and not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
            raise InfrastructureError(_NO_DISPLAY)
        self._model, self._data = model, data
        self._window: Any = None
        self._next = 0.0

    def show(self) -> None:
        """Show the present state, then wait until one control step has passed since the last call."""
        if self._window is None:
            self._window = self._open()
        if not self._window.is_running():
            return
        self._window.sync()
        now = time.monotonic()
        time.sleep(max(0.0, self._next - now))
        self._next = max(now, self._next) + _CONTROL_STEP_S

    def close(self) -> None:
        """Close the window; a second call has no effect."""
        if self._window is not None:
            self._window.close()
            self._window = None

    def _open(self) -> Any:
        viewer = importlib.import_module("mujoco.viewer")
        try:
            window = viewer.launch_passive(
                self._model, self._data, show_left_ui=False, show_right_ui=False
            )
        except Exception as error:
            raise InfrastructureError(
                f"render_mode='human' cannot open its window: {error}"
            ) from error
        with window.lock():
            window.cam.type = mujoco.mjtCamera.mjCAMERA_FIXED
            window.cam.fixedcamid = self._model.camera("side").id
        return window
