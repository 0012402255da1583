"""Experts for so101/PickPlace and so101/PickPlaceEither."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from vla_eval.environment import EvalEnv
from vla_eval_envs.so101.objects import Box
from vla_eval_envs.so101.pick_place import BLOCK_EDGE, PickPlace
from vla_eval_envs.so101.pick_place_either import PickPlaceEither
from vla_eval_policies.experts.motion import PACES, Pace
from vla_eval_policies.experts.so101.delivery import DeliveryExpert, Grip, square_yaws, yaw_of
from vla_eval_policies.experts.so101.path import Array

__all__ = ["RELEASE_Z", "PickPlaceEitherExpert", "PickPlaceExpert"]

RELEASE_Z = 0.035
"""Height of a block's centre over the table when the jaws open in a box, m."""


class PickPlaceExpert(DeliveryExpert):
    """Puts the block into the box."""

    task = PickPlace

    boxes: ClassVar[tuple[Box, ...]] = PickPlace.boxes

    def _box(self) -> Box:
        """Return the box to put the block into."""
        return self.boxes[0]

    def _grips(self, name: str) -> list[Grip]:
        place, rotation = self._env.object_pose(name)
        return [Grip(yaw, BLOCK_EDGE) for yaw in square_yaws(place, yaw_of(rotation))]

    def _goal(self, name: str) -> Array:
        del name
        return np.array([*self._box().centre, RELEASE_Z])

    def _arrived(self, name: str) -> bool:
        return any(box.contains(self._env.object_pose(name)[0]) for box in self.boxes)


class PickPlaceEitherExpert(PickPlaceExpert):
    """Puts the block into a box that is drawn once an episode, either with the same probability."""

    task = PickPlaceEither
    boxes = PickPlaceEither.boxes

    def __init__(
        self,
        env: EvalEnv,
        *,
        pace: Pace = PACES["normal"],
        generator: np.random.Generator | None = None,
    ) -> None:
        super().__init__(env, pace=pace, generator=generator)
        self._side = int(self._generator.integers(len(self.boxes)))

    def _box(self) -> Box:
        return self.boxes[self._side]
