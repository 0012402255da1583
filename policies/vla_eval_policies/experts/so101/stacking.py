"""Expert for so101/Stacking: takes the toy by its narrow sides."""

from __future__ import annotations

import numpy as np

from vla_eval_envs.so101.objects import TOY_SIZE
from vla_eval_envs.so101.stacking import BLOCK_EDGE, PLATFORM, Stacking
from vla_eval_policies.experts.so101.delivery import DeliveryExpert, Grip, roll_at
from vla_eval_policies.experts.so101.path import Array

__all__ = ["StackingExpert"]

_DROP_M = 0.003
_HALF_PLATFORM_M = 0.030
# Indices of the toy's axes across which it can be held; across the third axis the head is in the way.
_LENGTH, _WIDTH = 0, 1


class StackingExpert(DeliveryExpert):
    """Puts the toy on the middle of the platform."""

    task = Stacking

    def _grips(self, name: str) -> list[Grip]:
        place, rotation = self._env.object_pose(name)
        grips: list[Grip] = []
        for axis in (_WIDTH, _LENGTH):
            x, y, z = rotation[:, axis]
            if abs(z) < np.sqrt(0.5):
                yaws = [_near(place, float(np.arctan2(y * side, x * side))) for side in (1, -1)]
                yaws.sort(key=lambda yaw: abs(roll_at(place, yaw)))
                grips += [Grip(yaw, TOY_SIZE[axis]) for yaw in yaws]
        return grips

    def _goal(self, name: str) -> Array:
        rotation = self._env.object_pose(name)[1]
        half_height = float(np.abs(rotation[2]) @ np.array(TOY_SIZE)) / 2
        return np.array([*PLATFORM, BLOCK_EDGE + half_height + _DROP_M])

    def _arrived(self, name: str) -> bool:
        place, _ = self._env.object_pose(name)
        above = np.abs(place[:2] - PLATFORM).max() < _HALF_PLATFORM_M
        return bool(above and place[2] > BLOCK_EDGE)


def _near(place: Array, yaw: float) -> float:
    """Return ``yaw`` plus whole turns, rad, such that the wrist turns least."""
    roll = roll_at(place, yaw)
    return yaw - 2 * np.pi * float(np.round(roll / (2 * np.pi)))
