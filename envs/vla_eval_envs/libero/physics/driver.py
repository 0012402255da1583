"""The Panda and its gripper: goals from actions, and the inputs of the compiled loop."""

# ruff: noqa: SLF001  robosuite hides nearly all of its interface behind an underscore

from __future__ import annotations

from typing import Any

import mujoco
import numpy as np
from numpy.typing import NDArray

from vla_eval_envs.libero.physics import loop

__all__ = ["Driver"]


class Driver:
    """Runs control steps: goals are set by robosuite's controller, physics runs in compiled code."""

    def __init__(self, env: Any, steps: int, *, exact: bool) -> None:
        """Look up everything once.

        Args:
            env: LIBERO's environment, just reset.
            steps: physics steps in a control step.
            exact: whether to run the constraint solver as often as robosuite does.
        """
        robot = env.robots[0]
        self._model, self._data = env.sim.model._model, env.sim.data._data
        self._controller, self._speed = robot.controller, robot.gripper.speed
        self._steps, self._exact = steps, exact
        self._arm = _arm(robot, self._model)
        self._state = _state(self._model, self._data, self._arm.site)
        finger_range = self._model.actuator_ctrlrange[self._arm.fingers]
        self._finger_bias = 0.5 * (finger_range[:, 1] + finger_range[:, 0])
        self._finger_weight = 0.5 * (finger_range[:, 1] - finger_range[:, 0])
        # Normalised targets of the fingers; a control step continues with those of the last one.
        self._finger_command = np.zeros(2)
        # After a reset robosuite's controller still has the state from before the initial state was
        # set, and uses it for the goal and the torques of the first physics step.
        self._stale = True
        self._goal = loop.Goal(np.zeros(3), np.eye(3), np.zeros((steps, 2)))
        self._done = 0

    def begin(self, action: NDArray[np.float32]) -> None:
        """Start a control step with an action, float32 (7,)."""
        model, data = self._model, self._data
        mujoco.mj_step1(model, data)
        if self._exact:
            # robosuite's environment runs a forward pass; so does its controller, unless it is stale.
            for _ in range(1 if self._stale else 2):
                mujoco.mj_forwardSkip(model, data, mujoco.mjtStage.mjSTAGE_VEL, 1)
        self._set_goal(action)
        self._done = 0
        if self._stale:
            self._stale = False
            self._data.ctrl[self._arm.fingers] = self._goal.ramp[0]
            self._data.ctrl[self._arm.motors] = np.clip(
                self._controller.run_controller(), *self._arm.limits
            )
            mujoco.mj_step2(model, data)
            self._done = 1

    def run(self, until: int) -> None:
        """Run the physics steps of the control step up to, but not including, number ``until``."""
        loop.physics_steps(
            self._model._address,
            self._data._address,
            self._done,
            until,
            self._exact,
            self._state,
            self._arm,
            self._goal,
        )
        self._done = until

    def _set_goal(self, action: NDArray[np.float32]) -> None:
        controller = self._controller
        if not self._stale:
            controller.ee_pos = self._state.position.copy()
            controller.ee_ori_mat = self._state.rotation.reshape(3, 3).copy()
        # Setting a goal needs only the pose. Without this flag the controller would run its own
        # forward pass to compute it.
        controller.new_update = False
        controller.set_goal(action[:6])
        direction = np.array([-1.0, 1.0]) * self._speed * np.sign(action[6:])
        self._goal = loop.Goal(
            np.array(controller.goal_pos, dtype=np.float64),
            np.array(controller.goal_ori, dtype=np.float64, order="C"),
            loop.gripper_ramp(
                self._finger_command,
                direction,
                self._finger_bias,
                self._finger_weight,
                self._steps,
            ),
        )


def _arm(robot: Any, model: Any) -> loop.ArmModel:
    controller = robot.controller
    motors = np.array(robot._ref_joint_actuator_indexes, dtype=np.int64)
    dof = np.array(robot._ref_joint_vel_indexes, dtype=np.int64)
    # Expanding the indices of the sparse entries gives the position of each entry.
    where = np.zeros((model.nv, model.nv))
    mujoco.mj_fullM(model, where, np.arange(model.nM, dtype=np.float64))
    return loop.ArmModel(
        site=int(robot.eef_site_id),
        qpos=np.array(robot._ref_joint_pos_indexes, dtype=np.int64),
        dof=dof,
        inertia=where[np.ix_(dof, dof)].astype(np.int64),
        motors=motors,
        fingers=np.array(robot._ref_joint_gripper_actuator_indexes, dtype=np.int64),
        kp=np.array(controller.kp, dtype=np.float64),
        kd=np.array(controller.kd, dtype=np.float64),
        rest=np.array(controller.initial_joint, dtype=np.float64),
        limits=np.array(model.actuator_ctrlrange[motors].T, order="C"),
    )


def _state(model: Any, data: Any, site: int) -> loop.State:
    return loop.State(
        position=data.site_xpos[site],
        rotation=data.site_xmat[site],
        qpos=data.qpos,
        qvel=data.qvel,
        inertia=data.qM,
        bias=data.qfrc_bias,
        ctrl=data.ctrl,
        jacp=np.zeros((3, model.nv)),
        jacr=np.zeros((3, model.nv)),
    )
