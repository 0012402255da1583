"""Frozen initial states: numbered starts in a committed file, whose sha256 the task pins."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vla_eval_envs.manipulation.frozen import DECIMALS, read_states, states_text

__all__ = ["IN_FRONT_HIGH", "IN_FRONT_LOW", "ONE_OBJECT", "FrozenStates"]

ONE_OBJECT = ("x_m", "y_m", "yaw_rad")
IN_FRONT_LOW, IN_FRONT_HIGH = (0.17, -0.05, -3.1415), (0.27, 0.05, 3.1415)
"""Bounds of x, y (m) and yaw (rad): 10 x 10 cm in front of the arm, where the hand can point straight
down."""


@dataclass(frozen=True)
class FrozenStates:
    """Recipe and sha256 of one task's initial states."""

    name: str
    """Name of the file ``states/<name>.json``."""
    seed: int
    """Seed of the draws. A new task takes the next higher number, because tasks are listed in this order."""
    sha256: str
    fields: tuple[str, ...] = ONE_OBJECT
    low: tuple[float, ...] = IN_FRONT_LOW
    high: tuple[float, ...] = IN_FRONT_HIGH
    count: int = 200
    min_distance_m: float = 0.0
    """Smallest distance of two objects: closer draws are repeated; 0 for a task with one object."""

    def generate(self) -> str:
        """Return the file's text: uniform draws from the seed, rounded."""
        generator = np.random.Generator(np.random.PCG64(self.seed))
        rows = [self._draw(generator) for _ in range(self.count)]
        head: dict[str, Any] = {
            "task": self.name,
            "generator": "numpy PCG64, uniform",
            "seed": self.seed,
            "fields": list(self.fields),
            "low": list(self.low),
            "high": list(self.high),
        }
        if self.min_distance_m:
            head["min_distance_m"] = self.min_distance_m
        return states_text(head, rows)

    def _draw(self, generator: np.random.Generator) -> list[float]:
        while True:
            row = np.round(generator.uniform(self.low, self.high), DECIMALS)
            if not self.min_distance_m or _distance(row) >= self.min_distance_m:
                return [float(value) for value in row]

    def load(self) -> tuple[dict[str, float], ...]:
        """Return the states; raises RuntimeError if the file has changed since it was frozen."""
        return read_states("so101", self.name, self.fields, self.sha256)


def _distance(row: NDArray[np.float64]) -> float:
    """Return the distance (m) of two objects, whose x and y are entries 0, 1 and 3, 4."""
    return float(np.hypot(row[0] - row[3], row[1] - row[4]))
