"""Base of every LeKiwi task: the robot, its actions, its cameras."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from vla_eval.catalog import Task
from vla_eval.environment import Action
from vla_eval_envs.lekiwi.chassis import CAMERA_NAMES, DRIVE_JOINTS
from vla_eval_envs.lekiwi.features import ARM_JOINTS, FEATURE_NAMES, UNIT_SYSTEMS, LeKiwiUnits
from vla_eval_envs.lekiwi.wheels import from_ticks, to_ticks
from vla_eval_envs.lekiwi.world import DISTRACTORS
from vla_eval_envs.manipulation.env import ManipulationEnv, render_metadata
from vla_eval_envs.manipulation.units import choose_units
from vla_eval_envs.so101.arm import jaw_geom_names
from vla_eval_envs.so101.units import JOINT_NAMES, to_radians

__all__ = ["HOME", "LeKiwiEnv"]

HOME = (0.0, -100.0, 80.0, 88.0, 0.0, 0.0)
"""The arm's start in LeRobot's units: folded back over the base, gripper closed."""
_HOME_RAD = to_radians(HOME)
_WATCHDOG_S = 0.5
"""LeRobot's LeKiwi host stops the base after this time without a command."""


class LeKiwiEnv(ManipulationEnv[LeKiwiUnits]):
    """Base of the LeKiwi tasks.

    A task is one module of this package. It sets ``max_steps`` and ``score_rule`` and implements the
    abstract methods. Its expert has the task's name followed by "Expert", and is in the
    module of the same name in ``vla_eval_policies.experts.lekiwi``.
    """

    max_steps: ClassVar[int]
    """Time limit of ``gym.make``, in steps of 1/30 s; a protocol sets its own."""
    score_rule: ClassVar[str]
    """The parts of the score in a few words; for docs/tasks.md."""
    camera_names = CAMERA_NAMES
    distractors = DISTRACTORS
    gripping_geoms = (*jaw_geom_names()[0], *jaw_geom_names()[1])
    reading_noise = np.array([*[np.deg2rad(0.25)] * ARM_JOINTS, 0.005, 0.005, np.deg2rad(1.0)])
    metadata: dict[str, Any] = render_metadata(FEATURE_NAMES)

    def __init__(
        self,
        states: Sequence[Mapping[str, float]],
        *,
        image_size: int,
        shadows: bool,
        units: str,
        render_mode: str | None,
        levels: Mapping[str, int],
    ) -> None:
        super().__init__(
            states,
            choose_units(UNIT_SYSTEMS, units),
            image_size=image_size,
            shadows=shadows,
            render_mode=render_mode,
            levels=levels,
        )

    @classmethod
    @abstractmethod
    def tasks(cls) -> tuple[Task, ...]:
        """Return the rows of the catalogue: one for each instruction of this class."""

    def _bind(self) -> None:
        model = self.model
        self._drive = [int(model.joint(name).qposadr[0]) for name in DRIVE_JOINTS]
        self._arm = [int(model.joint(name).qposadr[0]) for name in JOINT_NAMES]
        self._servos = [model.actuator(name).id for name in (*JOINT_NAMES, *DRIVE_JOINTS)]

    def _arrange(self, state: Mapping[str, float]) -> None:
        pose = (state["base_x_m"], state["base_y_m"], state["base_yaw_rad"])
        self.data.qpos[self._drive] = pose
        self.data.qpos[self._arm] = _HOME_RAD
        self.data.ctrl[self._servos[:ARM_JOINTS]] = _HOME_RAD

    def _control(self, action: NDArray[np.float64]) -> NDArray[np.float64]:
        values = self.units.to_si(action)
        values[ARM_JOINTS:] = from_ticks(to_ticks(values[ARM_JOINTS:]))
        control = np.empty(len(values))
        control[self._servos] = values
        return control

    def _readings(self) -> NDArray[np.float64]:
        """Return joint positions, rad, and the velocity that the wheels report, m/s and rad/s, (9,)."""
        wheels = from_ticks(to_ticks(self._base_velocity(), limit=None))
        return np.append(self.joint_angles(), wheels)

    def hold_action(self) -> Action:
        """Return the action, float32 (9,), that keeps the arm where it is and the base at rest."""
        return self.units.action(np.append(self.joint_angles(), np.zeros(3)))

    def stall_action(self, last: Action, ticks: int) -> Action:
        """Return the last command of the arm; the base keeps its velocity for 0.5 s, then stops.

        That is what LeRobot's host does without new commands: wheels keep their goal velocity until the
        watchdog (``watchdog_timeout_ms = 500``) stops the base.
        """
        if ticks <= _WATCHDOG_S * self.metadata["render_fps"]:
            return last
        return np.append(last[:ARM_JOINTS], np.zeros(3)).astype(np.float32)

    def joint_angles(self) -> NDArray[np.float64]:
        """Return the arm's joint positions (6,), rad."""
        return np.array(self.data.qpos[self._arm])

    def base_pose(self) -> NDArray[np.float64]:
        """Return the pose of the base in the world frame: x, y (m), yaw (rad)."""
        return np.array(self.data.qpos[self._drive])

    def _base_velocity(self) -> NDArray[np.float64]:
        """Return the velocity of the base in its own frame: x, y (m/s), turning (rad/s)."""
        x, y, turning = self.data.qvel[self._drive]  # slides and hinge: qvel and qpos run parallel
        yaw = self.data.qpos[self._drive[2]]
        cos, sin = np.cos(yaw), np.sin(yaw)
        return np.array([cos * x + sin * y, cos * y - sin * x, turning])
