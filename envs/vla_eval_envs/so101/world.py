"""The world around the arm: table, mat, room, light, cameras; and the settings of the physics."""

from __future__ import annotations

import numpy as np

from vla_eval_envs.manipulation.appearance import (
    add_lights,
    add_lines,
    add_material,
    add_part,
    add_sky,
    add_textured,
    wood_grain,
)
from vla_eval_envs.manipulation.simulator import mujoco

__all__ = ["MEAN_INERTIA", "add_cameras", "add_room", "set_physics"]

MEAN_INERTIA = 0.0202
"""Mean inertia of the arm's and one block's degrees of freedom, kg m^2 or kg, as MuJoCo computes it."""
TIMESTEP_S = 1.0 / 300.0
"""Length of a physics step; ten of them are one control step: 30 Hz exactly."""

_TABLE_HEIGHT_M = 0.75
_WRIST_CAMERA_TILT_DEG = 28.65  # towards the jaws, of LeRobot's printed camera mount


def set_physics(spec: mujoco.MjSpec) -> None:
    """Set the solver: elliptic cones with impratio 10 keep gripped objects from creeping."""
    spec.compiler.degree = False
    option = spec.option
    option.timestep = TIMESTEP_S
    option.integrator = mujoco.mjtIntegrator.mjINT_IMPLICITFAST
    option.cone = mujoco.mjtCone.mjCONE_ELLIPTIC
    option.impratio = 10.0
    option.iterations = 20
    # Fixed, so that clipping planes and light ranges do not depend on a task's objects.
    spec.stat.extent = 1.0
    spec.stat.center = [0.2, 0.0, 0.1]


# Visual boxes: name, material, centre, half sizes (m). The mat is 0.3 mm thick, and
# objects rest on the table itself.
_MAT_CENTRE, _MAT_HALF, _MAT_SQUARE = (0.24, 0.0, 0.0003), (0.175, 0.30), 0.05
_SCENERY = (
    ("mat", "mat", (0.24, 0.0, 0.0), (0.175, 0.30, 0.0003)),
    ("leg_back_right", "steel", (-0.20, -0.55, -0.39), (0.02, 0.02, 0.36)),
    ("leg_back_left", "steel", (-0.20, 0.55, -0.39), (0.02, 0.02, 0.36)),
    ("leg_front_right", "steel", (0.70, -0.55, -0.39), (0.02, 0.02, 0.36)),
    ("leg_front_left", "steel", (0.70, 0.55, -0.39), (0.02, 0.02, 0.36)),
    ("wall_back", "wall", (-1.30, 0.0, 0.50), (0.05, 4.0, 1.3)),
    ("wall_left", "wall", (0.0, 1.50, 0.50), (4.0, 0.05, 1.3)),
    ("skirting_back", "skirting", (-1.24, 0.0, -0.70), (0.01, 4.0, 0.05)),
    ("skirting_left", "skirting", (0.0, 1.44, -0.70), (4.0, 0.01, 0.05)),
)


def add_room(spec: mujoco.MjSpec) -> None:
    """Add a birch table with a cutting mat in a bright room; the table top is z = 0."""
    _add_materials(spec)
    add_lights(
        spec,
        ambient=0.48,
        ceiling=((0.5, -0.5, 1.6), (-0.30, 0.35, -1.0), (0.50, 0.49, 0.47)),
        window=((1.0, -1.5, 0.8), (-0.6, 0.8, -0.45), (0.16, 0.17, 0.20)),
    )
    world, box = spec.worldbody, mujoco.mjtGeom.mjGEOM_BOX
    world.add_geom(
        name="table", type=box, material="birch", pos=[0.25, 0.0, -0.015], size=[0.5, 0.6, 0.015]
    )
    # The floor collides, so that a block that is swept off the table stays in the world.
    world.add_geom(
        name="floor",
        type=mujoco.mjtGeom.mjGEOM_PLANE,
        material="floor",
        pos=[0.0, 0.0, -_TABLE_HEIGHT_M],
        size=[4.0, 4.0, 0.1],
    )
    for name, material, centre, half_sizes in _SCENERY:
        add_part(world, name, "box", material, centre, half_sizes)
    add_lines(world, "mat_line", _MAT_CENTRE, _MAT_HALF, _MAT_SQUARE, (0.0012, 0.0001))


def _add_materials(spec: mujoco.MjSpec) -> None:
    wood = wood_grain((0.86, 0.74, 0.58), (0.76, 0.62, 0.45), (3, 11, 29))
    add_textured(spec, "birch", wood, 0.12)
    add_sky(spec)
    for name, colour in (
        ("mat", (0.20, 0.27, 0.30)),
        ("mat_line", (0.34, 0.43, 0.46)),
        ("floor", (0.55, 0.56, 0.58)),
        ("wall", (0.86, 0.87, 0.86)),
        ("skirting", (0.70, 0.70, 0.69)),
        ("steel", (0.35, 0.36, 0.38)),
    ):
        add_material(spec, name, colour, 0.1, 0.1)


def add_cameras(spec: mujoco.MjSpec) -> None:
    """Add ``top`` (image up is +x), ``wrist`` (on the gripper) and ``side`` (for ``render``)."""
    half = np.sqrt(0.5)
    spec.worldbody.add_camera(
        name="top", pos=[0.20, 0.0, 0.66], quat=[half, 0.0, 0.0, -half], fovy=50.0
    )
    tilt = np.deg2rad(-_WRIST_CAMERA_TILT_DEG) / 2
    spec.body("gripper").add_camera(
        name="wrist", pos=[0.0, 0.04, -0.04], quat=[np.cos(tilt), np.sin(tilt), 0.0, 0.0], fovy=75.0
    )
    target = spec.worldbody.add_body(name="side_target", pos=[0.15, 0.04, 0.075])
    spec.worldbody.add_camera(
        name="side",
        pos=[0.66, -0.46, 0.46],
        mode=mujoco.mjtCamLight.mjCAMLIGHT_TARGETBODY,
        targetbody=target.name,
        fovy=39.0,
    )
