"""Pick a block that jumps: once, on the way to it, the red block is somewhere else."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vla_eval_envs.manipulation.driven import PLATE_TOP_M, Driven, add_plate, check_level
from vla_eval_envs.manipulation.simulator import mujoco
from vla_eval_envs.so101.frozen import IN_FRONT_HIGH, IN_FRONT_LOW, ONE_OBJECT, FrozenStates
from vla_eval_envs.so101.pick_place import BLOCK_EDGE, PickPlace
from vla_eval_envs.so101.world import MEAN_INERTIA

__all__ = ["JUMP_STEPS", "MAX_JUMP_CM", "PickJump"]

JUMP_STEPS = 8
"""Control steps (0.27 s) that a jump takes."""
MAX_JUMP_CM = 5
_PLATE_X, _PLATE_Y = (0.09, 0.36), (-0.15, 0.11)


class PickJump(PickPlace):
    """An SO-101 arm picks a red block, which jumps once, from a table and puts it into an open box.

    ## Description
    The scene of :class:`~vla_eval_envs.so101.pick_place.PickPlace`. Once in an episode, as after a bump of
    the table, the ground under the block jerks and takes it along: a thin plate that is not seen moves
    by some centimetres within 0.27 s, softly enough that friction holds the block on it. A block that is
    held in the air stays where it is.

    The levels are jumps of 0, 2 and 4 cm; any whole number up to 5 can be chosen. At 0 nothing happens, and
    this is :class:`~vla_eval_envs.so101.pick_place.PickPlace`, bit for bit, pictures included.

    ## Action Space, Observation Space, Score, Episode End
    As in :class:`~vla_eval_envs.so101.pick_place.PickPlace`. From the jump on, ``info["events"]["jump"]`` is the
    control step of the first observation that shows it.

    ## Starting State
    200 frozen poses of the block, drawn like those of
    :class:`~vla_eval_envs.so101.pick_place.PickPlace` with another seed. Each comes with the jump's control step,
    drawn from 15..44, its direction, drawn from those that do not lead towards the box, and its share of the
    level's length, drawn from 0.5..1. ``info["scene_hash"]`` covers them.

    ## Arguments
    Those of :class:`~vla_eval_envs.so101.pick_place.PickPlace` and this one:

    | name | default | meaning |
    |---|---|---|
    | jump_cm | 4 | largest length of the jump in cm, an integer in 0..5 |

    ## Version History
    * v0: first release.
    """

    task_description = "grasp the red block and put it in the box"
    score_rule = "as PickPlace; the block jumps once before the grasp"
    frozen = FrozenStates(
        name="pick_jump",
        seed=20260107,
        sha256="1a919cce0413dd5e7b2d14e84784a88d0db5fbdb7f412967441c21c9f57594cf",
        fields=(*ONE_OBJECT, "jump_tick", "jump_direction_rad", "jump_share"),
        low=(*IN_FRONT_LOW, 15.0, -3.1415, 0.5),
        high=(*IN_FRONT_HIGH, 45.0, 0.0, 1.0),
    )

    def __init__(self, *, jump_cm: int = 4, **options: Any) -> None:
        self.jump_m = check_level("jump_cm", jump_cm, MAX_JUMP_CM) / 100
        self._jump_tick, self._jump = 0, np.zeros(2)
        super().__init__(**options)

    def _add_objects(self, spec: mujoco.MjSpec) -> None:
        super()._add_objects(spec)
        if self.jump_m:
            add_plate(spec, "plate", _PLATE_X, _PLATE_Y, "xy", MEAN_INERTIA)

    def _bind(self) -> None:
        super()._bind()
        names = ("plate_x", "plate_y") if self.jump_m else ()
        self._plate = [Driven(self.model, name) for name in names]

    def _motion(self) -> dict[str, float]:
        if not self.jump_m:
            return {}
        x, y = self._jump
        return {"jump_tick": self._jump_tick, "jump_x_m": float(x), "jump_y_m": float(y)}

    def _arrange_objects(self, state: Mapping[str, float]) -> None:
        super()._arrange_objects(state)
        if self.jump_m:
            place = (state["x_m"], state["y_m"], PLATE_TOP_M + BLOCK_EDGE / 2)
            self._put("block", place, state["yaw_rad"])
            self._jump_tick = int(state["jump_tick"])
            angle, length = state["jump_direction_rad"], self.jump_m * state["jump_share"]
            self._jump = length * np.array([np.cos(angle), np.sin(angle)])

    def _move_parts(self) -> None:
        done = self.tick - self._jump_tick
        if not self._plate or not 0 <= done <= JUMP_STEPS:
            return
        if done == 0:
            self.events["jump"] = self.tick + 1
        hertz = self.metadata["render_fps"]
        speed, after = (_speed_share(done + i) * hertz * self._jump for i in (0, 1))
        for axis, slide in enumerate(self._plate):
            acceleration = (after[axis] - speed[axis]) * hertz
            slide.move(self.data, 0.0, float(speed[axis]), float(acceleration))


def _speed_share(steps: int) -> float:
    """Return the share of a jump's length by control step that its speed is after ``steps`` of them.

    The speed of a minimum-jerk motion, scaled so that the whole jump has exactly its length.
    """
    speeds = _bell(np.arange(JUMP_STEPS + 1))
    return float(_bell(np.array([steps]))[0] / speeds.sum()) if 0 < steps < JUMP_STEPS else 0.0


def _bell(steps: NDArray[np.int_]) -> NDArray[np.float64]:
    share = steps / JUMP_STEPS
    return np.asarray((share * (1.0 - share)) ** 2)
