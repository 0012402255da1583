"""Parts of a scene whose motion is prescribed: belts, plates that jerk, and boxes that travel.

MuJoCo carries an object by friction only if the surface under it has a velocity, which a mocap body lacks.
So a driven part is a body on a slide joint, too heavy for contacts to slow it, whose position and velocity are
set before every control step.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vla_eval_envs.manipulation.simulator import mujoco

__all__ = ["PLATE_TOP_M", "Driven", "Shuttle", "Track", "add_plate", "check_level", "make_driven"]

Track = Callable[[NDArray[np.float64]], NDArray[np.float64]]
"""Displacements (N, 3), m, after numbers of control steps (N,) from now."""

PLATE_TOP_M = 0.0005
"""Height of a plate's top over the table. Objects begin on it, and touch the table nowhere."""
_PLATE_HALF_M = 0.005
_MASS_KG = 1000.0
_AXES = {"x": (1.0, 0.0, 0.0), "y": (0.0, 1.0, 0.0)}


def make_driven(spec: mujoco.MjSpec, body: mujoco.MjsBody, axes: str, mean_inertia: float) -> None:
    """Put a body on slide joints along axes, "x", "y" or "xy", named ``BODY_x`` and ``BODY_y``.

    It has the mass of a driven part, and passes through table and floor. MuJoCo's solver stops at an
    accuracy relative to the model's mean inertia, which must stay that of the model without driven parts.
    """
    for axis in axes:
        slide = mujoco.mjtJoint.mjJNT_SLIDE
        body.add_joint(name=f"{body.name}_{axis}", type=slide, axis=_AXES[axis])
    body.mass, body.ipos, body.inertia = _MASS_KG, [0.0] * 3, [1.0] * 3
    body.explicitinertial = True
    spec.add_exclude(name=body.name, bodyname1="world", bodyname2=body.name)
    spec.stat.meaninertia = mean_inertia


def add_plate(
    spec: mujoco.MjSpec,
    name: str,
    x: tuple[float, float],
    y: tuple[float, float],
    axes: str,
    mean_inertia: float,
) -> None:
    """Add a driven plate on the table, over ranges of x and y in m; it is not drawn.

    Only its velocity matters, so it may start from the same place in every control step: a flat plate
    without an end under the object cannot be told from one that goes on for ever.
    """
    middle, half = [sum(x) / 2, sum(y) / 2], [(x[1] - x[0]) / 2, (y[1] - y[0]) / 2]
    body = spec.worldbody.add_body(name=name, pos=[*middle, PLATE_TOP_M - _PLATE_HALF_M])
    box = mujoco.mjtGeom.mjGEOM_BOX
    body.add_geom(name=name, type=box, size=[*half, _PLATE_HALF_M], group=3)
    make_driven(spec, body, axes, mean_inertia)


class Driven:
    """One driven joint of a compiled model."""

    def __init__(self, model: mujoco.MjModel, joint: str) -> None:
        self._position = int(model.joint(joint).qposadr[0])
        self._velocity = int(model.joint(joint).dofadr[0])

    def move(
        self,
        data: mujoco.MjData,
        position_m: float,
        speed_mps: float,
        acceleration_mps2: float = 0.0,
    ) -> None:
        """Set position, velocity and acceleration for the next control step."""
        data.qpos[self._position] = position_m
        data.qvel[self._velocity] = speed_mps
        data.qfrc_applied[self._velocity] = _MASS_KG * acceleration_mps2


class Shuttle:
    """A driven part that goes to and fro along x at constant speed.

    Args:
        model: the compiled model.
        body: name of the part.
        amplitude_m: largest distance from the middle of its track.
        step_m: distance in a control step.
        hertz: control steps in a second.
    """

    def __init__(
        self, model: mujoco.MjModel, body: str, amplitude_m: float, step_m: float, hertz: float
    ) -> None:
        self._joint = Driven(model, f"{body}_x")
        self._amplitude_m, self._step_m, self._hertz = amplitude_m, step_m, hertz
        self.phase = 0.0
        """Where it begins, 0..1: 0 is the middle on the way to +x, 0.25 the turn."""

    def run(self, data: mujoco.MjData, tick: int) -> None:
        """Prepare a control step."""
        now, then = self.offset([tick, tick + 1])
        self._joint.move(data, now, (then - now) * self._hertz)

    def offset(self, ticks: ArrayLike) -> NDArray[np.float64]:
        """Return the distances from the middle of the track, m, after control steps."""
        share = self._step_m / (4 * self._amplitude_m)
        turn = (self.phase + share * np.asarray(ticks, np.float64) + 0.25) % 1.0
        return np.asarray(self._amplitude_m * (1.0 - np.abs(4.0 * turn - 2.0)))

    def track(self, tick: int) -> Track:
        """Return how it moves from a control step on."""
        here = float(self.offset(tick))
        return lambda ticks: np.multiply.outer(self.offset(tick + ticks) - here, [1.0, 0.0, 0.0])


def check_level(name: str, level: object, most: int) -> int:
    """Return a level; raises ValueError unless it is an integer in 0..``most``."""
    if isinstance(level, bool) or not isinstance(level, int) or not 0 <= level <= most:
        raise ValueError(f"{name} must be an integer in 0..{most}, not {level!r}")
    return level
