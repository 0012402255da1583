"""The shop: a tiled floor, a stand of wood with two tiers, a round basket beside it."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from vla_eval_envs.manipulation.appearance import (
    CONTACT,
    add_lights,
    add_lines,
    add_material,
    add_part,
    add_sky,
    add_textured,
    wood_grain,
)
from vla_eval_envs.manipulation.distractors import Distractor, Distractors
from vla_eval_envs.manipulation.simulator import mujoco

__all__ = [
    "BASKET",
    "DISTRACTORS",
    "FEET_BIT",
    "MEAN_INERTIA",
    "TIER_A_Z",
    "TIER_B_Z",
    "Basket",
    "add_shop",
]

TIER_A_Z, TIER_B_Z = 0.10, 0.20
"""Heights of the stand's tiers, m."""
MEAN_INERTIA = 0.2426
"""Mean inertia of the robot's and three items' degrees of freedom, kg m^2 or kg, as MuJoCo computes it."""
FEET_BIT = 2
"""Collision bit of the stand: items' feet collide only with geoms that have it."""
_HALF_WIDTH = 0.24
_FRONT, _MIDDLE, _BACK = 0.55, 0.67, 0.81
"""Bounds of the tiers along x, m."""
_BOARD = 0.012
_WALL, _TILE = 1.70, 0.34


@dataclass(frozen=True)
class Basket:
    """A round, open basket on the floor. Lengths in m."""

    centre: tuple[float, float]
    radius: float
    """Radius of the largest circle inside."""
    height: float
    sides: int = 16
    thickness: float = 0.004

    def contains(self, point: Iterable[float]) -> bool:
        """Return whether a point (x, y, z), m, in the world frame is inside the wall and below the rim."""
        x, y, z = point
        inside = math.hypot(x - self.centre[0], y - self.centre[1]) < self.radius
        return bool(inside and z < self.height)

    def add(self, spec: mujoco.MjSpec) -> None:
        """Add the wall, which collides, and a rim and a bottom that are only visual."""
        add_material(spec, "basket", (0.93, 0.92, 0.89), 0.15, 0.2)
        add_material(spec, "basket_shade", (0.84, 0.82, 0.78), 0.15, 0.2)
        body = spec.worldbody.add_body(name="basket", pos=[*self.centre, 0.0])
        distance = self.radius + self.thickness / 2
        half_length = (self.radius + self.thickness) * np.tan(np.pi / self.sides)
        for index in range(self.sides):
            bearing = 2 * np.pi * index / self.sides
            turn = [np.cos(bearing / 2), 0.0, 0.0, np.sin(bearing / 2)]
            out = distance * np.array([np.cos(bearing), np.sin(bearing)])
            body.add_geom(
                name=f"basket_wall_{index}",
                type=mujoco.mjtGeom.mjGEOM_BOX,
                material="basket" if index % 2 else "basket_shade",
                pos=[*out, self.height / 2],
                quat=turn,
                size=[self.thickness / 2, half_length, self.height / 2],
                **CONTACT,
            )
            rim = (0.0045, half_length + 0.0005, 0.0035)
            place = (*out, self.height - 0.0034)
            add_part(body, f"basket_rim_{index}", "box", "basket", place, rim, turn)
        disc = (self.radius, 0.0010)
        add_part(body, "basket_bottom", "z", "basket_shade", (0.0, 0.0, 0.0010), disc)


BASKET = Basket(centre=(0.317, 0.40), radius=0.095, height=0.080)
DISTRACTORS = Distractors(
    objects=(
        Distractor("distractor_tea", (0.88, 0.72, 0.20), (0.020, 0.014, 0.030)),
        Distractor("distractor_soap", (0.55, 0.42, 0.66), (0.016, 0.013, 0.010)),
        Distractor("distractor_jar", (0.20, 0.22, 0.26), (0.017, 0.015, 0.026)),
    ),
    slots=((0.60, 0.216, TIER_A_Z), (0.60, -0.216, TIER_A_Z), (0.40, -0.40, 0.0)),
    spread=(0.012, 0.003),
    max_yaw=0.3,
)
"""Distractors of the LeKiwi tasks: their slots are at the ends of the lower tier, beyond the lanes, and
on the floor on the robot's right."""


