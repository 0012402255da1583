"""Frozen initial states: numbered starts in a committed file, whose sha256 the task pins.

``python -m vla_eval_envs.so101.frozen pick_place`` prints the file that the generator gives.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vla_eval_envs.manipulation.frozen import DECIMALS, read_states, states_text

__all__ = [
    "FROZEN",
    "PICK_PLACE",
    "PICK_PLACE_EITHER",
    "SORTING",
    "STACKING",
    "FrozenStates",
]


@dataclass(frozen=True)
class FrozenStates:
    """Recipe and identity of one task's initial states."""

    name: str
    """Of the file ``states/<name>.json``."""
    fields: tuple[str, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]
    seed: int
    count: int
    sha256: str
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


_LOW, _HIGH = (0.17, -0.05, -3.1415), (0.27, 0.05, 3.1415)
"""x, y (m) and yaw (rad): 10 x 10 cm in front of the arm, where the hand can point straight down."""
_ONE_OBJECT = ("x_m", "y_m", "yaw_rad")

PICK_PLACE = FrozenStates(
    name="pick_place",
    fields=_ONE_OBJECT,
    low=_LOW,
    high=_HIGH,
    seed=20260101,
    count=200,
    sha256="69c56d54d8b5f9abe5b07c7f8be9e10f18dfcf05eb72c1507441c760e490d828",
)
STACKING = FrozenStates(
    name="stacking",
    fields=_ONE_OBJECT,
    low=_LOW,
    high=_HIGH,
    seed=20260102,
    count=200,
    sha256="9de5ce1bab6716b4f5b7ca2db22137cd22c82f6187fbe336f97d02dbe6e4454c",
)
SORTING = FrozenStates(
    name="sorting",
    fields=(
        *("red_x_m", "red_y_m", "red_yaw_rad"),
        *("green_x_m", "green_y_m", "green_yaw_rad"),
    ),
    low=_LOW * 2,
    high=_HIGH * 2,
    seed=20260103,
    count=200,
    sha256="63c855c58215143ef363b1169d5ce9d25cb5e2b9587682325a326c87d8375000",
    min_distance_m=0.060,
)
"""60 mm leave room for a jaw between two 30 mm cubes, if the hand turns the right way."""
PICK_PLACE_EITHER = FrozenStates(
    name="pick_place_either",
    fields=_ONE_OBJECT,
    low=_LOW,
    high=_HIGH,
    seed=20260104,
    count=200,
    sha256="2261dc355845c3fc727e0d05ee195ea3dbed30d59385633e816823e9bba3cc42",
)

FROZEN = {each.name: each for each in (PICK_PLACE, STACKING, SORTING, PICK_PLACE_EITHER)}
"""By name."""


if __name__ == "__main__":
    sys.stdout.write(FROZEN[sys.argv[1]].generate())
