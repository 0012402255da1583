"""Torques of operational-space control as compiled code: one exact variant and one fast variant.

With mass matrix M, Jacobian J and Λ = (J M⁻¹ Jᵀ)⁻¹, wanted force f and torque t at the grasp point,
and joint accelerations p towards the rest position, robosuite commands
τ = Jᵀ [Λ_p f, Λ_r t] + gravity + (I - M⁻¹ Jᵀ Λ J)ᵀ M p, where Λ_p and Λ_r belong to the upper and
the lower half of J alone. The last term is M p - Jᵀ Λ J p, which needs no inverse of M.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from robosuite.utils.control_utils import nullspace_torques, opspace_matrices

from vla_eval_envs.libero.jit import compiled

__all__ = ["quick_torques", "robosuite_torques"]

Array = NDArray[np.float64]

# robosuite's stiffness (1/s²) of the pull to the rest position; damped critically.
_STIFFNESS = 10.0
_DAMPING = 2 * np.sqrt(_STIFFNESS)


@compiled
def robosuite_torques(
    mass: Array,
    jac: Array,
    force: Array,
    torque: Array,
    gravity: Array,
    rest: Array,
    q: Array,
    v: Array,
) -> Array:
    """Return robosuite's torques to the last bit.

    It calls robosuite's own functions on arrays of the same memory layout, and keeps the order of all
    other operations.

    Args:
        mass: mass matrix, (n, n), in Fortran order.
        jac: Jacobian of the grasp point, translation first, (6, n), in Fortran order.
        force: wanted force at the grasp point, (3,).
        torque: wanted torque at the grasp point, (3,).
        gravity: torques that compensate gravity, (n,) in Nm.
        rest: rest position of the joints, to which the redundant degree of freedom is pulled, (n,)
            in rad.
        q: joint positions, (n,) in rad.
        v: joint velocities, (n,) in rad/s.

    Returns:
        Torques before limiting, (n,) in Nm.
    """
    jac_p, jac_r = np.empty((q.size, 3)).T, np.empty((q.size, 3)).T
    jac_p[:], jac_r[:] = jac[:3], jac[3:]
    _, lambda_p, lambda_r, nullspace = opspace_matrices(mass, jac, jac_p, jac_r)
    wrench = np.concatenate((np.dot(lambda_p, force), np.dot(lambda_r, torque)))
    joint: Array = np.dot(jac.T, wrench) + gravity
    joint += nullspace_torques(mass, nullspace, rest, q, v)
    return joint


@compiled
def quick_torques(
    mass: Array,
    jac: Array,
    force: Array,
    torque: Array,
    gravity: Array,
    rest: Array,
    q: Array,
    v: Array,
) -> Array:
    """Return the same torques up to rounding, from triangular factors instead of inverses.

    If rounding makes a matrix impossible to factor, robosuite's pseudo-inverses are used. Arguments
    and result are as in :func:`robosuite_torques`.
    """
    pull = _STIFFNESS * (rest - q) - _DAMPING * v
    wrench, pulled = np.concatenate((force, torque)), np.dot(jac, pull)
    root, halves = mass.copy(), jac.T.copy()  # both are solved in place
    if not _factor(root):
        return robosuite_torques(mass, jac, force, torque, gravity, rest, q, v)
    _forward_substitute(root, halves)
    both = np.dot(halves.T, halves)
    upper, lower = both[:3, :3].copy(), both[3:, 3:].copy()
    if not (_factor(upper) and _factor(lower) and _factor(both)):
        return robosuite_torques(mass, jac, force, torque, gravity, rest, q, v)
    _solve(upper, wrench[:3])
    _solve(lower, wrench[3:])
    _solve(both, pulled)
    joint: Array = gravity + np.dot(mass, pull) + np.dot(jac.T, wrench - pulled)
    return joint


@compiled
def _factor(matrix: Array) -> bool:
    """Replace a symmetric matrix by its lower Cholesky factor; return whether the factor exists."""
    for j in range(matrix.shape[0]):
        for i in range(j, matrix.shape[0]):
            rest = matrix[i, j]
            for k in range(j):
                rest -= matrix[i, k] * matrix[j, k]
            if i > j:
                matrix[i, j] = rest / matrix[j, j]
            elif rest > 0:
                matrix[j, j] = np.sqrt(rest)
            else:
                return False
    return True


@compiled
def _forward_substitute(root: Array, columns: Array) -> None:
    """Solve root · x = column for every column, in place."""
    for i in range(root.shape[0]):
        for j in range(columns.shape[1]):
            for k in range(i):
                columns[i, j] -= root[i, k] * columns[k, j]
            columns[i, j] /= root[i, i]


@compiled
def _solve(root: Array, vector: Array) -> None:
    """Solve root · rootᵀ · x = vector in place."""
    n = vector.size
    for i in range(n):
        for k in range(i):
            vector[i] -= root[i, k] * vector[k]
        vector[i] /= root[i, i]
    for i in range(n - 1, -1, -1):
        for k in range(i + 1, n):
            vector[i] -= root[k, i] * vector[k]
        vector[i] /= root[i, i]
