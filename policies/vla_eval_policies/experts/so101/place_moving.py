"""Expert for so101/PlaceMoving: meets the box where it will be, and moves along while it lets go."""

from __future__ import annotations

import numpy as np

from vla_eval_envs.manipulation.driven import Track
from vla_eval_envs.so101.pick_place import BOX
from vla_eval_envs.so101.place_moving import PlaceMoving
from vla_eval_policies.experts.so101.path import Array
from vla_eval_policies.experts.so101.pick_place import RELEASE_Z, PickPlaceExpert

__all__ = ["PlaceMovingExpert"]


class PlaceMovingExpert(PickPlaceExpert):
    """Puts the block into the box that travels."""

    task = PlaceMoving
    _env: PlaceMoving

    def _goal(self, name: str) -> Array:
        del name
        return np.array([*self._env.box_place(), RELEASE_Z])

    def _goal_track(self, name: str) -> Track | None:
        del name
        return self._env.box_track()

    def _arrived(self, name: str) -> bool:
        place, _ = self._env.object_pose(name)
        place[:2] -= self._env.box_place() - np.array(BOX.centre)
        return BOX.contains(place)
