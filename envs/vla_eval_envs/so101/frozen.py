"""Frozen initial states: numbered starts in a committed file, whose sha256 the task pins.

``python -m vla_eval_envs.so101.frozen pick_place`` prints the file that the generator gives.
"""

from __future__ import annotations

import hashlib
import json
import sys
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

import numpy as np

__all__ = ["PICK_PLACE", "FrozenStates"]

# 0.1 mm and 0.1 mrad: far below what changes an episode's difficulty, and exact in JSON.
_DECIMALS = 4


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

    def generate(self) -> str:
        """Return the file's text: uniform draws from the seed, rounded."""
        generator = np.random.Generator(np.random.PCG64(self.seed))
        draws = generator.uniform(self.low, self.high, size=(self.count, len(self.fields)))
        rows = np.round(draws, _DECIMALS).tolist()
        head = {
            "task": self.name,
            "generator": "numpy PCG64, uniform",
            "seed": self.seed,
            "fields": list(self.fields),
            "low": list(self.low),
            "high": list(self.high),
        }
        lines = ",\n  ".join(json.dumps(row) for row in rows)
        return f'{json.dumps(head, indent=1)[:-2]},\n "states": [\n  {lines}\n ]\n}}\n'

    def load(self) -> tuple[dict[str, float], ...]:
        """Return the states; raises RuntimeError if the file is not the one that was frozen."""
        raw = files(__package__).joinpath("states", f"{self.name}.json").read_bytes()
        found = hashlib.sha256(raw).hexdigest()
        if found != self.sha256:
            raise RuntimeError(
                f"so101/states/{self.name}.json was changed: its sha256 is {found}, not "
                f"{self.sha256}; restore the released file (reinstall vla-eval-suite)"
            )
        content: dict[str, Any] = json.loads(raw)
        return tuple(dict(zip(self.fields, row, strict=True)) for row in content["states"])


PICK_PLACE = FrozenStates(
    name="pick_place",
    fields=("x_m", "y_m", "yaw_rad"),
    low=(0.17, -0.05, -3.1415),
    high=(0.27, 0.05, 3.1415),
    seed=20260101,
    count=200,
    sha256="69c56d54d8b5f9abe5b07c7f8be9e10f18dfcf05eb72c1507441c760e490d828",
)
"""A 10 x 10 cm area in front of the arm, in which the hand can point straight down."""


if __name__ == "__main__":
    _KNOWN = {states.name: states for states in (PICK_PLACE,)}
    sys.stdout.write(_KNOWN[sys.argv[1]].generate())
