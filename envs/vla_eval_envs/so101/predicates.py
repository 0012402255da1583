"""The conditions for a grasp and for a delivery.

Contact alone is not a grasp: jaws that straddle an object on the way down touch it on both sides.
So an object counts as grasped when, for several steps, both jaws press on it from opposing sides and
it is off the table. It counts as delivered when it lies still at its goal and the arm has released
it.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from vla_eval_envs.manipulation.simulator import mujoco
from vla_eval_envs.so101.arm import jaw_geom_names
from vla_eval_envs.so101.objects import Box

__all__ = [
    "DeliveryDetector",
    "GraspDetector",
    "PlacementDetector",
    "StackDetector",
    "geoms_of",
    "lowest_point",
]

MIN_GRIP_FORCE_N = 0.2
"""Normal force that each jaw must exert; a smaller force is only a touch."""
MAX_NORMALS_COSINE = -0.3
"""Largest cosine of the angle between the jaws' mean inward normals; -1 is exactly opposing."""
MIN_LIFT_M = 0.020
"""Smallest rise of the object's lowest point above its height at the start."""
GRASP_STEPS = 5
"""Consecutive control steps (1/6 s) that a grasp must last."""
MAX_REST_SPEED_MPS = 0.05
"""Speed of the object's centre below which it counts as lying still."""
REST_STEPS = 10
"""Consecutive control steps (1/3 s) that an object must lie still in a box."""
MAX_STACK_SPIN_RADPS = 0.5
"""Angular speed below which a stacked object counts as not rocking."""
STACK_STEPS = 15
"""Consecutive control steps (1/2 s) that an object must lie still on others."""


def geoms_of(model: mujoco.MjModel, body: str) -> tuple[int, ...]:
    """Return the colliding geoms of a body."""
    start, count = int(model.body(body).geomadr[0]), int(model.body(body).geomnum[0])
    return tuple(geom for geom in range(start, start + count) if model.geom_contype[geom])


def lowest_point(model: mujoco.MjModel, data: mujoco.MjData, geom: int) -> float:
    """Return the height (m) of the lowest point of a box or of a cylinder."""
    return _Solid(model, geom).lowest_point(data)


class _Solid:
    """A box or a cylinder, in plain floats, because every step needs it."""

    def __init__(self, model: mujoco.MjModel, geom: int) -> None:
        self._geom = geom
        self._is_cylinder = bool(model.geom_type[geom] == mujoco.mjtGeom.mjGEOM_CYLINDER)
        self._size: list[float] = model.geom_size[geom].tolist()

    def lowest_point(self, data: mujoco.MjData) -> float:
        x, y, z = data.geom_xmat[self._geom, 6:].tolist()
        size = self._size
        if self._is_cylinder:
            depth = abs(z) * size[1] + math.sqrt(max(0.0, 1.0 - z * z)) * size[0]
        else:
            depth = abs(x) * size[0] + abs(y) * size[1] + abs(z) * size[2]
        return float(data.geom_xpos[self._geom, 2] - depth)


class GraspDetector:
    """Watches one object; call ``update`` once a control step and ``reset`` once an episode."""

    def __init__(self, model: mujoco.MjModel, object_name: str) -> None:
        self._model = model
        self._geoms = geoms_of(model, object_name)
        self._solids = [_Solid(model, geom) for geom in self._geoms]
        self._jaws = [
            frozenset(model.geom(name).id for name in names) for names in jaw_geom_names()
        ]
        self._start_height = 0.0
        self._steps = 0
        self._wrench = np.zeros(6)

    def reset(self, data: mujoco.MjData) -> None:
        """Store the object's start height."""
        self._start_height = self._height(data)
        self._steps = 0

    def update(self, data: mujoco.MjData) -> bool:
        """Update the state and return whether the object has now been held up for long enough."""
        lifted = self._height(data) - self._start_height >= MIN_LIFT_M
        self._steps = self._steps + 1 if lifted and self.pressed(data) else 0
        return self._steps >= GRASP_STEPS

    def pressed(self, data: mujoco.MjData) -> bool:
        """Return whether both jaws press on the object from opposing sides."""
        fixed, moving = (self._force(data, jaw) for jaw in self._jaws)
        sizes = float(np.linalg.norm(fixed)), float(np.linalg.norm(moving))
        if min(sizes) <= MIN_GRIP_FORCE_N:
            return False
        return float(fixed @ moving) / (sizes[0] * sizes[1]) <= MAX_NORMALS_COSINE

    def _height(self, data: mujoco.MjData) -> float:
        return min(solid.lowest_point(data) for solid in self._solids)

    def _force(self, data: mujoco.MjData, jaw: frozenset[int]) -> NDArray[np.float64]:
        """Return the sum of a jaw's normal forces on the object, (3,), N, world frame."""
        total = np.zeros(3)
        for index, (first, second) in enumerate(data.contact.geom.tolist()):
            if first in self._geoms and second in jaw:
                sign = -1.0  # the contact's normal points from its first geom to its second
            elif second in self._geoms and first in jaw:
                sign = 1.0
            else:
                continue
            mujoco.mj_contactForce(self._model, data, index, self._wrench)
            total += sign * self._wrench[0] * data.contact[index].frame[:3]
        return total


