"""Orientations in the conventions of trained policies."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["AxisAngle", "axis_angle", "matrix_to_quaternion"]

AxisAngle = Literal["lerobot", "folded"]
"""``lerobot``: uses the quaternion unchanged, angle 2·acos(w) in [0, 2π]. ``folded``: uses q or -q so
that w >= 0, angle in [0, π]. A policy is trained on one of the two, most on ``lerobot``."""


def axis_angle(quaternion: ArrayLike, convention: AxisAngle = "lerobot") -> NDArray[np.float32]:
    """Return the rotation vector of a quaternion, float32 (3,), in rad.

    The computation is the same as in LeRobot's ``LiberoProcessorStep`` and in robosuite's
    ``quat2axisangle``, in single precision as in LeRobot.

    Args:
        quaternion: unit quaternion x y z w, (4,).
        convention: choice between the two quaternions of a rotation, see :data:`AxisAngle`.
    """
    q = np.asarray(quaternion, dtype=np.float32)
    if convention == "folded" and q[3] < 0:
        q = -q
    w = np.clip(q[3], np.float32(-1), np.float32(1))
    sine = np.sqrt(np.maximum(np.float32(1) - w * w, np.float32(0)))
    if sine <= 1e-10:
        return np.zeros(3, dtype=np.float32)
    rotation: NDArray[np.float32] = (q[:3] / sine * (np.float32(2) * np.arccos(w))).astype(
        np.float32
    )
    return rotation


def matrix_to_quaternion(matrix: ArrayLike) -> NDArray[np.float64]:
    """Return the unit quaternion x y z w, float64 (4,), with w >= 0, of a rotation matrix (3, 3).

    Shepperd's method: divide by the largest component, which is at least 1/2.
    """
    m = np.asarray(matrix, dtype=np.float64)
    trace = float(np.trace(m))
    # Four times each squared component, in the order x y z w.
    squares = np.array([*(1 + 2 * np.diag(m) - trace), 1 + trace])
    biggest = int(np.argmax(squares))
    mixed = np.array(
        [
            [squares[0], m[0, 1] + m[1, 0], m[0, 2] + m[2, 0], m[2, 1] - m[1, 2]],
            [m[0, 1] + m[1, 0], squares[1], m[1, 2] + m[2, 1], m[0, 2] - m[2, 0]],
            [m[0, 2] + m[2, 0], m[1, 2] + m[2, 1], squares[2], m[1, 0] - m[0, 1]],
            [m[2, 1] - m[1, 2], m[0, 2] - m[2, 0], m[1, 0] - m[0, 1], squares[3]],
        ]
    )
    q = mixed[biggest] / np.linalg.norm(mixed[biggest])
    quaternion: NDArray[np.float64] = q if q[3] >= 0 else -q
    return quaternion
