"""The Panda and its gripper, driven in every physics step without Python's detours.

Goals are set by robosuite's controller object, once a control step; what robosuite does in each of
the 25 physics steps is done here on indices that were looked up once.
"""

# ruff: noqa: SLF001  robosuite hides nearly all of its interface behind an underscore

from __future__ import annotations

from typing import Any

import mujoco
import numpy as np
from numpy.typing import NDArray

__all__ = ["Arm"]


class Arm:
    """Turns actions into the controls of arm and gripper."""

    def __init__(self, env: Any, torques: Any) -> None:
        """Look up everything.

        Args:
            env: LIBERO's environment, just reset.
            torques: the module ``vla_eval_envs.libero.torques``.
        """
        robot = env.robots[0]
        model = env.sim.model._model
        self._torques = torques
        self._model, self._data = model, env.sim.data._data
        self._controller, self._gripper = robot.controller, robot.gripper
        self._site = int(robot.eef_site_id)
        self._qpos_index = np.array(robot._ref_joint_pos_indexes, dtype=np.int64)
        self._dof_index = np.array(robot._ref_joint_vel_indexes, dtype=np.int64)
        self._motors = np.array(robot._ref_joint_actuator_indexes, dtype=np.int64)
        self._fingers = np.array(robot._ref_joint_gripper_actuator_indexes, dtype=np.int64)
        finger_range = model.actuator_ctrlrange[self._fingers]
        self._bias = 0.5 * (finger_range[:, 1] + finger_range[:, 0])
        self._weight = 0.5 * (finger_range[:, 1] - finger_range[:, 0])
        self._limits = np.array(model.actuator_ctrlrange[self._motors].T, order="C")
        self._kp = np.array(self._controller.kp, dtype=np.float64)
        self._kd = np.array(self._controller.kd, dtype=np.float64)
        self._rest = np.array(self._controller.initial_joint)
        self._jacp, self._jacr = np.zeros((3, model.nv)), np.zeros((3, model.nv))
        self._inertia = np.zeros((model.nv, model.nv))
        # Normalised targets of the fingers: kept open or closed between control steps.
        self._command = np.zeros(2)
        self._ramp = np.zeros((0, 2))
        self._goal_position: NDArray[np.float64] = np.zeros(3)
        self._goal_rotation: NDArray[np.float64] = np.eye(3)
        self.stale = True
        """Whether robosuite's controller still has the state of before the initial state was set,
        and is going to use it in the first physics step after a reset, as it does in LIBERO."""

    def set_goal(self, action: NDArray[np.float32], steps: int) -> None:
        """Take an action, float32 (7,), for the next ``steps`` physics steps.

        Positions must be up to date: ``mj_step1`` has been called.
        """
        controller, data, site = self._controller, self._data, self._site
        if not self.stale:
            controller.ee_pos = data.site_xpos[site].copy()
            controller.ee_ori_mat = data.site_xmat[site].reshape(3, 3).copy()
        # The pose is all that setting a goal needs; without this the controller would run a forward
        # pass of its own to find out.
        controller.new_update = False
        controller.set_goal(action[:6])
        self._goal_position = np.array(controller.goal_pos, dtype=np.float64)
        self._goal_rotation = np.array(controller.goal_ori, dtype=np.float64, order="C")
        direction = np.array([-1.0, 1.0]) * self._gripper.speed * np.sign(action[6:])
        self._ramp = self._torques.gripper_ramp(
            self._command, direction, self._bias, self._weight, steps
        )

    def drive(self, step: int) -> None:
        """Write the controls of physics step ``step`` since the goal was set."""
        ctrl = self._data.ctrl
        ctrl[self._fingers] = self._ramp[step]
        ctrl[self._motors] = self._first_torques() if self.stale else self._arm_torques()

    def _first_torques(self) -> NDArray[np.float64]:
        self.stale = False
        low, high = self._limits
        torques: NDArray[np.float64] = np.clip(self._controller.run_controller(), low, high)
        return torques

    def _arm_torques(self) -> NDArray[np.float64]:
        model, data = self._model, self._data
        mujoco.mj_jacSite(model, data, self._jacp, self._jacr, self._site)
        mujoco.mj_fullM(model, self._inertia, data.qM)
        torques: NDArray[np.float64] = self._torques.arm_torques(
            data.site_xpos[self._site],
            data.site_xmat[self._site],
            self._jacp,
            self._jacr,
            data.qpos,
            data.qvel,
            self._inertia,
            data.qfrc_bias,
            self._qpos_index,
            self._dof_index,
            self._goal_position,
            self._goal_rotation,
            self._kp,
            self._kd,
            self._rest,
            self._limits,
        )
        return torques
