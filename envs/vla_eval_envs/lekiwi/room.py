"""The shop: a tiled floor, a stand of wood with two tiers, a round basket beside it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from vla_eval_envs.lekiwi.look import CONTACT, add_material, add_part, add_textured, wood_grain
from vla_eval_envs.so101.simulator import mujoco

__all__ = ["BASKET", "TIER_A_Z", "TIER_B_Z", "Basket", "add_shop"]

TIER_A_Z, TIER_B_Z = 0.10, 0.20
"""Heights of the stand's tiers, m."""
_HALF_WIDTH = 0.24
_FRONT, _MIDDLE, _BACK = 0.55, 0.67, 0.81
"""Where the tiers begin and end along x, m."""
_BOARD = 0.012


@dataclass(frozen=True)
class Basket:
    """A round, open basket on the floor. Lengths in m."""

    centre: tuple[float, float]
    radius: float
    """Of the largest circle inside."""
    height: float
    sides: int = 16
    thickness: float = 0.004

    def contains(self, point: ArrayLike) -> bool:
        """Return whether a point (3,), m, world frame, is inside the wall and below the rim."""
        x, y, z = np.asarray(point, dtype=np.float64)
        inside = np.hypot(x - self.centre[0], y - self.centre[1]) < self.radius
        return bool(inside and z < self.height)

    def add(self, spec: mujoco.MjSpec) -> None:
        """Add the wall, which collides, and a rim and a bottom that are only to be seen."""
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


def add_shop(spec: mujoco.MjSpec) -> None:
    """Add floor, walls, lights, stand and basket; and the camera ``side`` for ``render``."""
    _add_textures(spec)
    _add_lights(spec)
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


def _add_textures(spec: mujoco.MjSpec) -> None:
    two_d = mujoco.mjtTexture.mjTEXTURE_2D
    spec.add_texture(
        name="tiles",
        type=two_d,
        builtin=mujoco.mjtBuiltin.mjBUILTIN_FLAT,
        mark=mujoco.mjtMark.mjMARK_EDGE,
        rgb1=[0.52, 0.55, 0.58],
        rgb2=[0.52, 0.55, 0.58],
        markrgb=[0.44, 0.47, 0.50],
        width=256,
        height=256,
    )
    wood = spec.add_texture(name="oak", type=two_d, width=256, height=256, nchannel=3)
    wood.data = wood_grain((0.80, 0.62, 0.41), (0.68, 0.48, 0.29), (4, 13, 37)).tobytes()
    spec.add_texture(
        name="sky",
        type=mujoco.mjtTexture.mjTEXTURE_SKYBOX,
        builtin=mujoco.mjtBuiltin.mjBUILTIN_GRADIENT,
        rgb1=[0.93, 0.94, 0.95],
        rgb2=[0.80, 0.82, 0.84],
        width=64,
        height=384,
    )
    add_textured(spec, "tiles", "tiles", (3.0, 3.0), 0.15)
    spec.material("tiles").texuniform = True
    add_textured(spec, "oak", "oak", (1.0, 1.0), 0.12)
    for name, colour in (
        ("wall", (0.86, 0.87, 0.86)),
        ("skirting", (0.68, 0.68, 0.67)),
        ("steel", (0.42, 0.43, 0.45)),
    ):
        add_material(spec, name, colour, 0.1, 0.1)


def _add_lights(spec: mujoco.MjSpec) -> None:
    head = spec.visual.headlight
    head.ambient, head.diffuse, head.specular = [0.46] * 3, [0.18] * 3, [0.05] * 3
    for name, place, direction, diffuse, specular, shadow in (
        ("ceiling", [0.3, -0.4, 2.2], [0.15, 0.30, -1.0], [0.50, 0.49, 0.47], 0.25, True),
        ("window", [-1.0, -1.5, 1.2], [0.6, 0.7, -0.5], [0.18, 0.19, 0.22], 0.0, False),
    ):
        spec.worldbody.add_light(
            name=name,
            directional=True,
            pos=place,
            dir=direction,
            diffuse=diffuse,
            specular=[specular] * 3,
            castshadow=shadow,
        )


def _add_room(spec: mujoco.MjSpec) -> None:
    spec.worldbody.add_geom(
        name="floor",
        type=mujoco.mjtGeom.mjGEOM_PLANE,
        material="tiles",
        size=[4.0, 4.0, 0.1],
        **CONTACT,
    )
    for name, place, half_sizes in (
        ("far", (1.70, 0.0), (0.05, 4.0)),
        ("left", (0.0, 1.70), (4.0, 0.05)),
        ("right", (0.0, -1.70), (4.0, 0.05)),
        ("near", (-1.70, 0.0), (0.05, 4.0)),
    ):
        inwards = 0.055 * np.sign(place)
        world = spec.worldbody
        add_part(world, f"wall_{name}", "box", "wall", (*place, 1.25), (*half_sizes, 1.25))
        skirting = (*(np.array(place) - inwards), 0.05)
        add_part(world, f"skirting_{name}", "box", "skirting", skirting, (*half_sizes, 0.05))


def _add_stand(spec: mujoco.MjSpec) -> None:
    """Add the stand: two solid blocks that collide, and the boards that they look like."""
    body = spec.worldbody.add_body(name="stand")
    tiers = (("a", _FRONT, _MIDDLE, TIER_A_Z), ("b", _MIDDLE, _BACK, TIER_B_Z))
    for name, start, end, height in tiers:
        middle, half = (start + end) / 2, (end - start) / 2
        body.add_geom(
            name=f"stand_{name}",
            type=mujoco.mjtGeom.mjGEOM_BOX,
            pos=[middle, 0.0, height / 2],
            size=[half, _HALF_WIDTH, height / 2],
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
