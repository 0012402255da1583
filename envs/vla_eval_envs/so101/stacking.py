"""Stacking: the orange toy onto four coloured blocks."""

from __future__ import annotations

from collections.abc import Mapping

from vla_eval_envs.manipulation.simulator import mujoco
from vla_eval_envs.so101.delivery import Delivery, DeliveryTask
from vla_eval_envs.so101.frozen import FrozenStates
from vla_eval_envs.so101.objects import TOY_SIZE, Colour, add_cube, add_toy
from vla_eval_envs.so101.predicates import DeliveryDetector, StackDetector

__all__ = ["BLOCK_EDGE", "PLATFORM", "Stacking"]

BLOCK_EDGE = 0.028
"""Edge of a block, m."""
PLATFORM = (0.20, 0.16)
"""Centre (x, y) of the four blocks, m."""
_BLOCK_MASS = 0.009
_PITCH = 0.0285  # gaps of half a millimetre: neighbouring blocks touch only when they are pushed
_ORANGE = (0.93, 0.33, 0.03)  # redder than the arm
_BLOCKS: dict[str, tuple[Colour, tuple[float, float]]] = {
    "blue_block": ((0.10, 0.25, 0.70), (-0.5, 0.5)),
    "yellow_block": ((0.92, 0.76, 0.08), (0.5, 0.5)),
    "green_block": ((0.10, 0.52, 0.20), (-0.5, -0.5)),
    "purple_block": ((0.42, 0.16, 0.55), (0.5, -0.5)),
}
"""Colour of each block, and its position relative to the platform's centre in units of the pitch."""


class Stacking(DeliveryTask):
    """An SO-101 arm puts a toy on a platform of four loose blocks.

    ## Description
    An orange toy, 36 x 25 x 25 mm with a head of 10 mm, 18 g, stands on a cutting mat in front of
    the arm. On its left four loose 28 mm blocks, 9 g each, blue, yellow, green and purple, form a
    square platform.

    ## Action Space, Observation Space, Episode End, Arguments
    As in :class:`~vla_eval_envs.so101.pick_place.PickPlace`.

    ## Score
    0.5 for the grasp, as in :class:`~vla_eval_envs.so101.pick_place.PickPlace`, and 0.5 for
    ``subgoals["stacked"]``: the toy touches one or more of the blocks and nothing else (not the
    table, not the arm), is slower than 0.05 m/s and 0.5 rad/s, for 15 steps. Its orientation does
    not matter. Both latch; a first grasp clears ``stacked``. Success is a score of 1. The reward is the
    score's increase.

    ## Starting State
    The toy stands at one of 200 frozen poses, drawn uniformly from x 0.17..0.27 m, y -0.05..0.05 m
    and all yaws. The platform is always at (0.20, 0.16) m.

    ## Version History
    * v0: first release.
    """

    task_description = "put the orange toy on the coloured blocks"
    max_steps = 600
    score_rule = "0.5 grasp + 0.5 stacked and settled"
    frozen = FrozenStates(
        name="stacking",
        seed=20260102,
        sha256="9de5ce1bab6716b4f5b7ca2db22137cd22c82f6187fbe336f97d02dbe6e4454c",
    )
    deliveries = (Delivery("toy", "grasped", "stacked"),)

    def _add_objects(self, spec: mujoco.MjSpec) -> None:
        add_toy(spec, "toy", _ORANGE)
        for name, (colour, (x, y)) in _BLOCKS.items():
            place = (PLATFORM[0] + x * _PITCH, PLATFORM[1] + y * _PITCH)
            add_cube(spec, name, BLOCK_EDGE, _BLOCK_MASS, colour, place)

    def _delivery_detector(self, delivery: Delivery) -> DeliveryDetector:
        return StackDetector(self.model, delivery.object_name, _BLOCKS)

    def _arrange_objects(self, state: Mapping[str, float]) -> None:
        self._put("toy", (state["x_m"], state["y_m"], TOY_SIZE[2] / 2), state["yaw_rad"])
