"""When an object counts as grasped, and when as placed.

Contact alone is not a grasp: jaws that straddle an object on the way down touch it on both sides.
So an object is grasped when both jaws press on it from opposing sides and it has left the table,
for a while. It is placed when it lies still between the walls and the arm has let go of it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vla_eval_envs.so101.arm import jaw_geom_names
from vla_eval_envs.so101.objects import Box
from vla_eval_envs.so101.simulator import mujoco

__all__ = ["GraspDetector", "PlacementDetector", "lowest_point"]

MIN_GRIP_FORCE_N = 0.2
"""Normal force that each jaw must exert; less is a brush."""
MAX_NORMALS_COSINE = -0.3
"""Of the angle between the jaws' mean inward normals; -1 is exactly opposing."""
MIN_LIFT_M = 0.020
"""How far the object's lowest point must be above where it was at the start."""
GRASP_STEPS = 5
"""Consecutive control steps (1/6 s) that a grasp must last."""
MAX_REST_SPEED_MPS = 0.05
"""Speed of the object's centre below which it counts as lying still."""
REST_STEPS = 10
"""Consecutive control steps (1/3 s) that an object must lie still."""


def lowest_point(data: mujoco.MjData, geom: int, half_sizes: NDArray[np.float64]) -> float:
    """Return the height (m) of a box geom's lowest corner."""
    down = np.abs(data.geom_xmat[geom].reshape(3, 3)[2])
    return float(data.geom_xpos[geom, 2] - down @ half_sizes)


@dataclass
class GraspDetector:
    """Watches one box-shaped object; ``update`` once a control step, ``reset`` once an episode."""

    model: mujoco.MjModel
    object_name: str

    def __post_init__(self) -> None:
        self._geom = self.model.geom(self.object_name).id
        self._half_sizes = np.array(self.model.geom_size[self._geom])
        self._jaws = [
            frozenset(self.model.geom(name).id for name in names) for names in jaw_geom_names()
        ]
        self._start_height = 0.0
        self._steps = 0
        self._wrench = np.zeros(6)

    def reset(self, data: mujoco.MjData) -> None:
        """Note where the object starts."""
        self._start_height = lowest_point(data, self._geom, self._half_sizes)
        self._steps = 0

    def update(self, data: mujoco.MjData) -> bool:
        """Return whether the object has been held aloft for long enough, now."""
        height = lowest_point(data, self._geom, self._half_sizes)
        lifted = height - self._start_height >= MIN_LIFT_M
        self._steps = self._steps + 1 if lifted and self.pressed(data) else 0
        return self._steps >= GRASP_STEPS

    def pressed(self, data: mujoco.MjData) -> bool:
        """Return whether both jaws press on the object from opposing sides."""
        fixed, moving = (self._force(data, jaw) for jaw in self._jaws)
        sizes = float(np.linalg.norm(fixed)), float(np.linalg.norm(moving))
        if min(sizes) <= MIN_GRIP_FORCE_N:
            return False
        return float(fixed @ moving) / (sizes[0] * sizes[1]) <= MAX_NORMALS_COSINE

    def _force(self, data: mujoco.MjData, jaw: frozenset[int]) -> NDArray[np.float64]:
        """Return the sum of a jaw's normal forces on the object, (3,), N, world frame."""
        total = np.zeros(3)
        for index in range(data.ncon):
            contact = data.contact[index]
            first, second = contact.geom
            if first == self._geom and second in jaw:
                sign = -1.0  # the contact's normal points from its first geom to its second
            elif second == self._geom and first in jaw:
                sign = 1.0
            else:
                continue
            mujoco.mj_contactForce(self.model, data, index, self._wrench)
            total += sign * self._wrench[0] * contact.frame[:3]
        return total


@dataclass
class PlacementDetector:
    """Watches one object and one box; ``update`` once a control step, ``reset`` once an episode."""

    model: mujoco.MjModel
    object_name: str
    box: Box

    def __post_init__(self) -> None:
        self._body = self.model.body(self.object_name).id
        self._geom = self.model.geom(self.object_name).id
        self._dof = int(self.model.joint(self.object_name).dofadr[0])
        arm = self.model.body("base").id
        self._arm_geoms = frozenset(
            geom
            for geom in range(self.model.ngeom)
            if self.model.body_rootid[self.model.geom_bodyid[geom]] == arm
        )
        self._steps = 0

    def reset(self) -> None:
        """Forget what was seen."""
        self._steps = 0

    def update(self, data: mujoco.MjData) -> bool:
        """Return whether the object has lain free and still in the box for long enough, now."""
        speed = float(np.linalg.norm(data.qvel[self._dof : self._dof + 3]))
        rests = (
            speed < MAX_REST_SPEED_MPS
            and self.box.contains(data.xpos[self._body])
            and not self._touched(data)
        )
        self._steps = self._steps + 1 if rests else 0
        return self._steps >= REST_STEPS

    def _touched(self, data: mujoco.MjData) -> bool:
        """Return whether any part of the arm is in contact with the object."""
        for contact in data.contact.geom:
            first, second = int(contact[0]), int(contact[1])
            if first == self._geom and second in self._arm_geoms:
                return True
            if second == self._geom and first in self._arm_geoms:
                return True
        return False
