"""Expert for so101/Sorting: one cube after the other; the jaws stay clear of the waiting cube."""

from __future__ import annotations

import numpy as np

from vla_eval_envs.so101.pick_place import BLOCK_EDGE
from vla_eval_envs.so101.sorting import BOX_OF, Sorting
from vla_eval_policies.experts.so101.delivery import (
    DeliveryExpert,
    Grip,
    square_yaws,
    yaw_of,
)
from vla_eval_policies.experts.so101.path import Array
from vla_eval_policies.experts.so101.pick_place import RELEASE_Z

__all__ = ["SortingExpert"]

# Space that the open hand needs around the cube, m: from behind the fixed jaw to in front of the open
# moving jaw, and the jaws' half width. A cube's corner is 21 mm from its centre.
_HAND_BACK, _HAND_FRONT, _HAND_SIDE = -0.031, 0.042, 0.010
_CORNER = BLOCK_EDGE / 2 * np.sqrt(2) + 0.003


class SortingExpert(DeliveryExpert):
    """Sorts the cubes, red first unless green is in the way."""

    task = Sorting

    def _outstanding(self) -> list[str]:
        names = super()._outstanding()
        return sorted(names, key=lambda name: self._room(name, self._grips(name)[0]) < 0.0)

    def _grips(self, name: str) -> list[Grip]:
        place, rotation = self._env.object_pose(name)
        grips = [Grip(yaw, BLOCK_EDGE) for yaw in square_yaws(place, yaw_of(rotation))]
        return sorted(grips, key=lambda grip: max(0.0, -self._room(name, grip)))

    def _room(self, name: str, grip: Grip) -> float:
        """Return the approximate distance, m, of the open hand from the nearest corner of another cube."""
        place, _ = self._env.object_pose(name)
        room = np.inf
        for neighbour in BOX_OF:
            if neighbour == name:
                continue
            x, y, _ = self._env.object_pose(neighbour)[0] - place
            along = x * np.cos(grip.yaw) + y * np.sin(grip.yaw)
            across = abs(y * np.cos(grip.yaw) - x * np.sin(grip.yaw))
            gap = np.hypot(
                max(_HAND_BACK - along, along - _HAND_FRONT, 0.0), max(across - _HAND_SIDE, 0.0)
            )
            room = min(room, float(gap) - _CORNER)
        return room

    def _goal(self, name: str) -> Array:
        return np.array([*BOX_OF[name].centre, RELEASE_Z])

    def _arrived(self, name: str) -> bool:
        return BOX_OF[name].contains(self._env.object_pose(name)[0])
