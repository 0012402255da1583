"""Pick and place: the red block into the box."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from vla_eval_envs.manipulation.simulator import mujoco
from vla_eval_envs.so101.delivery import Delivery, DeliveryTask
from vla_eval_envs.so101.frozen import FrozenStates
from vla_eval_envs.so101.objects import Box, add_cube
from vla_eval_envs.so101.predicates import DeliveryDetector, PlacementDetector

__all__ = ["BLOCK_EDGE", "BLOCK_MASS", "BOX", "BOX_BLUE", "RED", "PickPlace"]

BLOCK_EDGE = 0.030
"""Edge of the block, m."""
BLOCK_MASS = 0.011
"""Mass of the printed, hollow block, kg."""
BOX = Box("box", centre=(0.20, 0.19), inner=0.110, wall_height=0.045, wall_thickness=0.003)
RED = (0.80, 0.07, 0.06)
BOX_BLUE = (0.22, 0.40, 0.68)


class PickPlace(DeliveryTask):
    """An SO-101 arm picks a red block from a table and puts it into an open box.

    ## Description
    A 30 mm, 11 g block lies on a cutting mat in front of the arm; a blue box with walls 45 mm high
    and 110 x 110 mm inside stands on its left. The block is held by friction alone. One step is
    1/30 s: ten physics steps of 1/300 s.

    ## Action Space
    ``Box(float32, (6,))``: absolute joint targets in LeRobot's units. Values outside are clipped;
    another shape or a non-finite value raises ValueError.

    | index | meaning | min | max | unit | joint type |
    |---|---|---|---|---|---|
    | 0 | shoulder_pan.pos | -110 | 110 | degree | hinge |
    | 1 | shoulder_lift.pos | -100 | 100 | degree | hinge |
    | 2 | elbow_flex.pos | -96.8 | 96.8 | degree | hinge |
    | 3 | wrist_flex.pos | -95 | 95 | degree | hinge |
    | 4 | wrist_roll.pos | -157.2 | 157.2 | degree | hinge |
    | 5 | gripper.pos | 0 | 100 | percent | hinge |

    Zero of the first five is mid-range; the gripper's 0 is closed and 100 open (-10 and 100
    degrees of the jaw).

    ## Observation Space
    ``{"pixels": {"top": …, "wrist": …}, "agent_pos": …}``: two pictures, uint8
    (image_size, image_size, 3), and the joints' positions, float32 (6,).

    | index | meaning | min | max | unit | joint type |
    |---|---|---|---|---|---|
    | 0 | shoulder_pan.pos | -180 | 180 | degree | hinge |
    | 1 | shoulder_lift.pos | -180 | 180 | degree | hinge |
    | 2 | elbow_flex.pos | -180 | 180 | degree | hinge |
    | 3 | wrist_flex.pos | -180 | 180 | degree | hinge |
    | 4 | wrist_roll.pos | -180 | 180 | degree | hinge |
    | 5 | gripper.pos | 0 | 100 | percent | hinge |

    End stops are soft, so an impact can push a joint past its command range; the bounds are what
    the servo's encoder can report. As in LeRobot, the gripper's reading is clipped to 0..100.

    ## Score
    0.5 for the grasp (``subgoals["grasped"]``: both jaws press on the block with more than 0.2 N
    from opposing sides while it is at least 20 mm up, for 5 steps) and 0.5 for the placement
    (``subgoals["placed"]``: the block's centre between the walls and below their rim, nothing of the
    arm touching it, slower than 0.05 m/s, for 10 steps). Both latch, and they are independent: a
    block that is pushed into the box earns the second half alone. A grasp after that takes the
    block out again, so it clears ``placed``; the score never falls. Success is a score of 1. The
    reward is the score's increase.

    ## Starting State
    The arm is folded back with the gripper closed. The block is at one of 200 frozen poses
    (``options={"init_state": 0..199}``), drawn uniformly from x 0.17..0.27 m, y -0.05..0.05 m and
    all yaws; without the option the index is drawn from ``np_random``. The seed decides nothing
    else, unless robustness options are on.

    ## Episode End
    Terminated on success. Truncated by the ``TimeLimit`` of 600 steps (20 s) that ``gym.make`` adds.

    ## Arguments
    | name | default | meaning |
    |---|---|---|
    | image_size | 256 | edge of the pictures in pixels |
    | shadows | False | shadows in the pictures; a frame takes several times as long |
    | units | "degrees" | units of actions and ``agent_pos``; or ``"normalized"``, ``"radians"``, see :mod:`~vla_eval_envs.so101.units` |
    | look | "primitives" | look of the arm; ``"meshes"``: its real parts, see :mod:`~vla_eval_envs.so101.meshes` |
    | render_mode | None | ``"rgb_array"``: ``render()`` returns a side view, uint8 (480, 640, 3); ``"human"``: a window |
    | levels | | robustness options, each off at 0 and up to 3: ``light``, ``colours``, ``camera_jitter``, ``distractors``, ``mass_friction``, ``observation_noise``, ``action_latency``; see :mod:`~vla_eval_envs.manipulation.variations` |

    ## Version History
    * v0: first release.
    """

    task_description = "grasp the red block and put it in the box"
    max_steps = 600
    score_rule = "0.5 grasp + 0.5 placement"
    frozen = FrozenStates(
        name="pick_place",
        seed=20260101,
        sha256="69c56d54d8b5f9abe5b07c7f8be9e10f18dfcf05eb72c1507441c760e490d828",
    )
    deliveries = (Delivery("block", "grasped", "placed"),)
    boxes: ClassVar[tuple[Box, ...]] = (BOX,)

    def _add_objects(self, spec: mujoco.MjSpec) -> None:
        add_cube(spec, "block", BLOCK_EDGE, BLOCK_MASS, RED)
        for box in self.boxes:
            box.add(spec, BOX_BLUE)

    def _delivery_detector(self, delivery: Delivery) -> DeliveryDetector:
        return PlacementDetector(self.model, delivery.object_name, *self.boxes)

    def _arrange_objects(self, state: Mapping[str, float]) -> None:
        self._put("block", (state["x_m"], state["y_m"], BLOCK_EDGE / 2), state["yaw_rad"])
