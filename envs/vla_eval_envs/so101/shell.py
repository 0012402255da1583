"""The look of the arm: printed parts and servos as boxes and cylinders without collisions.

Sizes follow the bounding boxes of the real printed parts and of the STS3215 servo (45 x 25 x 40 mm),
in the link frames of :mod:`vla_eval_envs.so101.arm`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from vla_eval_envs.manipulation.appearance import add_material
from vla_eval_envs.manipulation.simulator import mujoco
from vla_eval_envs.so101.meshes import add_meshes

__all__ = ["LOOKS", "MATERIALS", "PARTS", "Part", "add_shell"]

LOOKS = ("primitives", "meshes")

Triple = tuple[float, float, float]

MATERIALS: dict[str, tuple[Triple, float, float]] = {
    "printed": ((0.96, 0.56, 0.07), 0.25, 0.35),
    "printed_shade": ((0.86, 0.47, 0.05), 0.20, 0.30),
    "servo": ((0.085, 0.088, 0.098), 0.45, 0.55),
    "horn": ((0.20, 0.20, 0.22), 0.60, 0.60),
    "board": ((0.05, 0.26, 0.20), 0.30, 0.40),
    "lens": ((0.02, 0.02, 0.03), 0.90, 0.90),
}
"""Materials by name: colour (r g b), specular, shininess."""


@dataclass(frozen=True)
class Part:
    """One primitive of a link's shell."""

    link: str
    shape: str
    """``box`` (half sizes x y z) or ``x``, ``y``, ``z``: a cylinder along that axis (r, half length)."""
    material: str
    centre: Triple
    """Centre in the link's frame, m."""
    size: tuple[float, ...]
    """Size in m; its meaning depends on ``shape``."""
    turn: tuple[str, float] | None = None
    """Axis and angle (degrees) of a box's rotation about its centre."""


_BASE = (
    Part("base", "box", "printed", (0.0180, 0.0, 0.0095), (0.0400, 0.0400, 0.0095)),
    Part("base", "box", "printed", (0.0220, 0.0, 0.0080), (0.0240, 0.0555, 0.0080)),
    Part("base", "box", "printed", (0.0370, 0.0255, 0.0080), (0.0210, 0.0190, 0.0080), ("z", 45.0)),
    Part("base", "box", "printed", (0.0370, -0.0255, 0.0080), (0.0210, 0.019, 0.0080), ("z", 45.0)),
    Part("base", "box", "printed_shade", (0.0030, 0.0, 0.0270), (0.0260, 0.0200, 0.0120)),
    Part("base", "box", "printed", (0.0030, 0.0014, 0.0514), (0.0300, 0.0238, 0.0157)),
    Part("base", "box", "servo", (0.0263, 0.0, 0.0441), (0.0227, 0.0124, 0.0198)),
    Part("base", "box", "printed_shade", (-0.0290, 0.0, 0.0474), (0.0030, 0.0255, 0.0210)),
    Part("base", "box", "board", (-0.0335, 0.0, 0.0474), (0.0015, 0.0215, 0.0165)),
    Part("base", "box", "servo", (-0.0370, 0.0100, 0.0560), (0.0030, 0.0080, 0.0045)),
)

_SHOULDER = (
    Part("shoulder", "z", "horn", (0.0, 0.0, 0.0065), (0.0110, 0.0030)),
    Part("shoulder", "box", "printed", (0.0170, 0.0, 0.0110), (0.0290, 0.0215, 0.0030)),
    Part("shoulder", "box", "printed", (0.0270, 0.0, -0.0165), (0.0090, 0.0215, 0.0270)),
    Part("shoulder", "box", "printed_shade", (0.0090, 0.0, -0.0445), (0.0240, 0.0150, 0.0025)),
    Part("shoulder", "box", "printed", (0.0316, 0.0012, 0.0260), (0.0185, 0.0275, 0.0140)),
    Part("shoulder", "box", "servo", (0.0304, 0.0, 0.0417), (0.0124, 0.0198, 0.0227)),
)

# The arm's rails stand outside the servos, 40 mm apart, with round ends at the joints.
_RAIL_NEAR, _RAIL_FAR, _RAIL_HALF, _RAIL_RADIUS = -0.0050, 0.0416, 0.0032, 0.0120


