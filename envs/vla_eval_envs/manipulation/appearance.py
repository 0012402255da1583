"""Visual parts: they have no mass and no collisions."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vla_eval_envs.manipulation.simulator import mujoco

__all__ = [
    "CONTACT",
    "Colour",
    "Light",
    "Shape",
    "add_lights",
    "add_lines",
    "add_material",
    "add_part",
    "add_sky",
    "add_textured",
    "wood_grain",
]

Colour = tuple[float, float, float]
"""Red, green, blue in 0..1."""
Shape = Literal["box", "x", "y", "z"]
"""A box (half sizes x y z), or a cylinder along an axis (radius, half length)."""

CONTACT = {
    "condim": 3,
    "friction": [1.0, 0.01, 0.001],
    "solref": [0.01, 1.0],
    "solimp": [0.95, 0.99, 0.001, 0.5, 2.0],
}
"""Contact parameters of objects and of the surfaces under them. They are stiffer than MuJoCo's default
(solref 0.02 1, solimp .9 .95), which lets a held object sink in by millimetres. Torsional friction is
left out: it makes a step a tenth slower and has no measurable effect, because flat faces meet in
several points."""

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
    spec: mujoco.MjSpec, name: str, picture: NDArray[np.uint8], specular: float
) -> None:
    """Add a material with a texture: a picture, uint8 (H, W, 3), shown once along each side.

    Floors and mats use strips instead (see :func:`add_lines`): in software GL a texture seen at a
    flat angle takes up to a third of a frame's time.
    """
    height, width, channels = picture.shape
    texture = spec.add_texture(
        name=name,
        type=mujoco.mjtTexture.mjTEXTURE_2D,
        width=width,
        height=height,
        nchannel=channels,
    )
    texture.data = picture.tobytes()
    material = spec.add_material(name=name, specular=specular, shininess=0.2)
    textures = list(material.textures)
    textures[mujoco.mjtTextureRole.mjTEXROLE_RGB] = name
    material.textures = textures


def add_sky(spec: mujoco.MjSpec) -> None:
    """Add the background outside the open sides of a room: bright haze."""
    spec.add_texture(
        name="sky",
        type=mujoco.mjtTexture.mjTEXTURE_SKYBOX,
        builtin=mujoco.mjtBuiltin.mjBUILTIN_GRADIENT,
        rgb1=[0.93, 0.94, 0.95],
        rgb2=[0.80, 0.82, 0.84],
        width=64,
        height=384,
    )


Light = tuple[Colour, Colour, Colour]
"""Position, direction and colour."""


def add_lights(spec: mujoco.MjSpec, *, ambient: float, ceiling: Light, window: Light) -> None:
    """Add a weak headlight and two directional lights; the ceiling light casts shadows."""
    head = spec.visual.headlight
    head.ambient, head.diffuse, head.specular = [ambient] * 3, [0.18] * 3, [0.05] * 3
    for name, (place, direction, colour), specular in (
        ("ceiling", ceiling, 0.25),
        ("window", window, 0.0),
    ):
        spec.worldbody.add_light(
            name=name,
            directional=True,
            pos=place,
            dir=direction,
            diffuse=colour,
            specular=[specular] * 3,
            castshadow=specular > 0,
        )


def add_lines(
    body: mujoco.MjsBody,
    material: str,
    centre: tuple[float, float, float],
    half_sizes: tuple[float, float],
    square: float,
    line: tuple[float, float],
) -> None:
    """Add a grid of flat strips around a centre, m.

    Args:
        body: the body that the strips belong to.
        material: material of the strips, and the prefix of their names.
        centre: centre of the grid.
        half_sizes: half sizes of the grid along x and y.
        square: distance between neighbouring strips.
        line: half the width of a strip, and half its height.
    """
    half_width, half_height = line
    for axis in (0, 1):
        count = int(round(half_sizes[axis] / square, 6))
        for index in range(-count, count + 1):
            place, size = list(centre), [*half_sizes, half_height]
            place[axis] += index * square
            size[axis] = half_width
            add_part(body, f"{material}_{'xy'[axis]}{index}", "box", material, place, size)


def add_part(
    body: mujoco.MjsBody,
    name: str,
    shape: Shape,
    material: str,
    centre: ArrayLike,
    size: ArrayLike,
    turn: ArrayLike | None = None,
) -> None:
    """Add a visual box or cylinder to a body; ``turn`` (w x y z) replaces the axis's orientation."""
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
    """Return a picture of planed wood, uint8 (256, 256, 3), that tiles without a seam.

    Args:
        light: colour between the rings.
        dark: colour of the rings.
        waves: numbers of rings across the picture, coarse rings first.
    """
    along, across = np.meshgrid(
        np.linspace(0, 2 * np.pi, 256, endpoint=False), np.arange(256) / 256
    )
    phase = 2 * np.pi * across + 0.12 * np.sin(along) + 0.05 * np.sin(3 * along + 1.0)
    rings = [np.sin(count * phase + count) / (1 + index) for index, count in enumerate(waves)]
    share = np.clip(0.5 + 0.32 * np.sum(rings, axis=0), 0, 1)[..., None]
    mixed = share * np.array(light) + (1 - share) * np.array(dark)
    return np.asarray(np.round(255 * mixed), dtype=np.uint8)
