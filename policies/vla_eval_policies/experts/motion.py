"""Joint paths with minimum jerk, and how fast they are."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["PACES", "Pace", "min_jerk", "min_jerk_steps"]

_PEAK_OVER_MEAN = 1.875  # speed of a minimum-jerk motion


@dataclass(frozen=True)
class Pace:
    """How fast a demonstrator moves, in control steps of 1/30 s."""

    joint_step_rad: float
    """How far a joint turns in a step, at most; the SO-101's servos manage 0.16."""
    line_step_m: float
    """How far the fingers move in a step on a straight line, at most."""
    pause: int
    """How many times as long the hand waits for the jaws to close and to open."""


PACES = {
    "slow": Pace(joint_step_rad=0.035, line_step_m=0.004, pause=2),
    "normal": Pace(joint_step_rad=0.07, line_step_m=0.008, pause=1),
    "fast": Pace(joint_step_rad=0.10, line_step_m=0.012, pause=1),
}
"""A careful, an ordinary and a practised teleoperator; joints turn 1, 2 and 3 rad/s at most."""


def min_jerk(steps: int) -> NDArray[np.float64]:
    """Return how far along a motion is after each of ``steps`` steps, (steps,), the last one 1."""
    time = np.arange(1, steps + 1) / steps
    return np.asarray(time**3 * (10.0 - 15.0 * time + 6.0 * time**2))


def min_jerk_steps(start: ArrayLike, end: ArrayLike, max_step: float) -> int:
    """Return how many steps a motion needs so that no coordinate moves more than ``max_step``."""
    longest = float(np.abs(np.asarray(end) - np.asarray(start)).max())
    return max(1, int(np.ceil(_PEAK_OVER_MEAN * longest / max_step)))
