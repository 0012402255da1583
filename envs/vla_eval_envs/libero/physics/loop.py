"""The physics steps of one control step as compiled code, controller included.

What is saved is Python, which costs robosuite more than the physics. MuJoCo's functions are called by
their names in its shared library: pointers to them could not be kept in Numba's cache.

Import this module through :func:`vla_eval_envs.libero.install.load` only, which chooses the GL backend
before MuJoCo is imported, and where Numba keeps its code.
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
    """Where MuJoCo keeps what the loop reads and writes: views, not copies."""

    position: Array
    """Of the grasp point in the world, (3,) in m."""
    rotation: Array
    """Of the grasp point's frame in the world, (9,)."""
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
    """The arm's n joints and its controller's constants."""

    site: int
    """The grasp point."""
    qpos: Index
    """Where the joints are in ``qpos``, (n,)."""
    dof: Index
    """Where the joints are in ``qvel``, (n,)."""
    inertia: Index
    """Where the entries of the joints' mass matrix are in MuJoCo's sparse form, (n, n)."""
    motors: Index
    """Where the joints' torques are in ``ctrl``, (n,)."""
    fingers: Index
    """Where the fingers' targets are in ``ctrl``, (2,)."""
    kp: Array
    """Stiffness in x y z and about x y z, (6,)."""
    kd: Array
    """Damping likewise, (6,)."""
    rest: Array
    """Joint positions that the redundant degree of freedom is drawn to, (n,) in rad."""
    limits: Array
    """Smallest and largest torques, (2, n) in Nm."""


class Goal(NamedTuple):
    """What an action asks for."""

    position: Array
    """Of the grasp point in the world, (3,) in m."""
    rotation: Array
    """Of the grasp point's frame in the world, (3, 3)."""
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
        first: number of the first step; for step 0 the caller has done what comes before the
            controller, since the goal depends on it.
        last: number of the step after the last.
        exact: whether to compute torques as robosuite does, and to solve the constraints twice
            before the controller acts; the solutions are overwritten, all but the trace that they
            leave in the start of the third.
        state: where the numbers are.
        arm: which numbers, and the controller's constants.
        goal: what the arm and the fingers shall do.
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
    # Fortran order, as robosuite's arrays get from being indexed by lists: BLAS rounds by layout.
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
    """Return the fingers' controls in each physics step, (steps, 2), and move ``command`` along.

    Args:
        command: normalised targets of the fingers, (2,) in [-1, 1]; changed in place.
        direction: by how much they change in one physics step, (2,).
        bias: middle of the fingers' control range, (2,) in m.
        weight: half of the fingers' control range, (2,) in m.
        steps: how many physics steps.
    """
    ramp = np.empty((steps, 2))
    for i in range(steps):
        for j in range(2):
            command[j] = min(max(command[j] + direction[j], -1.0), 1.0)
            ramp[i, j] = bias[j] + weight[j] * command[j]
    return ramp
