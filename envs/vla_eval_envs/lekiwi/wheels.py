"""What three omni wheels make of a velocity: LeRobot's rounding to servo ticks, and its limit.

LeRobot (``lerobot.robots.lekiwi``, 0.6.1) turns a velocity of the body into ticks a second of each
wheel, scales all three down if one is asked for more than 3000, rounds to integers, and reads the
wheels back the same way. So a robot drives with the rounded velocity, straight ahead at most
0.266 m/s, sideways 0.230 m/s, or turning on the spot 105.5 deg/s.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["MAX_TICKS", "from_ticks", "to_ticks"]

MAX_TICKS = 3000
"""Ticks a second that a wheel may be asked for; 4096 are one turn."""
_WHEEL_RADIUS_M, _BASE_RADIUS_M = 0.05, 0.125
_TICKS_PER_RAD = 4096.0 / (2.0 * np.pi)
_DRIVE_ANGLES = np.deg2rad([150.0, -90.0, 30.0])  # left, back, right
_RIM_SPEEDS = np.stack(
    [np.cos(_DRIVE_ANGLES), np.sin(_DRIVE_ANGLES), np.full(3, _BASE_RADIUS_M)], axis=1
)
"""(3, 3): speeds of the wheels' rims, m/s, from the body's x and y, m/s, and its turning, rad/s."""
_BODY_SPEEDS = np.linalg.inv(_RIM_SPEEDS)
_TICKS_PER_M = _TICKS_PER_RAD / _WHEEL_RADIUS_M


def to_ticks(velocity: ArrayLike, *, limit: int | None = MAX_TICKS) -> NDArray[np.float64]:
    """Return the wheels' speeds (…, 3): left, back, right, integers, ticks a second.

    Args:
        velocity: of the body (…, 3): x, y (m/s), turning (rad/s).
        limit: the fastest wheel gets this much, the others in proportion; None where a speed is
            measured and not asked for.
    """
    ticks = np.asarray(velocity, dtype=np.float64) @ _RIM_SPEEDS.T * _TICKS_PER_M
    if limit is not None:
        fastest = np.abs(ticks).max(axis=-1, keepdims=True)
        ticks = ticks * (limit / np.maximum(fastest, limit))
    return np.asarray(np.rint(ticks))


def from_ticks(ticks: ArrayLike) -> NDArray[np.float64]:
    """Return the body's velocity (…, 3), m/s and rad/s, with which the wheels turn like this."""
    rims = np.asarray(ticks, dtype=np.float64) / _TICKS_PER_M
    return np.asarray(rims @ _BODY_SPEEDS.T)
