"""Actions that a test drives a robot with."""

from __future__ import annotations

import numpy as np

__all__ = ["smooth_actions"]


def smooth_actions(count: int, seed: int) -> np.ndarray:
    """Return random actions within -1 and 1, float32 (count, 7), that turn every ten steps."""
    knots = np.random.default_rng(seed).uniform(-1, 1, (count // 10 + 2, 7))
    times = np.arange(count) / 10
    columns = [np.interp(times, np.arange(len(knots)), column) for column in knots.T]
    return np.stack(columns, axis=1).astype(np.float32)
