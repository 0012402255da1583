"""Expert for so101/PickPlace."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from vla_eval_envs.so101.objects import Box
from vla_eval_envs.so101.pick_place import BLOCK_EDGE, PickPlace
from vla_eval_policies.experts.so101.delivery import DeliveryExpert, Grip, square_yaws, yaw_of
from vla_eval_policies.experts.so101.path import Array

__all__ = ["RELEASE_Z", "PickPlaceExpert"]

RELEASE_Z = 0.035
"""Height of a block's centre over the table when the jaws open in a box, m."""


class PickPlaceExpert(DeliveryExpert):
    """Puts the block into the box."""

    task = PickPlace

    boxes: ClassVar[tuple[Box, ...]] = PickPlace.boxes

    def _box(self) -> Box:
        """Return the goal box."""
        return self.boxes[0]

    def _grips(self, name: str) -> list[Grip]:
        place, rotation = self._env.object_pose(name)
        return [Grip(yaw, BLOCK_EDGE) for yaw in square_yaws(place, yaw_of(rotation))]

    def _goal(self, name: str) -> Array:
        del name
        return np.array([*self._box().centre, RELEASE_Z])

    def _arrived(self, name: str) -> bool:
        return any(box.contains(self._env.object_pose(name)[0]) for box in self.boxes)
