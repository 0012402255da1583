"""Objects on the table: blocks and a toy to grip, and boxes to put them in."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from vla_eval_envs.manipulation.appearance import CONTACT, Colour
from vla_eval_envs.manipulation.distractors import Distractor, Distractors
from vla_eval_envs.manipulation.simulator import mujoco

__all__ = [
    "DISTRACTORS",
    "TOY_SIZE",
    "Box",
    "Colour",
    "add_cube",
    "add_toy",
]

TOY_SIZE = (0.036, 0.025, 0.025)
"""Edges of the toy's body along its own axes, m; its head stands on the middle."""
_TOY_MASS_KG, _TOY_HEAD_SHARE = 0.018, 0.12
_TOY_HEAD_RADIUS_M, _TOY_HEAD_HEIGHT_M = 0.008, 0.010


def add_cube(
    spec: mujoco.MjSpec,
    name: str,
    edge: float,
    mass: float,
    colour: Colour,
    place: tuple[float, float] = (0.22, 0.0),
) -> None:
    """Add a free cube with body, joint and geom of that name; edge and place in m, mass in kg."""
    spec.add_material(name=name, rgba=[*colour, 1.0], specular=0.3, shininess=0.4)
    body = spec.worldbody.add_body(name=name, pos=[*place, edge / 2])
    body.add_freejoint(name=name)
    body.add_geom(
        name=name,
        type=mujoco.mjtGeom.mjGEOM_BOX,
        size=[edge / 2] * 3,
        mass=mass,
        material=name,
        **CONTACT,
    )


def add_toy(spec: mujoco.MjSpec, name: str, colour: Colour) -> None:
    """Add a free toy: a box with a light, round head, and two eyes that are only visual."""
    spec.add_material(name=name, rgba=[*colour, 1.0], specular=0.35, shininess=0.5)
    spec.add_material(
        name=f"{name}_head", rgba=[0.97, 0.86, 0.66, 1.0], specular=0.3, shininess=0.4
    )
    spec.add_material(name=f"{name}_eye", rgba=[0.05, 0.05, 0.06, 1.0], specular=0.8, shininess=0.8)
    body = spec.worldbody.add_body(name=name, pos=[0.22, 0.0, TOY_SIZE[2] / 2])
    body.add_freejoint(name=name)
    body.add_geom(
        name=name,
        type=mujoco.mjtGeom.mjGEOM_BOX,
        size=[edge / 2 for edge in TOY_SIZE],
        mass=_TOY_MASS_KG * (1.0 - _TOY_HEAD_SHARE),
        material=name,
        **CONTACT,
    )
    middle = (TOY_SIZE[2] + _TOY_HEAD_HEIGHT_M) / 2
    body.add_geom(
        name=f"{name}_head",
        type=mujoco.mjtGeom.mjGEOM_CYLINDER,
        pos=[0.0, 0.0, middle],
        size=[_TOY_HEAD_RADIUS_M, _TOY_HEAD_HEIGHT_M / 2, 0.0],
        mass=_TOY_MASS_KG * _TOY_HEAD_SHARE,
        material=f"{name}_head",
        **CONTACT,
    )
    for side, y in (("left", 0.0045), ("right", -0.0045)):
        body.add_geom(
            name=f"{name}_{side}_eye",
            type=mujoco.mjtGeom.mjGEOM_ELLIPSOID,
            pos=[TOY_SIZE[0] / 2, y, 0.004],
            size=[0.0012, 0.0028, 0.0028],
            material=f"{name}_eye",
            mass=0.0,
            contype=0,
            conaffinity=0,
            group=2,
        )


DISTRACTORS = Distractors(
    objects=(
        Distractor("distractor_carton", (0.90, 0.88, 0.82), (0.020, 0.020, 0.024)),
        Distractor("distractor_eraser", (0.35, 0.22, 0.42), (0.026, 0.012, 0.008)),
        Distractor("distractor_case", (0.13, 0.14, 0.16), (0.032, 0.018, 0.013)),
    ),
    slots=((0.365, -0.17, 0.0), (0.365, 0.0, 0.0), (0.365, 0.17, 0.0)),
    spread=(0.025, 0.05),
    max_yaw=np.pi,
)
"""Distractors of the SO-101 tasks; their slots are behind the task's objects."""


@dataclass(frozen=True)
class Box:
    """An open box on the table, aligned with the world's axes. Lengths in m."""

    name: str
    centre: tuple[float, float]
    inner: float
    """Edge of the inner square."""
    wall_height: float
    wall_thickness: float

    def add(self, spec: mujoco.MjSpec, colour: Colour) -> None:
        """Add four walls, fixed to the table, and a floor that is only visual."""
        spec.add_material(name=self.name, rgba=[*colour, 1.0], specular=0.2, shininess=0.3)
        body = spec.worldbody.add_body(name=self.name, pos=[*self.centre, 0.0])
        half, thick = self.inner / 2, self.wall_thickness / 2
        height = self.wall_height / 2
        walls = {
            "front": ([half + thick, 0.0, height], [thick, half + 2 * thick, height]),
            "back": ([-half - thick, 0.0, height], [thick, half + 2 * thick, height]),
            "left": ([0.0, half + thick, height], [half, thick, height]),
            "right": ([0.0, -half - thick, height], [half, thick, height]),
        }
        box = mujoco.mjtGeom.mjGEOM_BOX
        for side, (pos, size) in walls.items():
            name = f"{self.name}_{side}"
            body.add_geom(name=name, type=box, pos=pos, size=size, material=self.name)
        body.add_geom(
            name=f"{self.name}_bottom",
            type=box,
            pos=[0.0, 0.0, 0.0004],
            size=[half, half, 0.0004],
            material=self.name,
            contype=0,
            conaffinity=0,
            group=2,
        )

    def contains(self, point: Iterable[float]) -> bool:
        """Return whether a point (x, y, z), m, in the world frame is between the walls and below their rim."""
        x, y, z = point
        half = self.inner / 2
        inside = abs(x - self.centre[0]) < half and abs(y - self.centre[1]) < half
        return bool(inside and z < self.wall_height)
