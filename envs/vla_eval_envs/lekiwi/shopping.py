"""Shopping: fetch one of three items from a stand and put it in a basket."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from vla_eval.catalog import Task
from vla_eval_envs.lekiwi.arrival import BasketDetector
from vla_eval_envs.lekiwi.base import LeKiwiEnv
from vla_eval_envs.lekiwi.chassis import add_robot
from vla_eval_envs.lekiwi.items import ITEMS, add_items
from vla_eval_envs.lekiwi.states import ShoppingStates
from vla_eval_envs.lekiwi.world import BASKET, add_shop
from vla_eval_envs.manipulation.frozen import DEVELOPMENT_STATES
from vla_eval_envs.manipulation.simulator import mujoco
from vla_eval_envs.so101.predicates import GraspDetector
from vla_eval_envs.so101.world import set_physics

__all__ = ["Shopping"]


class Shopping(LeKiwiEnv):
    """A LeKiwi drives to a stand, picks the requested item, and puts it in a basket.

    ## Description
    A stand of wood with two tiers (10 and 20 cm high) stands in front of the robot: a salt bottle
    (42 mm across, 88 g) and a matcha tin (48 mm, 73 g) on the upper tier, a bar of chocolate
    (32 x 90 x 16 mm, 51 g) on the lower one, each in one of three lanes. A round basket (190 mm
    across, 80 mm high) stands on the floor on the robot's left. Items are held by friction alone.
    One step is 1/30 s: ten physics steps of 1/300 s.

    A task is one instruction, so each item has its own id: ``lekiwi/ShoppingSalt-v0``,
    ``lekiwi/ShoppingMatcha-v0``, ``lekiwi/ShoppingChocolate-v0``.

    ## Action Space
    ``Box(float32, (9,))``: absolute joint targets and the base's velocity, in LeRobot's units.
    Values outside are clipped; another shape or a non-finite value raises ValueError.

    | index | meaning | min | max | unit | joint type |
    |---|---|---|---|---|---|
    | 0 | arm_shoulder_pan.pos | -110 | 110 | degree | hinge |
    | 1 | arm_shoulder_lift.pos | -100 | 100 | degree | hinge |
    | 2 | arm_elbow_flex.pos | -96.8 | 96.8 | degree | hinge |
    | 3 | arm_wrist_flex.pos | -95 | 95 | degree | hinge |
    | 4 | arm_wrist_roll.pos | -157.2 | 157.2 | degree | hinge |
    | 5 | arm_gripper.pos | 0 | 100 | percent | hinge |
    | 6 | x.vel | -0.3 | 0.3 | m/s | slide |
    | 7 | y.vel | -0.3 | 0.3 | m/s | slide |
    | 8 | theta.vel | -90 | 90 | deg/s | hinge |

    The velocity is the body's: x forward, y left, theta counter-clockwise. It is turned into whole
    ticks of the three wheels and limited as LeRobot does it, see
    :mod:`~vla_eval_envs.lekiwi.wheels`; the base reaches it within the step.

    ## Observation Space
    ``{"pixels": {"front": …, "wrist": …, "top": …}, "agent_pos": …}``: three pictures, uint8
    (image_size, image_size, 3), all from cameras on the robot, and its state, float32 (9,).

    | index | meaning | min | max | unit | joint type |
    |---|---|---|---|---|---|
    | 0 | arm_shoulder_pan.pos | -180 | 180 | degree | hinge |
    | 1 | arm_shoulder_lift.pos | -180 | 180 | degree | hinge |
    | 2 | arm_elbow_flex.pos | -180 | 180 | degree | hinge |
    | 3 | arm_wrist_flex.pos | -180 | 180 | degree | hinge |
    | 4 | arm_wrist_roll.pos | -180 | 180 | degree | hinge |
    | 5 | arm_gripper.pos | 0 | 100 | percent | hinge |
    | 6 | x.vel | -1 | 1 | m/s | slide |
    | 7 | y.vel | -1 | 1 | m/s | slide |
    | 8 | theta.vel | -360 | 360 | deg/s | hinge |

    Velocities are the readings of the wheels' servos, in whole ticks, clipped to these bounds.

    ## Score
    0.5 for the grasp of the requested item (``subgoals["grasped"]``: both jaws press on it with more
    than 0.2 N from opposing sides while it is at least 20 mm above its start, for 5 steps; latches)
    and 0.5 for its delivery (``subgoals["placed"]``: its centre inside the basket and below the rim,
    nothing of the robot touching it, slower than 0.05 m/s, for 10 steps; latches, but a first grasp
    after the delivery clears it). Delivering another item in this way makes success impossible:
    ``subgoals["no_wrong_item"]`` becomes false for the rest of the episode and the delivery earns
    nothing, so the score is 0.5 at most. The episode continues. Success is a score of 1. The reward
    is the score's change.

    ## Starting State
    The arm is folded back over the base. Robot and items are at one of 200 frozen places of the
    task (``options={"init_state": 0..199}``; 0 to 99 are for development, 100 to 199 for
    certification): the robot within 5 cm, 8 cm and 11.5 degrees of its mean, the items permuted
    over the lanes (13 cm apart), each within 2 cm across, 1.5 cm (the bar 1.2 cm) in depth, and 0.5
    rad. Without the option the index is drawn from ``np_random``. The seed decides nothing else,
    unless robustness options are on.

    ## Episode End
    Terminated on success. Truncated by the ``TimeLimit`` of 900 steps (30 s) that ``gym.make`` adds.

    ## Arguments
    | name | default | meaning |
    |---|---|---|
    | item | "salt" | the requested item: ``"salt"``, ``"matcha"``, ``"chocolate"``; the id sets it |
    | image_size | 256 | edge of the pictures in pixels |
    | shadows | False | shadows in the pictures; a frame takes several times as long |
    | units | "degrees" | units of actions and ``agent_pos``; or ``"normalized"``, ``"radians"``, see :mod:`~vla_eval_envs.lekiwi.features` |
    | look | "primitives" | look of the arm; ``"meshes"``: its real parts, see :mod:`~vla_eval_envs.so101.meshes` |
    | render_mode | None | ``"rgb_array"``: ``render()`` returns a side view, uint8 (480, 640, 3); ``"human"``: a window |
    | levels | | robustness options, each off at 0 and up to 3: ``light``, ``colours``, ``camera_jitter``, ``distractors``, ``mass_friction``, ``observation_noise``, ``action_latency``; see :mod:`~vla_eval_envs.manipulation.variations` |

    ## Version History
    * v0: first release.
    """

    max_steps = 900
    score_rule = "0.5 grasp + 0.5 in the basket, released"
    frozen: ClassVar[Mapping[str, ShoppingStates]] = {
        item: ShoppingStates(item, seed, sha256)
        for item, seed, sha256 in (
            ("salt", 20260201, "95c6cee772b7615f7cb8fd14f91ebdeb007ab20b085ce302da9b2a6767f97bae"),
            (
                "matcha",
                20260202,
                "5502f8ff1fd337be25133a914a528804c4cbe93e6959246e07b9d4504cad3b6a",
            ),
            (
                "chocolate",
                20260203,
                "feff7025084d62afc197c66c436c4651e340ed9693a44ddb71a337197322a4cc",
            ),
        )
    }
    """The initial states by requested item."""

    @classmethod
    def tasks(cls) -> tuple[Task, ...]:
        """Return the rows of the catalogue: one task for each item."""
        return tuple(
            Task(
                name=f"Shopping{item.capitalize()}",
                env_id=f"vla_eval_envs:lekiwi/Shopping{item.capitalize()}-v0",
                instruction=_instruction(item),
                init_states=frozen.count,
                max_steps=cls.max_steps,
                entry_point=f"{cls.__module__}:{cls.__name__}",
                kwargs={"item": item},
                development_states=DEVELOPMENT_STATES,
            )
            for item, frozen in cls.frozen.items()
        )

    def __init__(
        self,
        *,
        item: str = "salt",
        image_size: int = 256,
        shadows: bool = False,
        units: str = "degrees",
        look: str = "primitives",
        render_mode: str | None = None,
        **levels: int,
    ) -> None:
        if item not in ITEMS:
            raise ValueError(f"item must be one of {', '.join(ITEMS)}, not {item!r}")
        self.item = item
        self._look = look
        self.task_description = _instruction(item)
        super().__init__(
            self.frozen[item].load(),
            image_size=image_size,
            shadows=shadows,
            units=units,
            render_mode=render_mode,
            levels=levels,
        )

    def _bind(self) -> None:
        super()._bind()
        self._grasp = GraspDetector(self.model, self.item)
        self._arrivals = {name: self._basket_detector(name) for name in ITEMS}

    def _basket_detector(self, name: str) -> BasketDetector:
        """Return the detector of an item's arrival in the basket."""
        return BasketDetector(self.model, name, BASKET)

    def _build(self, spec: mujoco.MjSpec) -> None:
        set_physics(spec)
        # Without it, a held cylinder creeps out of the jaws by 0.4 mm a second.
        spec.option.noslip_iterations = 4
        spec.stat.center = [0.3, 0.1, 0.2]
        add_shop(spec)
        add_robot(spec, self._look)
        add_items(spec)

    def _arrange(self, state: Mapping[str, float]) -> None:
        super()._arrange(state)
        for name, item in ITEMS.items():
            place = (
                state[f"{name}_x_m"],
                state[f"{name}_y_m"],
                item.shelf_z + item.half_height,
            )
            self._put(name, place, state[f"{name}_yaw_rad"])

    @property
    def score(self) -> float:
        """Partial credit in [0, 1]: half for the grasp, half for the delivery of that item alone."""
        delivered = self.subgoals["placed"] and self.subgoals["no_wrong_item"]
        return 0.5 * self.subgoals["grasped"] + 0.5 * delivered

    def _watch(self, *, fresh: bool) -> dict[str, bool]:
        if fresh:
            self._grasp.reset(self.data)
            for arrival in self._arrivals.values():
                arrival.reset()
            return {"grasped": False, "placed": False, "no_wrong_item": True}
        grasped, placed = self.subgoals["grasped"], self.subgoals["placed"]
        if not grasped and self._grasp.update(self.data):
            grasped, placed = True, False
        arrived = {name: arrival.update(self.data) for name, arrival in self._arrivals.items()}
        placed = arrived.pop(self.item) or placed
        clean = self.subgoals["no_wrong_item"] and not any(arrived.values())
        return {"grasped": grasped, "placed": placed, "no_wrong_item": clean}


def _instruction(item: str) -> str:
    return f"pick up the {ITEMS[item].phrase} and put it in the basket"
