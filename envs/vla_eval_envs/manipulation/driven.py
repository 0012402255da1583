"""Parts of a scene whose motion is prescribed: belts, plates that jerk, and boxes that travel.

MuJoCo carries an object by friction only if the surface under it has a velocity, which a mocap body lacks.
So a driven part is a body on a slide joint, too heavy for contacts to slow it, whose position and velocity are
set before every control step.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from vla_eval_envs.manipulation.simulator import mujoco

__all__ = [
    "CARRIED_BIT",
    "PLATE_TOP_M",
    "Driven",
    "Ride",
    "Shuttle",
    "Track",
    "add_plate",
    "check_level",
    "make_carried",
    "make_carrier",
    "make_driven",
]

Track = Callable[[NDArray[np.float64]], NDArray[np.float64]]
"""Displacements (N, 3), m, after numbers of control steps (N,) from now."""

PLATE_TOP_M = 0.0005
"""Height of a plate's top over the table. Objects begin on it, and touch the table nowhere."""
CARRIED_BIT = 4
"""Collision bit of what carries and of what is carried: a plate collides with nothing else, which saves the time
to look for contacts with the arm. Fingers that press on it press on the table, half a millimetre below."""
_PLATE_HALF_M = 0.005
_MASS_KG = 1000.0
_AXES = {"x": (1.0, 0.0, 0.0), "y": (0.0, 1.0, 0.0)}


def make_driven(spec: mujoco.MjSpec, body: mujoco.MjsBody, axis: str, mean_inertia: float) -> None:
    """Put a body on a slide joint along "x" or "y", named ``BODY_x`` or ``BODY_y``.

    It has the mass of a driven part, and passes through table and floor. MuJoCo's solver stops at an
    accuracy relative to the model's mean inertia, which must stay that of the model without driven parts.
    """
    slide = mujoco.mjtJoint.mjJNT_SLIDE
    body.add_joint(name=f"{body.name}_{axis}", type=slide, axis=_AXES[axis])
    body.mass, body.ipos, body.inertia = _MASS_KG, [0.0] * 3, [1.0] * 3
    body.explicitinertial = True
    spec.add_exclude(name=body.name, bodyname1="world", bodyname2=body.name)
    spec.stat.meaninertia = mean_inertia


def make_carrier(geom: mujoco.MjsGeom) -> None:
    """Let a geom of a driven part carry what :func:`make_carried` names, and collide with nothing else."""
    geom.contype, geom.conaffinity = 0, CARRIED_BIT


def make_carried(spec: mujoco.MjSpec, body: str) -> None:
    """Let a driven part's carriers carry an object; with everything else it collides as before."""
    for geom in spec.body(body).geoms:
        if geom.contype:
            geom.contype |= CARRIED_BIT


def add_plate(
    spec: mujoco.MjSpec,
    name: str,
    x: tuple[float, float],
    y: tuple[float, float],
    axis: str,
    mean_inertia: float,
) -> None:
    """Add a driven plate on the table, over ranges of x and y in m; it is not drawn.

    Only its velocity matters, so it may start from the same place in every control step: a flat plate
    without an end under the object cannot be told from one that goes on for ever.
    """
    middle, half = [sum(x) / 2, sum(y) / 2], [(x[1] - x[0]) / 2, (y[1] - y[0]) / 2]
    body = spec.worldbody.add_body(name=name, pos=[*middle, PLATE_TOP_M - _PLATE_HALF_M])
    box = mujoco.mjtGeom.mjGEOM_BOX
    plate = body.add_geom(name=name, type=box, size=[*half, _PLATE_HALF_M], group=3)
    make_carrier(plate)
    make_driven(spec, body, axis, mean_inertia)


class Driven:
    """One driven joint of a compiled model."""

    def __init__(self, model: mujoco.MjModel, joint: str) -> None:
        self._position = int(model.joint(joint).qposadr[0])
        self._velocity = int(model.joint(joint).dofadr[0])
        self._axis = model.jnt_axis[model.joint(joint).id]  # a view

    def turn(self, direction_rad: float) -> None:
        """Let it move in a direction of the horizontal plane from now on; 0 is +x."""
        self._axis[:] = np.cos(direction_rad), np.sin(direction_rad), 0.0

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
        now, then = self.offset(tick), self.offset(tick + 1)
        self._joint.move(data, now, (then - now) * self._hertz)

    def offset(self, tick: float) -> float:
        """Return the distance from the middle of the track, m, after control steps."""
        turn = (self.phase + self._step_m / (4 * self._amplitude_m) * tick + 0.25) % 1.0
        return self._amplitude_m * (1.0 - abs(4.0 * turn - 2.0))

    def track(self, tick: int) -> Track:
        """Return how it moves from a control step on."""
        here = self.offset(tick)

        def track(ticks: NDArray[np.float64]) -> NDArray[np.float64]:
            return np.array([[self.offset(tick + each) - here, 0.0, 0.0] for each in ticks])

        return track


class Ride:
    """The frame of a driven part that travels along x, for what is judged relative to it.

    Args:
        model: the compiled model.
        body: name of the part, made by :func:`make_driven`.
        start_x_m: where the part is in the middle of its track.
    """

    def __init__(self, model: mujoco.MjModel, body: str, start_x_m: float) -> None:
        self._body = model.body(body).id
        self._dof = int(model.joint(f"{body}_x").dofadr[0])
        self._start_x_m = start_x_m

    def velocity(self, data: mujoco.MjData, velocity: list[float]) -> list[float]:
        """Return an object's velocity, x first, relative to the part."""
        return [velocity[0] - float(data.qvel[self._dof]), *velocity[1:]]

    def place(self, data: mujoco.MjData, place: list[float]) -> list[float]:
        """Return an object's place, x first, as if the part were in the middle of its track."""
        return [place[0] - (float(data.xpos[self._body, 0]) - self._start_x_m), *place[1:]]


def check_level(name: str, level: object, most: int) -> int:
    """Return a level; raises ValueError unless it is an integer in 0..``most``."""
    if isinstance(level, bool) or not isinstance(level, int) or not 0 <= level <= most:
        raise ValueError(f"{name} must be an integer in 0..{most}, not {level!r}")
    return level
