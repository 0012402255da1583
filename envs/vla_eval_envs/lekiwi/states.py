"""Initial states of the shopping tasks: for each task a committed JSON file of numbered starts.

The task's class holds the file's sha256, so any change of a number below, or of the head's text, breaks
it. ``python -m vla_eval_envs.freeze NAME`` writes a file. Positions are in the world frame: x forward, y
left, origin where the robot starts on average.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from vla_eval_envs.manipulation.frozen import DECIMALS, read_states, states_text

__all__ = ["ITEM_ORDER", "ShoppingStates"]

ITEM_ORDER = ("salt", "matcha", "chocolate")
_BASE_SPREAD = (0.05, 0.08, 0.2)
"""The robot starts within plus and minus these: x (m), y (m), yaw (rad; 0.2 rad are 11.5 degrees)."""
_LANES_Y_M = (-0.13, 0.0, 0.13)
_ITEM_X_M = {"salt": 0.73, "matcha": 0.73, "chocolate": 0.605}
_ITEM_X_SPREAD_M = {"salt": 0.015, "matcha": 0.015, "chocolate": 0.012}
_LANE_SPREAD_M, _YAW_SPREAD_RAD = 0.02, 0.5
_FIELDS = tuple(
    f"{thing}_{field}" for thing in ("base", *ITEM_ORDER) for field in ("x_m", "y_m", "yaw_rad")
)


@dataclass(frozen=True)
class ShoppingStates:
    """Recipe and sha256 of one task's initial states: the poses of the robot and the items.

    All three items lie on the stand in every task; ``item``, the one to fetch, only names the file.
    """

    item: str
    seed: int
    sha256: str
    count: int = 200
    phase: bool = False
    """Whether a state also has the phase, 0..1, of a basket that goes to and fro."""

    @property
    def name(self) -> str:
        """Name of the file ``states/<name>.json``."""
        return f"shopping_{'follow' if self.phase else self.item}"

    @property
    def fields(self) -> tuple[str, ...]:
        """Names of a state's numbers."""
        return (*_FIELDS, "basket_phase") if self.phase else _FIELDS

    def generate(self) -> str:
        """Draw all starts from the seed, round them, and return the JSON text; nothing is written."""
        generator = np.random.Generator(np.random.PCG64(self.seed))
        rows = [self._draw(generator) for _ in range(self.count)]
        head: dict[str, Any] = {
            "task": self.name,
            "generator": "numpy PCG64: a permutation of the lanes, then uniform",
            "seed": self.seed,
            "fields": list(self.fields),
            "base_spread": list(_BASE_SPREAD),
            "lanes_y_m": list(_LANES_Y_M),
        }
        return states_text(head, rows)

    def load(self) -> tuple[dict[str, float], ...]:
        """Return the states; raises RuntimeError if the file has changed since it was frozen."""
        return read_states("lekiwi", self.name, self.fields, self.sha256)

    def _draw(self, generator: np.random.Generator) -> list[float]:
        row = _draw(generator)
        return [*row, float(np.round(generator.uniform(), DECIMALS))] if self.phase else row


def _draw(generator: np.random.Generator) -> list[float]:
    lanes = generator.permutation(_LANES_Y_M)
    row = [generator.uniform(-spread, spread) for spread in _BASE_SPREAD]
    for item, lane in zip(ITEM_ORDER, lanes, strict=True):
        row += [
            _ITEM_X_M[item] + generator.uniform(-_ITEM_X_SPREAD_M[item], _ITEM_X_SPREAD_M[item]),
            lane + generator.uniform(-_LANE_SPREAD_M, _LANE_SPREAD_M),
            generator.uniform(-_YAW_SPREAD_RAD, _YAW_SPREAD_RAD),
        ]
    # Adding 0.0 turns -0.0 into 0.0.
    return [float(value) + 0.0 for value in np.round(row, DECIMALS)]
