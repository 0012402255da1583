"""Joint paths with minimum jerk."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["min_jerk", "min_jerk_steps"]

_PEAK_OVER_MEAN = 1.875  # speed of a minimum-jerk motion


def min_jerk(steps: int) -> NDArray[np.float64]:
    """Return how far along a motion is after each of ``steps`` steps, (steps,), the last one 1."""
    time = np.arange(1, steps + 1) / steps
    return np.asarray(time**3 * (10.0 - 15.0 * time + 6.0 * time**2))


def min_jerk_steps(start: ArrayLike, end: ArrayLike, max_step: float) -> int:
    """Return how many steps a motion needs so that no coordinate moves more than ``max_step``."""
    longest = float(np.abs(np.asarray(end) - np.asarray(start)).max())
    return max(1, int(np.ceil(_PEAK_OVER_MEAN * longest / max_step)))
