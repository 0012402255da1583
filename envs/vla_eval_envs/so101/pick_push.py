"""Pick and place under a push: once, while the block is carried, the jaws are pushed apart."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from vla_eval_envs.manipulation.driven import check_level
from vla_eval_envs.so101.frozen import IN_FRONT_HIGH, IN_FRONT_LOW, ONE_OBJECT, FrozenStates
from vla_eval_envs.so101.pick_place import PickPlace

__all__ = ["MAX_PUSH_N", "PickPush"]

MAX_PUSH_N = 30
_FINGER_M = 0.082
"""Distance of the moving jaw's tip from its axis."""


class PickPush(PickPlace):
    """An SO-101 arm carries a red block to an open box; once on the way its jaws are pushed apart.

    ## Description
    The scene of :class:`~vla_eval_envs.so101.pick_place.PickPlace`. Once in an episode, some control steps after
    the grasp counts, a pair of forces at the fingertips pushes the jaws apart for 0.1 to 0.3 s, against
    the gripper's servo, which holds about 18 N. If they open, the block falls and has to be fetched again. It
    is held by friction alone.

    The levels are forces of 0, 10, 20 and 30 N; any whole number up to 30 can be chosen. At 0 nothing
    happens, and this is :class:`~vla_eval_envs.so101.pick_place.PickPlace`, bit for bit, pictures included.

    ## Action Space, Observation Space, Score, Episode End
    As in :class:`~vla_eval_envs.so101.pick_place.PickPlace`. From the push on, ``info["events"]["push"]`` is the
    control step of the first observation that shows it. The push follows the grasp: two policies are pushed
    at different times, and a policy that never grasps is never pushed.

    ## Starting State
    200 frozen poses of the block, drawn like those of
    :class:`~vla_eval_envs.so101.pick_place.PickPlace` with another seed. Each comes with the number of control
    steps from grasp to push, drawn from 0..14, and with the push's length in control steps, drawn from
    3..8. ``info["scene_hash"]`` covers them and the force.

    ## Arguments
    Those of :class:`~vla_eval_envs.so101.pick_place.PickPlace` and this one:

    | name | default | meaning |
    |---|---|---|
    | push_n | 30 | force of the push in N, an integer in 0..30 |

    ## Version History
    * v0: first release.
    """

    task_description = "grasp the red block and put it in the box"
    score_rule = "as PickPlace; the jaws are pushed apart once"
    frozen = FrozenStates(
        name="pick_push",
        seed=20260108,
        sha256="e2b576b0af4aa7be1ea72d54fc70c96b321d6504555b4e0c7a1e5a7f9865571a",
        fields=(*ONE_OBJECT, "push_after_ticks", "push_ticks"),
        low=(*IN_FRONT_LOW, 0.0, 3.0),
        high=(*IN_FRONT_HIGH, 15.0, 9.0),
    )

    def __init__(self, *, push_n: int = 30, **options: Any) -> None:
        self.push_n = check_level("push_n", push_n, MAX_PUSH_N)
        self._after, self._length = 0, 0
        self._push_tick: int | None = None
        super().__init__(**options)

    def _bind(self) -> None:
        super()._bind()
        self._jaw = int(self.model.joint("gripper").dofadr[0])

    def _motion(self) -> dict[str, float]:
        if not self.push_n:
            return {}
        return {
            "push_n": self.push_n,
            "push_after_ticks": self._after,
            "push_ticks": self._length,
        }

    def _arrange_objects(self, state: Mapping[str, float]) -> None:
        super()._arrange_objects(state)
        self._push_tick = None
        self._after, self._length = int(state["push_after_ticks"]), int(state["push_ticks"])

    def _move_parts(self) -> None:
        if not self.push_n or not self.subgoals["grasped"]:
            return
        if self._push_tick is None:
            self._push_tick = self.tick + self._after
        done = self.tick - self._push_tick
        if done == 0:
            self.events["push"] = self.tick + 1
        pushed = 0 <= done < self._length
        self.data.qfrc_applied[self._jaw] = self.push_n * _FINGER_M if pushed else 0.0