class DeliveryDetector(ABC):
    """Watches one object and its goal; call ``update`` once a control step, ``reset`` once an episode."""

    steps_needed = REST_STEPS
    max_spin_radps = np.inf

    def __init__(self, model: mujoco.MjModel, object_name: str) -> None:
        self._body = model.body(object_name).id
        self._geoms = frozenset(geoms_of(model, object_name))
        self._dof = int(model.joint(object_name).dofadr[0])
        self._steps = 0

    def reset(self) -> None:
        """Restart the count of steps."""
        self._steps = 0

    def update(self, data: mujoco.MjData) -> bool:
        """Update the state and return whether the object has now lain free and still long enough."""
        velocity = self._velocity(data)
        rests = (
            math.hypot(*velocity[:3]) < MAX_REST_SPEED_MPS
            and math.hypot(*velocity[3:]) < self.max_spin_radps
            and self._at_goal(data)
        )
        self._steps = self._steps + 1 if rests else 0
        return self._steps >= self.steps_needed

    def _velocity(self, data: mujoco.MjData) -> list[float]:
        """Return the object's velocity and angular velocity, (6,), m/s and rad/s."""
        velocity: list[float] = data.qvel[self._dof : self._dof + 6].tolist()
        return velocity

    def _place(self, data: mujoco.MjData) -> list[float]:
        """Return the object's centre, (3,), m."""
        place: list[float] = data.xpos[self._body].tolist()
        return place

    @abstractmethod
    def _at_goal(self, data: mujoco.MjData) -> bool:
        """Return whether the object is at its goal and the arm has released it."""

    def _touching(self, data: mujoco.MjData) -> set[int]:
        """Return the geoms that are in contact with the object."""
        own, touching = self._geoms, set()
        for first, second in data.contact.geom.tolist():
            if first in own:
                touching.add(second)
            elif second in own:
                touching.add(first)
        return touching


class PlacementDetector(DeliveryDetector):
    """The goal: the object is in one of several boxes."""

    def __init__(self, model: mujoco.MjModel, object_name: str, *boxes: Box) -> None:
        super().__init__(model, object_name)
        self._boxes = boxes
        arm = model.body("base").id
        self._arm = frozenset(
            geom for geom in range(model.ngeom) if model.body_rootid[model.geom_bodyid[geom]] == arm
        )

    def _at_goal(self, data: mujoco.MjData) -> bool:
        place = self._place(data)
        inside = any(box.contains(place) for box in self._boxes)
        return inside and not self._touching(data) & self._arm


class StackDetector(DeliveryDetector):
    """The goal: the object lies on other objects and on nothing else, in any orientation."""

    steps_needed = STACK_STEPS
    max_spin_radps = MAX_STACK_SPIN_RADPS

    def __init__(self, model: mujoco.MjModel, object_name: str, supports: Iterable[str]) -> None:
        super().__init__(model, object_name)
        self._supports = frozenset(geom for name in supports for geom in geoms_of(model, name))

    def _at_goal(self, data: mujoco.MjData) -> bool:
        touching = self._touching(data)
        return bool(touching) and touching <= self._supports
