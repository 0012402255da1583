"""Velocities of a base with three omni wheels: LeRobot's rounding to servo ticks, and its limit.

LeRobot (``lerobot.robots.lekiwi``, 0.6.1) converts a velocity of the body to ticks a second of each
wheel. It scales all three down if any exceeds 3000, and rounds to integers. Readings are converted
back in the same way. So the robot drives with the rounded velocity: at most 0.266 m/s straight ahead,
0.230 m/s sideways, or 105.5 deg/s when turning on the spot.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["MAX_TICKS", "from_ticks", "to_ticks"]

MAX_TICKS = 3000
"""Largest command of a wheel in ticks a second; 4096 ticks are one turn."""
_WHEEL_RADIUS_M, _BASE_RADIUS_M = 0.05, 0.125
_TICKS_PER_RAD = 4096.0 / (2.0 * np.pi)
_DRIVE_ANGLES = np.deg2rad([150.0, -90.0, 30.0])  # left, back, right
_RIM_SPEEDS = np.stack(
    [np.cos(_DRIVE_ANGLES), np.sin(_DRIVE_ANGLES), np.full(3, _BASE_RADIUS_M)], axis=1
)
"""Matrix (3, 3) from the body's x and y, m/s, and turning, rad/s, to the wheels' rim speeds, m/s."""
_BODY_SPEEDS = np.linalg.inv(_RIM_SPEEDS)
_TICKS_PER_M = _TICKS_PER_RAD / _WHEEL_RADIUS_M


def to_ticks(velocity: ArrayLike, *, limit: int | None = MAX_TICKS) -> NDArray[np.float64]:
    """Return the wheels' speeds (…, 3): left, back, right, in whole ticks a second.

    Args:
        velocity: velocity of the body (…, 3): x, y (m/s), turning (rad/s).
        limit: largest speed of a wheel; if a wheel exceeds it, all are scaled down in proportion.
            None for a measured velocity, which has no limit.
    """
    ticks = np.asarray(velocity, dtype=np.float64) @ _RIM_SPEEDS.T * _TICKS_PER_M
    if limit is not None:
        fastest = np.abs(ticks).max(axis=-1, keepdims=True)
        ticks = ticks * (limit / np.maximum(fastest, limit))
    return np.asarray(np.rint(ticks))


def from_ticks(ticks: ArrayLike) -> NDArray[np.float64]:
    """Return the body's velocity (…, 3), m/s and rad/s, for wheel speeds ``ticks``, ticks a second."""
    rims = np.asarray(ticks, dtype=np.float64) / _TICKS_PER_M
    return np.asarray(rims @ _BODY_SPEEDS.T)
