"""robosuite's operational-space controller as one compiled function.

robosuite's own compiled matrix functions are called on arrays of the same memory layout, and the rest
is done in the same order of operations, so that torques are the same to the last bit. What is saved
is the Python around them. Import this module through :func:`vla_eval_envs.libero.install.load` only,
which decides where Numba keeps its code.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray
from robosuite.utils.control_utils import nullspace_torques, opspace_matrices, orientation_error

__all__ = ["arm_torques", "gripper_ramp"]

Array = NDArray[np.float64]
Index = NDArray[np.int64]


@njit(cache=True)
def arm_torques(  # noqa: PLR0913  compiled code takes arrays, not objects
    position: Array,
    rotation: Array,
    jacp: Array,
    jacr: Array,
    qpos: Array,
    qvel: Array,
    inertia: Array,
    bias: Array,
    qpos_index: Index,
    dof_index: Index,
    goal_position: Array,
    goal_rotation: Array,
    kp: Array,
    kd: Array,
    rest: Array,
    limits: Array,
) -> Array:
    """Return the arm's torques, (n,) in Nm, that drive the grasp point towards its goal.

    Args:
        position: of the grasp point in the world, (3,) in m.
        rotation: of the grasp point's frame in the world, (9,).
        jacp: translational Jacobian of the grasp point, (3, nv).
        jacr: rotational Jacobian of the grasp point, (3, nv).
        qpos: joint positions of the whole scene, (nq,).
        qvel: joint velocities of the whole scene, (nv,).
        inertia: mass matrix of the whole scene, (nv, nv).
        bias: Coriolis, centrifugal and gravity forces of the whole scene, (nv,).
        qpos_index: where the arm's joints are in ``qpos``, (n,).
        dof_index: where the arm's joints are in ``qvel``, (n,).
        goal_position: (3,) in m.
        goal_rotation: (3, 3).
        kp: stiffness in x y z and about x y z, (6,).
        kd: damping likewise, (6,).
        rest: joint positions that the redundant degree of freedom is drawn to, (n,) in rad.
        limits: smallest and largest torques, (2, n).
    """
    n = dof_index.size
    q, v, gravity = np.empty(n), np.empty(n), np.empty(n)
    # Fortran order, as robosuite's arrays get from being indexed by lists: BLAS rounds by layout.
    mass = np.empty((n, n)).T
    jac, jac_p, jac_r = np.empty((n, 6)).T, np.empty((n, 3)).T, np.empty((n, 3)).T
    for i in range(n):
        q[i], v[i], gravity[i] = qpos[qpos_index[i]], qvel[dof_index[i]], bias[dof_index[i]]
        for j in range(n):
            mass[i, j] = inertia[dof_index[i], dof_index[j]]
        for j in range(3):
            jac_p[j, i] = jac[j, i] = jacp[j, dof_index[i]]
            jac_r[j, i] = jac[j + 3, i] = jacr[j, dof_index[i]]
    error = orientation_error(goal_rotation, rotation.reshape(3, 3))
    force = (goal_position - position) * kp[:3] + -np.dot(jacp, qvel) * kd[:3]
    torque = error * kp[3:] + -np.dot(jacr, qvel) * kd[3:]
    _, lambda_p, lambda_r, nullspace = opspace_matrices(mass, jac, jac_p, jac_r)
    wrench = np.concatenate((np.dot(lambda_p, force), np.dot(lambda_r, torque)))
    joint = np.dot(jac.T, wrench) + gravity
    joint += nullspace_torques(mass, nullspace, rest, q, v)
    clipped: Array = np.minimum(np.maximum(joint, limits[0]), limits[1])
    return clipped


@njit(cache=True)
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
