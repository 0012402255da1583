"""Pick from a belt: the red block comes along, and has to be in the box before it is gone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from vla_eval_envs.manipulation.driven import PLATE_TOP_M, Track, check_level, make_carried
from vla_eval_envs.manipulation.simulator import mujoco
from vla_eval_envs.so101.belt import Belt, BeltDrive
from vla_eval_envs.so101.frozen import FrozenStates
from vla_eval_envs.so101.pick_place import BLOCK_EDGE, PickPlace

__all__ = ["BELT", "MAX_SPEED_CMPS", "PickBelt"]

BELT = Belt(x=(0.150, 0.300), y=(-0.450, 0.110))
MAX_SPEED_CMPS = 20


class PickBelt(PickPlace):
    """An SO-101 arm picks a red block from a running belt and puts it into an open box.

    ## Description
    The scene of :class:`~vla_eval_envs.so101.pick_place.PickPlace` with a belt of black rubber in front of
    the arm. It runs from the box, on the arm's left, to the right (-y) and carries the block along by
    friction. 40 cm to the right of the arm the block is out of reach, and 45 cm to the right the belt ends.

    The levels are belt speeds of 0, 2, 4 and 8 cm/s; any whole number up to 20 can be chosen. At 0 the block
    lies on the table as in :class:`~vla_eval_envs.so101.pick_place.PickPlace`, and the physics are the same
    bit for bit.

    ## Action Space, Observation Space, Score
    As in :class:`~vla_eval_envs.so101.pick_place.PickPlace`. One observation does not show the belt's speed:
    a policy that needs it asks for two (``n_obs_steps``).

    ## Starting State
    200 frozen poses of the block, drawn uniformly from x 0.19..0.26 m, y 0.01..0.07 m and all yaws; at every
    speed the same. The block already has the belt's speed. ``info["scene_hash"]`` covers the speed.

    ## Episode End
    As in :class:`~vla_eval_envs.so101.pick_place.PickPlace`. A block that is gone ends no episode early.

    ## Arguments
    Those of :class:`~vla_eval_envs.so101.pick_place.PickPlace` and this one:

    | name | default | meaning |
    |---|---|---|
    | speed_cmps | 4 | speed of the belt in cm/s, an integer in 0..20 |

    ## Version History
    * v0: first release.
    """

    task_description = "grasp the red block on the belt and put it in the box"
    score_rule = "as PickPlace; the block comes along on a belt"
    frozen = FrozenStates(
        name="pick_belt",
        seed=20260105,
        sha256="e683075b484e9a67e31cb1bdf98b65cad4bd231792598ad6ad9b9ca9176c58b2",
        low=(0.19, 0.01, -3.1415),
        high=(0.26, 0.07, 3.1415),
    )

    def __init__(self, *, speed_cmps: int = 4, **options: Any) -> None:
        self.speed_mps = check_level("speed_cmps", speed_cmps, MAX_SPEED_CMPS) / 100
        super().__init__(**options)

    def _add_objects(self, spec: mujoco.MjSpec) -> None:
        super()._add_objects(spec)
        BELT.add(spec, driven=self.speed_mps > 0)
        if self.speed_mps:
            make_carried(spec, "block")

    def _bind(self) -> None:
        super()._bind()
        self._belt = BeltDrive(self.model, self.speed_mps) if self.speed_mps else None

    def _motion(self) -> dict[str, float]:
        return {"belt_mps": self.speed_mps} if self._belt else {}

    def _arrange_objects(self, state: Mapping[str, float]) -> None:
        super()._arrange_objects(state)
        if self._belt is not None:
            place = (state["x_m"], state["y_m"], PLATE_TOP_M + BLOCK_EDGE / 2)
            self._put("block", place, state["yaw_rad"])
            self.data.qvel[int(self.model.joint("block").dofadr[0]) + 1] = -self.speed_mps
            self._belt.run(self.data, 0.0)

    def _move_parts(self) -> None:
        if self._belt is not None:
            self._belt.run(self.data, (self.tick + 1) / self.metadata["render_fps"])

    def track(self, name: str) -> Track | None:
        """Return how an object will move if it is left alone; None if it does not lie on a running belt."""
        place, _ = self.object_pose(name)
        if self._belt is None or not BELT.carries(place[0], place[1]) or place[2] > BLOCK_EDGE:
            return None
        step = np.array([0.0, -self.speed_mps / self.metadata["render_fps"], 0.0])
        return lambda ticks: np.multiply.outer(ticks, step)
