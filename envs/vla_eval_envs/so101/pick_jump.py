"""Pick a block that jumps: once, on the way to it, the red block is somewhere else."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from vla_eval_envs.manipulation.driven import (
    PLATE_TOP_M,
    Driven,
    add_plate,
    check_level,
    make_carried,
)
from vla_eval_envs.manipulation.simulator import mujoco
from vla_eval_envs.so101.frozen import IN_FRONT_HIGH, IN_FRONT_LOW, ONE_OBJECT, FrozenStates
from vla_eval_envs.so101.pick_place import BLOCK_EDGE, PickPlace
from vla_eval_envs.so101.world import MEAN_INERTIA

__all__ = ["JUMP_STEPS", "MAX_JUMP_CM", "PickJump"]

JUMP_STEPS = 8
"""Control steps (0.27 s) that a jump takes."""
MAX_JUMP_CM = 5
_SHARES = [step / JUMP_STEPS for step in range(JUMP_STEPS + 1)]
_BELL = [(share * (1.0 - share)) ** 2 for share in _SHARES]
_SPEEDS = [*(speed / sum(_BELL) for speed in _BELL), 0.0]
"""Speeds of a minimum-jerk motion after its control steps, as shares of its length by control step; they are
scaled so that the whole jump has exactly its length."""
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
        self._jump_tick, self._direction_rad, self._length_m = 0, 0.0, 0.0
        super().__init__(**options)

    def _add_objects(self, spec: mujoco.MjSpec) -> None:
        super()._add_objects(spec)
        if self.jump_m:
            add_plate(spec, "plate", _PLATE_X, _PLATE_Y, "x", MEAN_INERTIA)
            make_carried(spec, "block")

    def _bind(self) -> None:
        super()._bind()
        self._plate = Driven(self.model, "plate_x") if self.jump_m else None

    def _motion(self) -> dict[str, float]:
        if not self.jump_m:
            return {}
        return {
            "jump_tick": self._jump_tick,
            "jump_direction_rad": self._direction_rad,
            "jump_m": self._length_m,
        }

    def _arrange_objects(self, state: Mapping[str, float]) -> None:
        super()._arrange_objects(state)
        if self._plate is not None:
            place = (state["x_m"], state["y_m"], PLATE_TOP_M + BLOCK_EDGE / 2)
            self._put("block", place, state["yaw_rad"])
            self._jump_tick = int(state["jump_tick"])
            self._direction_rad = state["jump_direction_rad"]
            self._length_m = self.jump_m * state["jump_share"]
            self._plate.turn(self._direction_rad)

    def _move_parts(self) -> None:
        done = self.tick - self._jump_tick
        if self._plate is None or not 0 <= done <= JUMP_STEPS:
            return
        if done == 0:
            self.events["jump"] = self.tick + 1
        hertz = self.metadata["render_fps"]
        now, then = (_SPEEDS[done + i] * hertz * self._length_m for i in (0, 1))
        self._plate.move(self.data, 0.0, now, (then - now) * hertz)
