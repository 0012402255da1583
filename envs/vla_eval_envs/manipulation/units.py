"""The interface of every unit system, for any robot."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["Units", "choose_units"]


class Units(Protocol):
    """Units of actions and of ``agent_pos``; the simulation itself uses rad, m and s."""

    @property
    def action_low(self) -> NDArray[np.float32]:
        """Smallest actions, float32 (A,)."""

    @property
    def action_high(self) -> NDArray[np.float32]:
        """Largest actions, float32 (A,)."""

    @property
    def state_low(self) -> NDArray[np.float32]:
        """Smallest readings, float32 (A,)."""

    @property
    def state_high(self) -> NDArray[np.float32]:
        """Largest readings, float32 (A,)."""

    def action(self, values: ArrayLike, /) -> NDArray[np.float32]:
        """Return targets (…, A), given in SI, as actions inside the action space."""

    def state(self, values: ArrayLike, /) -> NDArray[np.float32]:
        """Return readings (…, A), given in SI, as a state inside its bounds."""


def choose_units[U: Units](systems: Mapping[str, U], name: str) -> U:
    """Return a unit system by its name; the ValueError for an unknown name lists the known names."""
    if name not in systems:
        raise ValueError(f"units must be one of {', '.join(systems)}, not {name!r}")
    return systems[name]