def _fork(link: str, along: str, length: float) -> tuple[Part, ...]:
    """Return the two rails of a link that runs from its joint along ``x`` or ``z``."""
    middle, half = length / 2, length / 2
    parts: list[Part] = []
    for y, bolt_y in ((_RAIL_NEAR, -0.0090), (_RAIL_FAR, 0.0456)):
        centre = (middle, y, 0.0) if along == "x" else (0.0, y, middle)
        size = (
            (half, _RAIL_HALF, _RAIL_RADIUS - 0.001)
            if along == "x"
            else (_RAIL_RADIUS - 0.001, _RAIL_HALF, half)
        )
        parts += [
            Part(link, "box", "printed", centre, size),
            Part(link, "y", "printed", (0.0, y, 0.0), (_RAIL_RADIUS, _RAIL_HALF + 0.0003)),
            Part(link, "y", "horn", (0.0, bolt_y, 0.0), (0.0070, 0.0012)),
        ]
    return tuple(parts)


_UPPER_ARM = (
    *_fork("upper_arm", "z", 0.116),
    Part("upper_arm", "box", "printed_shade", (0.0, 0.0183, 0.0560), (0.0070, 0.0225, 0.0060)),
    Part("upper_arm", "box", "printed", (0.0020, 0.0183, 0.0940), (0.0125, 0.0235, 0.0085)),
    Part("upper_arm", "box", "printed", (-0.0110, 0.0183, 0.1080), (0.0030, 0.0272, 0.0200)),
    Part("upper_arm", "box", "servo", (0.0155, 0.0183, 0.1126), (0.0227, 0.0198, 0.0124)),
)

_LOWER_ARM = (
    *_fork("lower_arm", "x", 0.106),
    Part("lower_arm", "box", "printed_shade", (0.0500, 0.0183, 0.0), (0.0060, 0.0225, 0.0070)),
    Part("lower_arm", "box", "printed", (0.0960, 0.0183, 0.0040), (0.0130, 0.0272, 0.0150)),
    Part("lower_arm", "box", "servo", (0.1224, 0.0183, 0.0052), (0.0227, 0.0198, 0.0124)),
)

_WRIST = (
    *_fork("wrist", "x", 0.030),
    Part("wrist", "box", "printed", (0.0250, 0.0183, 0.0), (0.0060, 0.0272, 0.0150)),
    Part("wrist", "box", "printed", (0.0400, 0.0240, 0.0150), (0.0190, 0.0290, 0.0026)),
    Part("wrist", "box", "printed", (0.0400, 0.0240, -0.0150), (0.0190, 0.0290, 0.0026)),
    Part("wrist", "box", "servo", (0.0400, 0.0290, 0.0), (0.0190, 0.0227, 0.0124)),
)

# The fingers taper: a finger is a slab along its inner face, a slab along its back, and a filler.
_GRIPPER = (
    Part("gripper", "z", "horn", (0.0, 0.0, 0.0010), (0.0105, 0.0040)),
    Part("gripper", "box", "printed", (-0.0020, 0.0, -0.0055), (0.0270, 0.0225, 0.0040)),
    Part("gripper", "box", "servo", (0.0077, 0.0005, -0.0234), (0.0227, 0.0198, 0.0124)),
    Part("gripper", "box", "printed", (-0.0235, 0.0, -0.0240), (0.0065, 0.0225, 0.0190)),
    Part("gripper", "box", "printed", (-0.0205, 0.0, -0.0500), (0.0080, 0.0150, 0.0140), ("y", -12.0)),
    Part("gripper", "box", "printed", (-0.0155, 0.0, -0.0570), (0.0030, 0.0130, 0.0170), ("y", -6.6)),
    Part("gripper", "box", "printed", (-0.0137, 0.0, -0.0725), (0.0030, 0.0090, 0.0310), ("y", -6.6)),
    Part("gripper", "box", "printed", (-0.0195, 0.0, -0.0720), (0.0045, 0.0100, 0.0280), ("y", -18.6)),
    Part("gripper", "y", "printed", (-0.0107, 0.0, -0.1012), (0.0030, 0.0070)),
    # The camera's housing and its bracket; the camera itself sits just in front of the lens.
    Part("gripper", "box", "printed", (0.0, 0.0290, -0.0200), (0.0100, 0.0100, 0.0025)),
    Part("gripper", "box", "printed_shade", (0.0, 0.0400, -0.0240), (0.0140, 0.0130, 0.003), ("x", -28.6)),
    Part("gripper", "box", "servo", (0.0, 0.0450, -0.0310), (0.0120, 0.0120, 0.0050), ("x", -28.6)),
)  # fmt: skip

