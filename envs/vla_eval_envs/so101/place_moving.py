"""Place into a box that travels: the red block into the box that goes to and fro."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vla_eval_envs.manipulation.driven import (
    Ride,
    Shuttle,
    Track,
    check_level,
    make_carried,
    make_carrier,
    make_driven,
)
from vla_eval_envs.manipulation.simulator import mujoco
from vla_eval_envs.so101.delivery import Delivery
from vla_eval_envs.so101.frozen import IN_FRONT_HIGH, IN_FRONT_LOW, ONE_OBJECT, FrozenStates
from vla_eval_envs.so101.objects import Box
from vla_eval_envs.so101.pick_place import BOX, PickPlace
from vla_eval_envs.so101.predicates import DeliveryDetector, PlacementDetector
from vla_eval_envs.so101.world import MEAN_INERTIA

__all__ = ["AMPLITUDE_M", "MAX_SPEED_CMPS", "PlaceMoving"]

AMPLITUDE_M = 0.08
"""Largest distance of the box from the middle of its track."""
MAX_SPEED_CMPS = 20


class PlaceMoving(PickPlace):
    """An SO-101 arm picks a red block from a table and puts it into an open box that travels.

    ## Description
    The scene of :class:`~vla_eval_envs.so101.pick_place.PickPlace`, whose box goes to and fro along x by 8 cm
    to either side of its place, at constant speed. A block in it is carried along by friction with the
    box's floor. Nothing stops the box: it pushes what is in its way.

    The levels are speeds of 0, 2, 4 and 8 cm/s; any whole number up to 20 can be chosen. At 0 this is
    :class:`~vla_eval_envs.so101.pick_place.PickPlace`, bit for bit, pictures included.

    ## Action Space, Observation Space, Episode End
    As in :class:`~vla_eval_envs.so101.pick_place.PickPlace`. One observation does not show in which direction
    the box travels: a policy that needs it asks for two (``n_obs_steps``).

    ## Score
    As in :class:`~vla_eval_envs.so101.pick_place.PickPlace`; the block has to be slow relative to the box.

    ## Starting State
    200 frozen poses of the block, drawn like those of
    :class:`~vla_eval_envs.so101.pick_place.PickPlace` with another seed, and a phase of the box's motion, drawn
    uniformly: 0 is the middle on the way to +x, 0.25 the turn. ``info["scene_hash"]`` covers speed and phase.

    ## Arguments
    Those of :class:`~vla_eval_envs.so101.pick_place.PickPlace` and this one:

    | name | default | meaning |
    |---|---|---|
    | speed_cmps | 4 | speed of the box in cm/s, an integer in 0..20 |

    ## Version History
    * v0: first release.
    """

    task_description = "grasp the red block and put it in the moving box"
    score_rule = "as PickPlace; the box goes to and fro"
    frozen = FrozenStates(
        name="place_moving",
        seed=20260106,
        sha256="8ce15066985a5d69654a6259b4af4ce7a4bc7d7be5fb803a03089076d8b492c4",
        fields=(*ONE_OBJECT, "phase"),
        low=(*IN_FRONT_LOW, 0.0),
        high=(*IN_FRONT_HIGH, 1.0),
    )

    def __init__(self, *, speed_cmps: int = 4, **options: Any) -> None:
        self.speed_mps = check_level("speed_cmps", speed_cmps, MAX_SPEED_CMPS) / 100
        super().__init__(**options)

    def _add_objects(self, spec: mujoco.MjSpec) -> None:
        super()._add_objects(spec)
        if self.speed_mps:
            make_driven(spec, spec.body(BOX.name), "x", MEAN_INERTIA)
            make_carrier(spec.geom(f"{BOX.name}_bottom"))
            make_carried(spec, "block")

    def _bind(self) -> None:
        super()._bind()
        hertz = self.metadata["render_fps"]
        step_m = self.speed_mps / hertz
        self._box = (
            Shuttle(self.model, BOX.name, AMPLITUDE_M, step_m, hertz) if self.speed_mps else None
        )

    def _delivery_detector(self, delivery: Delivery) -> DeliveryDetector:
        if not self.speed_mps:
            return super()._delivery_detector(delivery)
        return _TravellingPlacement(self.model, delivery.object_name, BOX)

    def _motion(self) -> dict[str, float]:
        return {"box_mps": self.speed_mps, "box_phase": self._box.phase} if self._box else {}

    def _arrange_objects(self, state: Mapping[str, float]) -> None:
        super()._arrange_objects(state)
        if self._box is not None:
            self._box.phase = state["phase"]
            self._box.run(self.data, 0)

    def _move_parts(self) -> None:
        if self._box is not None:
            self._box.run(self.data, self.tick)

    def box_place(self) -> NDArray[np.float64]:
        """Return the centre of the box now, (2,), m."""
        offset = self._box.offset(self.tick) if self._box else 0.0
        return np.array([BOX.centre[0] + offset, BOX.centre[1]])

    def box_track(self) -> Track | None:
        """Return how the box will move; None if it stands still."""
        return self._box.track(self.tick) if self._box else None


class _TravellingPlacement(PlacementDetector):
    """The goal: the object is in a box that travels along x, and at rest relative to it."""

    def __init__(self, model: mujoco.MjModel, object_name: str, box: Box) -> None:
        super().__init__(model, object_name, box)
        self._ride = Ride(model, box.name, box.centre[0])

    def _velocity(self, data: mujoco.MjData) -> list[float]:
        return self._ride.velocity(data, super()._velocity(data))

    def _place(self, data: mujoco.MjData) -> list[float]:
        return self._ride.place(data, super()._place(data))
