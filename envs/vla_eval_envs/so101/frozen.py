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
"""x, y (m) and yaw (rad): 10 x 10 cm in front of the arm, where the hand can point straight down."""


@dataclass(frozen=True)
class FrozenStates:
    """Recipe and identity of one task's initial states."""

    name: str
    """Of the file ``states/<name>.json``."""
    seed: int
    """Another one for each task: the next higher number, since tasks are listed in its order."""
    sha256: str
    fields: tuple[str, ...] = ONE_OBJECT
    low: tuple[float, ...] = IN_FRONT_LOW
    high: tuple[float, ...] = IN_FRONT_HIGH
    count: int = 200
    min_distance_m: float = 0.0
    """Draws whose two objects are closer are drawn again; 0 where there is one object."""

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
        """Return the states; raises RuntimeError if the file is not the one that was frozen."""
        return read_states("so101", self.name, self.fields, self.sha256)


def _distance(row: NDArray[np.float64]) -> float:
    """Return how far apart (m) two objects are whose x and y are entries 0, 1 and 3, 4."""
    return float(np.hypot(row[0] - row[3], row[1] - row[4]))
