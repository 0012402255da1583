"""The place around the arm: table, mat, room, light, cameras; and the settings of the physics."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vla_eval_envs.so101.simulator import mujoco

__all__ = ["add_cameras", "add_room", "set_physics"]

TIMESTEP_S = 1.0 / 300.0
"""Ten of these are one control step: 30 Hz exactly."""

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
    # Fixed, so that clipping planes and light ranges do not depend on what a task adds.
    spec.stat.extent = 1.0
    spec.stat.center = [0.2, 0.0, 0.1]


# Boxes that are only to be seen: name, material, centre, half sizes (m). The mat is 0.3 mm thick, and
# objects rest on the table itself.
_SCENERY = (
    ("mat", "mat", (0.24, 0.0, 0.0), (0.17, 0.30, 0.0003)),
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
    _add_lights(spec)
    world, box = spec.worldbody, mujoco.mjtGeom.mjGEOM_BOX
    world.add_geom(
        name="table", type=box, material="birch", pos=[0.25, 0.0, -0.015], size=[0.5, 0.6, 0.015]
    )
    # It collides: a block that is swept off the table stays in the world.
    world.add_geom(
        name="floor",
        type=mujoco.mjtGeom.mjGEOM_PLANE,
        material="floor",
        pos=[0.0, 0.0, -_TABLE_HEIGHT_M],
        size=[4.0, 4.0, 0.1],
    )
    for name, material, centre, half_sizes in _SCENERY:
        world.add_geom(
            name=name,
            type=box,
            material=material,
            pos=centre,
            size=half_sizes,
            contype=0,
            conaffinity=0,
            group=2,
        )


def _add_materials(spec: mujoco.MjSpec) -> None:
    _add_textures(spec)
    _add_textured(spec, "birch", "birch", (1.0, 1.0))
    _add_textured(spec, "mat", "grid", (17.0, 30.0))  # squares of 2 cm
    for name, colour in (
        ("floor", (0.55, 0.56, 0.58)),
        ("wall", (0.86, 0.87, 0.86)),
        ("skirting", (0.70, 0.70, 0.69)),
        ("steel", (0.35, 0.36, 0.38)),
    ):
        spec.add_material(name=name, rgba=[*colour, 1.0], specular=0.1, shininess=0.1)


def _add_textures(spec: mujoco.MjSpec) -> None:
    texture, two_d = spec.add_texture, mujoco.mjtTexture.mjTEXTURE_2D
    wood = texture(name="birch", type=two_d, width=256, height=256, nchannel=3)
    wood.data = _wood().tobytes()
    texture(
        name="grid",
        type=two_d,
        builtin=mujoco.mjtBuiltin.mjBUILTIN_FLAT,
        mark=mujoco.mjtMark.mjMARK_EDGE,
        rgb1=[0.20, 0.27, 0.30],
        rgb2=[0.20, 0.27, 0.30],
        markrgb=[0.30, 0.38, 0.41],
        width=128,
        height=128,
    )
    texture(
        name="sky",
        type=mujoco.mjtTexture.mjTEXTURE_SKYBOX,
        builtin=mujoco.mjtBuiltin.mjBUILTIN_GRADIENT,
        rgb1=[0.93, 0.94, 0.95],
        rgb2=[0.80, 0.82, 0.84],
        width=64,
        height=384,
    )


def _add_textured(
    spec: mujoco.MjSpec, name: str, texture: str, repeat: tuple[float, float]
) -> None:
    material = spec.add_material(name=name, specular=0.12, shininess=0.2, texrepeat=repeat)
    textures = list(material.textures)
    textures[mujoco.mjtTextureRole.mjTEXROLE_RGB] = texture
    material.textures = textures


def _wood() -> NDArray[np.uint8]:
    """Return a birch grain, uint8 (256, 256, 3), that tiles without a seam."""
    along, across = np.meshgrid(
        np.linspace(0, 2 * np.pi, 256, endpoint=False), np.arange(256) / 256
    )
    phase = 2 * np.pi * across + 0.10 * np.sin(along) + 0.05 * np.sin(2 * along + 1.0)
    grain = sum(
        weight * np.sin(count * phase + shift)
        for count, weight, shift in (
            (3, 0.5, 0.2),
            (11, 0.35, 1.7),
            (29, 0.25, 0.4),
            (61, 0.2, 2.9),
        )
    )
    light, dark = np.array([0.86, 0.74, 0.58]), np.array([0.76, 0.62, 0.45])
    share = np.clip(0.5 + 0.35 * np.asarray(grain), 0, 1)[..., None]
    return np.asarray(np.round(255 * (share * light + (1 - share) * dark)), dtype=np.uint8)


def _add_lights(spec: mujoco.MjSpec) -> None:
    spec.visual.headlight.ambient = [0.48, 0.48, 0.48]
    spec.visual.headlight.diffuse = [0.18, 0.18, 0.18]
    spec.visual.headlight.specular = [0.05, 0.05, 0.05]
    spec.worldbody.add_light(
        name="ceiling",
        directional=True,
        pos=[0.5, -0.5, 1.6],
        dir=[-0.30, 0.35, -1.0],
        diffuse=[0.50, 0.49, 0.47],
        specular=[0.25, 0.25, 0.25],
        castshadow=True,
    )
    spec.worldbody.add_light(
        name="window",
        directional=True,
        pos=[1.0, -1.5, 0.8],
        dir=[-0.6, 0.8, -0.45],
        diffuse=[0.16, 0.17, 0.20],
        specular=[0.0, 0.0, 0.0],
        castshadow=False,
    )


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
