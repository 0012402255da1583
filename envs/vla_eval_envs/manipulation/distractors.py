"""Distractors: boxes that no task uses, placed out of the robot's way."""

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
    """Half edges along x, y, z in m."""


@dataclass(frozen=True)
class Distractors:
    """A scene's distractors and their slots, one slot for each object. Lengths in m."""

    objects: tuple[Distractor, ...]
    slots: tuple[tuple[float, float, float], ...]
    """x, y and height of the surface under each slot."""
    spread: tuple[float, float]
    """Largest distance of an object from its slot, along x and y."""
    max_yaw: float
    """Largest yaw of an object in either direction, rad."""

    @property
    def names(self) -> tuple[str, ...]:
        """Names of all objects, in the order in which levels add them."""
        return tuple(box.name for box in self.objects)

    def add(self, spec: mujoco.MjSpec, count: int) -> None:
        """Add the first ``count`` objects to a model."""
        for box in self.objects[:count]:
            add_material(spec, box.name, box.colour, 0.3, 0.4)
            body = spec.worldbody.add_body(name=box.name, pos=[0.36, 0.0, box.half_sizes[2]])
            body.add_freejoint(name=box.name)
            body.add_geom(
                name=box.name,
                type=mujoco.mjtGeom.mjGEOM_BOX,
                size=box.half_sizes,
                mass=_MASS_KG,
                material=box.name,
                **CONTACT,
            )

    def places(
        self, generator: np.random.Generator, count: int
    ) -> Iterator[tuple[str, tuple[float, float, float], float]]:
        """Yield the name, the position of the centre (m) and the yaw (rad) of the first ``count`` objects."""
        order = generator.permutation(len(self.slots))
        for box, slot in zip(self.objects[:count], order, strict=False):
            x, y, height = self.slots[slot]
            dx, dy = generator.uniform(-1, 1, 2) * self.spread
            yaw = generator.uniform(-self.max_yaw, self.max_yaw)
            yield box.name, (x + float(dx), y + float(dy), height + box.half_sizes[2]), float(yaw)
