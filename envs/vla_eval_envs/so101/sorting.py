"""Sorting: the red cube into the left box, the green cube into the right box."""

from __future__ import annotations

from collections.abc import Mapping

from vla_eval_envs.manipulation.simulator import mujoco
from vla_eval_envs.so101.delivery import Delivery, DeliveryTask
from vla_eval_envs.so101.frozen import IN_FRONT_HIGH, IN_FRONT_LOW, ONE_OBJECT, FrozenStates
from vla_eval_envs.so101.objects import Box, add_cube
from vla_eval_envs.so101.pick_place import BLOCK_EDGE, BLOCK_MASS, RED
from vla_eval_envs.so101.predicates import DeliveryDetector, PlacementDetector

__all__ = ["BOX_OF", "Sorting"]

_LEFT = Box("left_box", centre=(0.19, 0.19), inner=0.110, wall_height=0.045, wall_thickness=0.003)
_RIGHT = Box(
    "right_box", centre=(0.19, -0.19), inner=0.110, wall_height=0.045, wall_thickness=0.003
)
BOX_OF = {"red": _LEFT, "green": _RIGHT}
"""The goal box of each cube."""
_GREEN = (0.10, 0.52, 0.20)
_BOX_GREY = (0.62, 0.64, 0.67)


class Sorting(DeliveryTask):
    """An SO-101 arm sorts two cubes into two boxes.

    ## Description
    A red and a green 30 mm cube, 11 g each, lie on a cutting mat in front of the arm. Two equal grey
    boxes, 110 x 110 mm inside with walls 45 mm high, stand on its left and on its right: the red
    cube belongs in the left box (+y, the left of the top camera's picture), the green cube in the
    right box.

    ## Action Space, Observation Space, Arguments
    As in :class:`~vla_eval_envs.so101.pick_place.PickPlace`.

    ## Score
    0.25 for each of four subgoals: ``red_grasped``, ``red_placed``, ``green_grasped``,
    ``green_placed``, defined as in :class:`~vla_eval_envs.so101.pick_place.PickPlace`. A cube in
    the wrong box earns nothing for its placement. A grasp latches; a placement counts while the
    cube lies still in its box with nothing of the arm touching it, so a cube that is taken out
    again loses it, and the score can fall. Success is a score of 1. The reward is the score's
    change.

    ## Starting State
    200 frozen pairs of poses, each cube drawn uniformly from x 0.17..0.27 m, y -0.05..0.05 m and
    all yaws, the centres at least 60 mm apart, so that a jaw fits between the cubes.

    ## Episode End
    Terminated on success. Truncated by the ``TimeLimit`` of 900 steps (30 s) that ``gym.make`` adds.

    ## Version History
    * v0: first release.
    """

    task_description = "put the red cube in the left box and the green cube in the right box"
    max_steps = 900
    score_rule = "0.25 per grasp, 0.25 per cube in its box"
    frozen = FrozenStates(
        name="sorting",
        seed=20260103,
        sha256="63c855c58215143ef363b1169d5ce9d25cb5e2b9587682325a326c87d8375000",
        fields=tuple(f"{name}_{field}" for name in ("red", "green") for field in ONE_OBJECT),
        low=IN_FRONT_LOW * 2,
        high=IN_FRONT_HIGH * 2,
        # Room for a jaw between two 30 mm cubes, if the hand turns the right way.
        min_distance_m=0.060,
    )
    deliveries = tuple(Delivery(name, f"{name}_grasped", f"{name}_placed") for name in BOX_OF)
    deliveries_last = False

    def _add_objects(self, spec: mujoco.MjSpec) -> None:
        for name, colour in (("red", RED), ("green", _GREEN)):
            add_cube(spec, name, BLOCK_EDGE, BLOCK_MASS, colour)
            BOX_OF[name].add(spec, _BOX_GREY)

    def _delivery_detector(self, delivery: Delivery) -> DeliveryDetector:
        return PlacementDetector(self.model, delivery.object_name, BOX_OF[delivery.object_name])

    def _arrange_objects(self, state: Mapping[str, float]) -> None:
        for name in BOX_OF:
            place = (state[f"{name}_x_m"], state[f"{name}_y_m"], BLOCK_EDGE / 2)
            self._put(name, place, state[f"{name}_yaw_rad"])