def add_shop(spec: mujoco.MjSpec) -> None:
    """Add floor, walls, lights, stand and basket; and the camera ``side`` for ``render``."""
    _add_materials(spec)
    add_lights(
        spec,
        ambient=0.46,
        ceiling=((0.3, -0.4, 2.2), (0.15, 0.30, -1.0), (0.50, 0.49, 0.47)),
        window=((-1.0, -1.5, 1.2), (0.6, 0.7, -0.5), (0.18, 0.19, 0.22)),
    )
    _add_room(spec)
    _add_stand(spec)
    BASKET.add(spec)
    target = spec.worldbody.add_body(name="side_target", pos=[0.28, 0.10, 0.22])
    spec.worldbody.add_camera(
        name="side",
        pos=[-0.30, -0.95, 0.86],
        mode=mujoco.mjtCamLight.mjCAMLIGHT_TARGETBODY,
        targetbody=target.name,
        fovy=40.0,
    )


def _add_materials(spec: mujoco.MjSpec) -> None:
    wood = wood_grain((0.80, 0.62, 0.41), (0.68, 0.48, 0.29), (4, 13, 37))
    add_textured(spec, "oak", wood, 0.12)
    add_sky(spec)
    for name, colour in (
        ("tiles", (0.52, 0.55, 0.58)),
        ("joint", (0.45, 0.48, 0.51)),
        ("wall", (0.86, 0.87, 0.86)),
        ("skirting", (0.68, 0.68, 0.67)),
        ("steel", (0.42, 0.43, 0.45)),
    ):
        add_material(spec, name, colour, 0.1, 0.1)


def _add_room(spec: mujoco.MjSpec) -> None:
    spec.worldbody.add_geom(
        name="floor",
        type=mujoco.mjtGeom.mjGEOM_PLANE,
        material="tiles",
        size=[4.0, 4.0, 0.1],
        **CONTACT,
    )
    add_lines(spec.worldbody, "joint", (0.0, 0.0, 0.0), (_WALL, _WALL), _TILE, (0.005, 0.0003))
    for name, place, half_sizes in (
        ("far", (_WALL, 0.0), (0.05, 4.0)),
        ("left", (0.0, _WALL), (4.0, 0.05)),
        ("right", (0.0, -_WALL), (4.0, 0.05)),
        ("near", (-_WALL, 0.0), (0.05, 4.0)),
    ):
        inwards = 0.055 * np.sign(place)
        world = spec.worldbody
        add_part(world, f"wall_{name}", "box", "wall", (*place, 1.25), (*half_sizes, 1.25))
        skirting = (*(np.array(place) - inwards), 0.05)
        add_part(world, f"skirting_{name}", "box", "skirting", skirting, (*half_sizes, 0.05))


def _add_stand(spec: mujoco.MjSpec) -> None:
    """Add the stand: two solid blocks that collide, and the visible boards."""
    body = spec.worldbody.add_body(name="stand")
    tiers = (("a", _FRONT, _MIDDLE, TIER_A_Z), ("b", _MIDDLE, _BACK, TIER_B_Z))
    for name, start, end, height in tiers:
        middle, half = (start + end) / 2, (end - start) / 2
        body.add_geom(
            name=f"stand_{name}",
            type=mujoco.mjtGeom.mjGEOM_BOX,
            pos=[middle, 0.0, height / 2],
            size=[half, _HALF_WIDTH, height / 2],
            contype=1 | FEET_BIT,
            group=3,
            **CONTACT,
        )
        top = (half, _HALF_WIDTH, _BOARD / 2)
        add_part(body, f"tread_{name}", "box", "oak", (middle, 0.0, height - _BOARD / 2), top)
        for side, y in (("left", _HALF_WIDTH - 0.02), ("right", 0.02 - _HALF_WIDTH)):
            panel = (half - 0.001, _BOARD / 2, (height - _BOARD) / 2)
            place = (middle, y, (height - _BOARD) / 2)
            add_part(body, f"panel_{name}_{side}", "box", "oak", place, panel)
        riser = (_BOARD / 2, _HALF_WIDTH - 0.02, (height - _BOARD) / 2)
        place = (start + 0.012, 0.0, (height - _BOARD) / 2)
        add_part(body, f"riser_{name}", "box", "oak", place, riser)