_JAW = (
    Part("moving_jaw", "z", "printed", (0.0, 0.0, 0.0189), (0.0105, 0.0225)),
    Part("moving_jaw", "z", "horn", (0.0, 0.0, 0.0420), (0.0065, 0.0012)),
    Part("moving_jaw", "z", "horn", (0.0, 0.0, -0.0042), (0.0065, 0.0012)),
    Part("moving_jaw", "box", "printed", (0.0010, -0.0190, 0.0189), (0.0085, 0.0170, 0.0170)),
    Part("moving_jaw", "box", "printed", (-0.0050, -0.0400, 0.0189), (0.0030, 0.0150, 0.0130), ("z", -6.8)),
    Part("moving_jaw", "box", "printed", (-0.0066, -0.0540, 0.0189), (0.0030, 0.0260, 0.0090), ("z", -6.8)),
    Part("moving_jaw", "box", "printed", (-0.0005, -0.0520, 0.0189), (0.0045, 0.0260, 0.0095), ("z", -14.5)),
    Part("moving_jaw", "z", "printed", (-0.0093, -0.0790, 0.0189), (0.0030, 0.0070)),
)  # fmt: skip

PARTS = _BASE + _SHOULDER + _UPPER_ARM + _LOWER_ARM + _WRIST + _GRIPPER + _JAW

_AXES = {"x": (1.0, 0.0, 0.0), "y": (0.0, 1.0, 0.0), "z": (0.0, 0.0, 1.0)}
# Quaternions (w x y z) that turn a cylinder's z axis into the named axis.
_HALF = float(np.sqrt(0.5))
_CYLINDER_TURNS = {
    "x": (_HALF, 0.0, _HALF, 0.0),
    "y": (_HALF, -_HALF, 0.0, 0.0),
    "z": (1.0, 0.0, 0.0, 0.0),
}


def add_shell(spec: mujoco.MjSpec, look: str = "primitives") -> None:
    """Add the arm's materials and visible parts to a model that has its links.

    Args:
        spec: the model.
        look: ``primitives`` for built-in shapes, ``meshes`` for the real parts, see
            :mod:`vla_eval_envs.so101.meshes`.

    Raises:
        ValueError: ``look`` is unknown.
        UsageError: the package with the meshes is not installed.
    """
    if look not in LOOKS:
        raise ValueError(f"look must be one of {', '.join(LOOKS)}, not {look!r}")
    for name, (colour, specular, shininess) in MATERIALS.items():
        add_material(spec, name, colour, specular, shininess)
    if look == "meshes":
        add_meshes(spec)
    else:
        _add_primitives(spec)


def _add_primitives(spec: mujoco.MjSpec) -> None:
    for index, part in enumerate(PARTS):
        is_box = part.shape == "box"
        spec.body(part.link).add_geom(
            name=f"{part.link}_shell_{index}",
            type=mujoco.mjtGeom.mjGEOM_BOX if is_box else mujoco.mjtGeom.mjGEOM_CYLINDER,
            material=part.material,
            pos=part.centre,
            size=[*part.size, 0.0][:3],
            quat=_quaternion(part),
            mass=0.0,
            contype=0,
            conaffinity=0,
            group=2,
        )


def _quaternion(part: Part) -> tuple[float, ...]:
    if part.shape != "box":
        return _CYLINDER_TURNS[part.shape]
    axis, degrees = part.turn if part.turn is not None else ("z", 0.0)
    half = np.deg2rad(degrees) / 2
    return (float(np.cos(half)), *(float(np.sin(half)) * x for x in _AXES[axis]))
