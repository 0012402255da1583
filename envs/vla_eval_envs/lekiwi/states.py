"""Frozen initial states of shopping: numbered starts in committed files, whose sha256 the tasks pin."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from vla_eval_envs.manipulation.frozen import DECIMALS, read_states, states_text

__all__ = ["ITEM_ORDER", "FrozenShelves"]

ITEM_ORDER = ("salt", "matcha", "chocolate")
_BASE_SPREAD = (0.05, 0.08, 0.2)
"""Largest x, y (m) and yaw (rad) of the robot's start in either direction; 0.2 rad are 11.5 degrees."""
_LANES = (-0.13, 0.0, 0.13)
_DEPTHS = {"salt": 0.73, "matcha": 0.73, "chocolate": 0.605}
_SPREADS = {"salt": 0.015, "matcha": 0.015, "chocolate": 0.012}
_LANE_SPREAD, _YAW_SPREAD = 0.02, 0.5
_FIELDS = tuple(
    f"{thing}_{field}" for thing in ("base", *ITEM_ORDER) for field in ("x_m", "y_m", "yaw_rad")
)


@dataclass(frozen=True)
class FrozenShelves:
    """Recipe and sha256 of one task's initial states: the poses of the robot and the items."""

    item: str
    seed: int
    sha256: str
    count: int = 200

    @property
    def name(self) -> str:
        """Name of the file ``states/<name>.json``."""
        return f"shopping_{self.item}"

    def generate(self) -> str:
        """Return the file's text: draws from the seed, rounded."""
        generator = np.random.Generator(np.random.PCG64(self.seed))
        rows = [_draw(generator) for _ in range(self.count)]
        head: dict[str, Any] = {
            "task": self.name,
            "generator": "numpy PCG64: a permutation of the lanes, then uniform",
            "seed": self.seed,
            "fields": list(_FIELDS),
            "base_spread": list(_BASE_SPREAD),
            "lanes_y_m": list(_LANES),
        }
        return states_text(head, rows)

    def load(self) -> tuple[dict[str, float], ...]:
        """Return the states; raises RuntimeError if the file has changed since it was frozen."""
        return read_states("lekiwi", self.name, _FIELDS, self.sha256)


def _draw(generator: np.random.Generator) -> list[float]:
    lanes = generator.permutation(_LANES)
    row = [generator.uniform(-spread, spread) for spread in _BASE_SPREAD]
    for item, lane in zip(ITEM_ORDER, lanes, strict=True):
        row += [
            _DEPTHS[item] + generator.uniform(-_SPREADS[item], _SPREADS[item]),
            lane + generator.uniform(-_LANE_SPREAD, _LANE_SPREAD),
            generator.uniform(-_YAW_SPREAD, _YAW_SPREAD),
        ]
    return [float(value) + 0.0 for value in np.round(row, DECIMALS)]
