"""Parts that are only to be seen: they collide with nothing and weigh nothing."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vla_eval_envs.so101.simulator import mujoco

__all__ = ["CONTACT", "Colour", "Shape", "add_material", "add_part", "add_textured", "wood_grain"]

Colour = tuple[float, float, float]
"""Red, green, blue in 0..1."""
Shape = Literal["box", "x", "y", "z"]
"""A box (half sizes x y z), or a cylinder along an axis (radius, half length)."""

CONTACT = {
    "condim": 4,
    "friction": [1.0, 0.01, 0.001],
    "solref": [0.01, 1.0],
    "solimp": [0.95, 0.99, 0.001, 0.5, 2.0],
}
"""Of what items touch, and of items: torsional friction, and stiffer than MuJoCo's default, which
lets a held object sink in by millimetres."""

_HALF = float(np.sqrt(0.5))
_CYLINDER_TURNS = {
    "x": (_HALF, 0.0, _HALF, 0.0),
    "y": (_HALF, -_HALF, 0.0, 0.0),
    "z": (1.0, 0.0, 0.0, 0.0),
}


def add_material(
    spec: mujoco.MjSpec, name: str, colour: Colour, specular: float, shininess: float
) -> None:
    """Add a plain material."""
    spec.add_material(name=name, rgba=[*colour, 1.0], specular=specular, shininess=shininess)


def add_textured(
    spec: mujoco.MjSpec, name: str, texture: str, repeat: tuple[float, float], specular: float
) -> None:
    """Add a material that shows a texture, so many times along each side."""
    material = spec.add_material(name=name, specular=specular, shininess=0.2, texrepeat=repeat)
    textures = list(material.textures)
    textures[mujoco.mjtTextureRole.mjTEXROLE_RGB] = texture
    material.textures = textures


def add_part(
    body: mujoco.MjsBody,
    name: str,
    shape: Shape,
    material: str,
    centre: ArrayLike,
    size: ArrayLike,
    turn: ArrayLike | None = None,
) -> None:
    """Add a box or a cylinder to a body's look; ``turn`` (w x y z) replaces the axis's own."""
    is_box = shape == "box"
    body.add_geom(
        name=name,
        type=mujoco.mjtGeom.mjGEOM_BOX if is_box else mujoco.mjtGeom.mjGEOM_CYLINDER,
        material=material,
        pos=np.asarray(centre, dtype=np.float64),
        size=[*np.asarray(size, dtype=np.float64), 0.0][:3],
        quat=np.asarray(turn if turn is not None else _CYLINDER_TURNS.get(shape, (1, 0, 0, 0))),
        mass=0.0,
        contype=0,
        conaffinity=0,
        group=2,
    )


def wood_grain(light: Colour, dark: Colour, waves: tuple[int, ...]) -> NDArray[np.uint8]:
    """Return planed wood, uint8 (256, 256, 3), that tiles without a seam.

    Args:
        light: colour between the rings.
        dark: colour of the rings.
        waves: how many rings run across, coarse ones first.
    """
    along, across = np.meshgrid(
        np.linspace(0, 2 * np.pi, 256, endpoint=False), np.arange(256) / 256
    )
    phase = 2 * np.pi * across + 0.12 * np.sin(along) + 0.05 * np.sin(3 * along + 1.0)
    rings = [np.sin(count * phase + count) / (1 + index) for index, count in enumerate(waves)]
    share = np.clip(0.5 + 0.32 * np.sum(rings, axis=0), 0, 1)[..., None]
    mixed = share * np.array(light) + (1 - share) * np.array(dark)
    return np.asarray(np.round(255 * mixed), dtype=np.uint8)
