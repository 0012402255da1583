"""The Panda's hand as boxes in the frame of its grasp point: x closes, z points out of the hand."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "HALF_HAND_M",
    "MAX_WIDTH_M",
    "PAD_Z_M",
    "TIP_M",
    "between",
    "blocked",
    "facing",
    "hand_points",
    "top_down",
]

TIP_M = 0.0092
"""How far the finger tips reach beyond the grasp point."""
PAD_Z_M = (-0.0116, 0.0044)
"""Where the pads are along z."""
MAX_WIDTH_M = 0.068
"""The widest thing that is grasped; the fingers open to 0.076 m."""

HALF_HAND_M = 0.034
"""Half the hand's width across the closing axis."""

# Each half of the open hand: x from, x to, half width along y, lowest z. Everything above the
# lowest z counts as taken, for the hand came from there. Measured on robosuite's collision meshes,
# with some millimetres for the controller's error.
_BOXES = (
    (0.0365, 0.0555, 0.012, TIP_M + 0.003),
    (0.0385, 0.0665, 0.012, -0.012),
    (0.0, 0.105, HALF_HAND_M, -0.029),
)
_REACH_BACK_M = 0.25


def blocked(points: NDArray[np.float64]) -> bool:
    """Return whether the open hand, come along its z axis, touches points, (n, 3), in its frame."""
    points = points[points[:, 2] < _BOXES[0][3]]
    x, y, z = np.abs(points[:, 0]), np.abs(points[:, 1]), points[:, 2]
    x = np.where(z > -_REACH_BACK_M, x, np.inf)
    return any(
        bool(np.any((x > near) & (x < far) & (y < half) & (z < low)))
        for near, far, half, low in _BOXES
    )


def between(points: NDArray[np.float64]) -> bool:
    """Return whether points, (n, 3) in the hand's frame, are where the fingers close."""
    x, y, z = np.abs(points).T[0], np.abs(points).T[1], points[:, 2]
    return bool(np.any((x < _BOXES[0][0]) & (y < _BOXES[0][2]) & (z < TIP_M) & (z > -0.03)))


def hand_points() -> NDArray[np.float64]:
    """Return points on the lower faces of the open hand, as it is when it lets go, (n, 3), in its frame."""
    parts = []
    for near, far, half, low in ((0.0365, 0.0555, 0.0105, TIP_M), (0.0, 0.104, 0.032, -0.031)):
        xs = np.linspace(near, far, int((far - near) / 0.005) + 2)
        ys = np.linspace(-half, half, int(2 * half / 0.005) + 2)
        x, y = (grid.ravel() for grid in np.meshgrid(xs, ys))
        z = np.full_like(x, low)
        parts += [np.stack([x, y, z], axis=1), np.stack([-x, y, z], axis=1)]
    return np.concatenate(parts)


def facing(approach: NDArray[np.float64], closing: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the hand's rotation, (3, 3), for where it points and along what it closes.

    Args:
        approach: (3,), the direction that the hand points to, any length.
        closing: (3,), the direction that the fingers close along; made perpendicular to it.
    """
    z = approach / np.linalg.norm(approach)
    x = closing - z * float(z @ closing)
    x = x / np.linalg.norm(x)
    return np.stack([x, np.cross(z, x), z], axis=1)


def top_down(yaw: float) -> NDArray[np.float64]:
    """Return the rotation of a hand that points down and closes along ``yaw`` in rad from +x."""
    return facing(np.array([0.0, 0.0, -1.0]), np.array([np.cos(yaw), np.sin(yaw), 0.0]))
