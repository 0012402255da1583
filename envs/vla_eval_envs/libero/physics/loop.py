"""The physics steps of one control step as compiled code, including the controller.

This saves the time of Python, which in robosuite is more than the time of the physics. MuJoCo's
functions are called by their names in its shared library, because Numba's cache cannot hold pointers
to them.

Import this module only through :func:`vla_eval_envs.libero.install.load`: it first chooses the GL
backend and the folder for Numba's code.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import mujoco
import numpy as np
from llvmlite import binding  # type: ignore[import-untyped]
from numba import types
from numpy.typing import NDArray
from robosuite.utils.control_utils import orientation_error

from vla_eval_envs.libero.jit import compiled
from vla_eval_envs.libero.physics.memory import mujoco_library
from vla_eval_envs.libero.physics.operational_space import quick_torques, robosuite_torques

__all__ = ["ArmModel", "Goal", "State", "gripper_ramp", "physics_steps"]

Array = NDArray[np.float64]
Index = NDArray[np.int64]

binding.load_library_permanently(str(mujoco_library(mujoco)))
_pointers = (types.uintp, types.uintp)
_step1: Any = types.ExternalFunction("mj_step1", types.void(*_pointers))
_step2: Any = types.ExternalFunction("mj_step2", types.void(*_pointers))
_forward: Any = types.ExternalFunction(
    "mj_forwardSkip", types.void(*_pointers, types.int32, types.int32)
)
_jacobian: Any = types.ExternalFunction(
    "mj_jacSite", types.void(*_pointers, *_pointers, types.int32)
)
_VELOCITY = int(mujoco.mjtStage.mjSTAGE_VEL)


class State(NamedTuple):
    """Views of the MuJoCo arrays that the loop reads and writes."""

    position: Array
    """Position of the grasp point in the world frame, (3,) in m."""
    rotation: Array
    """Rotation matrix of the grasp point's frame in the world frame, (9,)."""
    qpos: Array
    qvel: Array
    inertia: Array
    """The mass matrix in MuJoCo's sparse form, (nM,)."""
    bias: Array
    """Coriolis, centrifugal and gravity forces, (nv,)."""
    ctrl: Array
    jacp: Array
    """The grasp point's translational Jacobian, (3, nv)."""
    jacr: Array
    """The grasp point's rotational Jacobian, (3, nv)."""


class ArmModel(NamedTuple):
    """Indices of the arm's n joints, and constants of its controller."""

    site: int
    """Index of the grasp point's site."""
    qpos: Index
    """Indices of the joints in ``qpos``, (n,)."""
    dof: Index
    """Indices of the joints in ``qvel``, (n,)."""
    inertia: Index
    """Indices of the joints' mass matrix in MuJoCo's sparse form, (n, n)."""
    motors: Index
    """Indices of the joints' torques in ``ctrl``, (n,)."""
    fingers: Index
    """Indices of the fingers' targets in ``ctrl``, (2,)."""
    kp: Array
    """Stiffness along x y z and about x y z, (6,)."""
    kd: Array
    """Damping along x y z and about x y z, (6,)."""
    rest: Array
    """Rest position of the joints, to which the redundant degree of freedom is pulled, (n,) in rad."""
    limits: Array
    """Smallest and largest torques, (2, n) in Nm."""


class Goal(NamedTuple):
    """The goal of an action."""

    position: Array
    """Position of the grasp point in the world frame, (3,) in m."""
    rotation: Array
    """Rotation matrix of the grasp point's frame in the world frame, (3, 3)."""
    ramp: Array
    """The fingers' targets in every physics step, (steps, 2) in m."""


@compiled
def physics_steps(
    model: int,
    data: int,
    first: int,
    last: int,
    exact: bool,  # noqa: FBT001  compiled code takes no keywords
    state: State,
    arm: ArmModel,
    goal: Goal,
) -> None:
    """Run the physics steps ``first`` to ``last - 1`` of a control step.

    Args:
        model: address of the ``mjModel``.
        data: address of the ``mjData``.
        first: number of the first step. For step 0 the caller has already done the computations
            before the controller, because the goal depends on them.
        last: number of the step after the last.
        exact: whether to compute torques exactly as robosuite does, and to solve the constraints
            twice before the controller acts. These two solutions are overwritten, but they change
            the start of the third.
        state: MuJoCo's arrays.
        arm: indices of the joints, and the controller's constants.
        goal: targets of the arm and the fingers.
    """
    for step in range(first, last):
        if step > 0:
            _step1(model, data)
            if exact:
                _forward(model, data, _VELOCITY, 1)
                _forward(model, data, _VELOCITY, 1)
        _jacobian(model, data, state.jacp.ctypes.data, state.jacr.ctypes.data, arm.site)
        torques = _torques(state, arm, goal, exact)
        for i in range(arm.motors.size):
            state.ctrl[arm.motors[i]] = torques[i]
        for i in range(arm.fingers.size):
            state.ctrl[arm.fingers[i]] = goal.ramp[step, i]
        _step2(model, data)


@compiled
def _torques(state: State, arm: ArmModel, goal: Goal, exact: bool) -> Array:  # noqa: FBT001
    """Return the torques, (n,) in Nm, that drive the grasp point towards its goal."""
    n = arm.dof.size
    q, v, gravity = np.empty(n), np.empty(n), np.empty(n)
    # Fortran order, as in robosuite, whose arrays are indexed by lists: the layout changes BLAS's rounding.
    mass, jac = np.empty((n, n)).T, np.empty((n, 6)).T
    for i in range(n):
        dof = arm.dof[i]
        q[i], v[i], gravity[i] = state.qpos[arm.qpos[i]], state.qvel[dof], state.bias[dof]
        for j in range(n):
            mass[i, j] = state.inertia[arm.inertia[i, j]]
        for j in range(3):
            jac[j, i] = state.jacp[j, dof]
            jac[j + 3, i] = state.jacr[j, dof]
    error = orientation_error(goal.rotation, state.rotation.reshape(3, 3))
    speed, spin = np.dot(state.jacp, state.qvel), np.dot(state.jacr, state.qvel)
    force = (goal.position - state.position) * arm.kp[:3] + -speed * arm.kd[:3]
    torque = error * arm.kp[3:] + -spin * arm.kd[3:]
    if exact:
        joint = robosuite_torques(mass, jac, force, torque, gravity, arm.rest, q, v)
    else:
        joint = quick_torques(mass, jac, force, torque, gravity, arm.rest, q, v)
    clipped: Array = np.minimum(np.maximum(joint, arm.limits[0]), arm.limits[1])
    return clipped


@compiled
def gripper_ramp(command: Array, direction: Array, bias: Array, weight: Array, steps: int) -> Array:
    """Return the fingers' controls in each physics step, (steps, 2), and update ``command``.

    Args:
        command: normalised targets of the fingers, (2,) in [-1, 1]; changed in place.
        direction: change of ``command`` in one physics step, (2,).
        bias: middle of the fingers' control range, (2,) in m.
        weight: half of the fingers' control range, (2,) in m.
        steps: number of physics steps.
    """
    ramp = np.empty((steps, 2))
    for i in range(steps):
        for j in range(2):
            command[j] = min(max(command[j] + direction[j], -1.0), 1.0)
            ramp[i, j] = bias[j] + weight[j] * command[j]
    return ramp
