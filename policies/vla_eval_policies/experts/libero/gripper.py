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
"""Distance of the finger tips beyond the grasp point."""
PAD_Z_M = (-0.0116, 0.0044)
"""Bounds of the pads along z."""
MAX_WIDTH_M = 0.068
"""Largest width of a grasped object; the fingers open to 0.076 m."""

HALF_HAND_M = 0.034
"""Half the hand's width across the closing axis."""

# Boxes of one half of the open hand: x from, x to, half width along y, lowest z. All space above the
# lowest z counts as occupied, because the hand came from there. Measured on robosuite's collision meshes,
# with some millimetres for the controller's error.
_BOXES = (
    (0.0365, 0.0555, 0.012, TIP_M + 0.003),
    (0.0385, 0.0665, 0.012, -0.012),
    (0.0, 0.105, HALF_HAND_M, -0.029),
)
_REACH_BACK_M = 0.25


def blocked(points: NDArray[np.float64]) -> bool:
    """Return whether the open hand, moving along its z axis, touches points, (n, 3), in its frame."""
    points = points[points[:, 2] < _BOXES[0][3]]
    x, y, z = np.abs(points[:, 0]), np.abs(points[:, 1]), points[:, 2]
    x = np.where(z > -_REACH_BACK_M, x, np.inf)
    return any(
        bool(np.any((x > near) & (x < far) & (y < half) & (z < low)))
        for near, far, half, low in _BOXES
    )


def between(points: NDArray[np.float64]) -> bool:
    """Return whether any points, (n, 3) in the hand's frame, are between the open fingers."""
    x, y, z = np.abs(points).T[0], np.abs(points).T[1], points[:, 2]
    return bool(np.any((x < _BOXES[0][0]) & (y < _BOXES[0][2]) & (z < TIP_M) & (z > -0.03)))


def hand_points() -> NDArray[np.float64]:
    """Return points on the lower faces of the open hand at a release, (n, 3), in its frame."""
    parts = []
    for near, far, half, low in ((0.0365, 0.0555, 0.0105, TIP_M), (0.0, 0.104, 0.032, -0.031)):
        xs = np.linspace(near, far, int((far - near) / 0.005) + 2)
        ys = np.linspace(-half, half, int(2 * half / 0.005) + 2)
        x, y = (grid.ravel() for grid in np.meshgrid(xs, ys))
        z = np.full_like(x, low)
        parts += [np.stack([x, y, z], axis=1), np.stack([-x, y, z], axis=1)]
    return np.concatenate(parts)


def facing(approach: NDArray[np.float64], closing: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the hand's rotation, (3, 3), from its approach and closing directions.

    Args:
        approach: direction in which the hand points, (3,), of any length.
        closing: direction along which the fingers close, (3,); it is made perpendicular to
            ``approach``.
    """
    z = approach / np.linalg.norm(approach)
    x = closing - z * float(z @ closing)
    x = x / np.linalg.norm(x)
    return np.stack([x, np.cross(z, x), z], axis=1)


def top_down(yaw: float) -> NDArray[np.float64]:
    """Return the rotation of a hand that points down and closes along ``yaw`` in rad from +x."""
    return facing(np.array([0.0, 0.0, -1.0]), np.array([np.cos(yaw), np.sin(yaw), 0.0]))
