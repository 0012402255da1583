"""Joint paths with minimum jerk, and their speeds."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["PACES", "Pace", "min_jerk", "min_jerk_steps"]

_PEAK_OVER_MEAN = 1.875  # speed of a minimum-jerk motion


@dataclass(frozen=True)
class Pace:
    """Speed of a demonstrator, in control steps of 1/30 s."""

    joint_step_rad: float
    """Largest turn of a joint in a step; the SO-101's servos can turn 0.16 rad."""
    line_step_m: float
    """Largest motion of the fingers in a step on a straight line."""
    pause: int
    """Factor on the time that the hand waits for the jaws to close and to open."""


PACES = {
    "slow": Pace(joint_step_rad=0.035, line_step_m=0.004, pause=2),
    "normal": Pace(joint_step_rad=0.07, line_step_m=0.008, pause=1),
    "fast": Pace(joint_step_rad=0.10, line_step_m=0.012, pause=1),
}
"""A careful, an ordinary and a practised teleoperator; joints turn at most 1, 2 and 3 rad/s."""


def min_jerk(steps: int) -> NDArray[np.float64]:
    """Return the completed fraction of a motion after every step, (steps,); the last entry is 1."""
    time = np.arange(1, steps + 1) / steps
    return np.asarray(time**3 * (10.0 - 15.0 * time + 6.0 * time**2))


def min_jerk_steps(start: ArrayLike, end: ArrayLike, max_step: float) -> int:
    """Return the number of steps in which no coordinate moves more than ``max_step`` a step."""
    longest = float(np.abs(np.asarray(end) - np.asarray(start)).max())
    return max(1, int(np.ceil(_PEAK_OVER_MEAN * longest / max_step)))
