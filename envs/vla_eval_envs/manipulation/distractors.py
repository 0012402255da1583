"""Objects that no task asks for: boxes that stand where they are in nobody's way."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from vla_eval_envs.manipulation.appearance import CONTACT, Colour, add_material
from vla_eval_envs.manipulation.simulator import mujoco

__all__ = ["Distractor", "Distractors"]

_MASS_KG = 0.040


@dataclass(frozen=True)
class Distractor:
    """A free box, named after its body, joint, geom and material."""

    name: str
    colour: Colour
    half_sizes: tuple[float, float, float]
    """m."""


@dataclass(frozen=True)
class Distractors:
    """A scene's distractors, and where they may stand: as many slots as objects. Lengths in m."""

    objects: tuple[Distractor, ...]
    slots: tuple[tuple[float, float, float], ...]
    """x, y, and height of what they stand on."""
    spread: tuple[float, float]
    """How far from the slot an object may be, along x and y."""
    max_yaw: float
    """How far it may be turned either way, rad."""

    @property
    def names(self) -> tuple[str, ...]:
        """Of all objects, in the order in which levels add them."""
        return tuple(each.name for each in self.objects)

    def add(self, spec: mujoco.MjSpec, count: int) -> None:
        """Add the first ``count`` objects to a model."""
        for each in self.objects[:count]:
            add_material(spec, each.name, each.colour, 0.3, 0.4)
            body = spec.worldbody.add_body(name=each.name, pos=[0.36, 0.0, each.half_sizes[2]])
            body.add_freejoint(name=each.name)
            body.add_geom(
                name=each.name,
                type=mujoco.mjtGeom.mjGEOM_BOX,
                size=each.half_sizes,
                mass=_MASS_KG,
                material=each.name,
                **CONTACT,
            )

    def places(
        self, generator: np.random.Generator, count: int
    ) -> Iterator[tuple[str, tuple[float, float, float], float]]:
        """Yield name, place of the centre (m) and yaw (rad) of the first ``count`` objects."""
        order = generator.permutation(len(self.slots))
        for each, slot in zip(self.objects[:count], order, strict=False):
            x, y, height = self.slots[slot]
            dx, dy = generator.uniform(-1, 1, 2) * self.spread
            yaw = generator.uniform(-self.max_yaw, self.max_yaw)
            yield each.name, (x + float(dx), y + float(dy), height + each.half_sizes[2]), float(yaw)
