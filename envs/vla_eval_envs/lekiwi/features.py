"""LeRobot's names, order and units of LeKiwi's nine actions and states.

=====  =====================  ==============================  ==================  ======
index  feature                meaning of a positive value     action range        unit
=====  =====================  ==============================  ==================  ======
0-4    arm_<joint>.pos        as for the SO-101               as for the SO-101   degree
5      arm_gripper.pos        open                            0 .. 100            percent
6      x.vel                  drive forward                   -0.3 .. 0.3         m/s
7      y.vel                  drive left                      -0.3 .. 0.3         m/s
8      theta.vel              turn left (counter-clockwise)   -90 .. 90           deg/s
=====  =====================  ==============================  ==================  ======

The arm's other unit systems are those of :mod:`vla_eval_envs.so101.units`. Velocities are in m/s and
deg/s in ``degrees`` and ``normalized`` (LeRobot does not scale velocities), and in m/s and rad/s in
``radians``. The bounds of velocities are the fastest level of LeRobot's teleoperation.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vla_eval_envs.so101.units import FEATURE_NAMES as _ARM_FEATURES
from vla_eval_envs.so101.units import UNIT_SYSTEMS as _ARM_SYSTEMS
from vla_eval_envs.so101.units import UnitSystem as _ArmUnits
from vla_eval_envs.so101.units import action_fields as _arm_fields

__all__ = ["ARM_JOINTS", "FEATURE_NAMES", "UNIT_SYSTEMS", "LeKiwiUnits", "action_fields"]

ARM_JOINTS = 6
FEATURE_NAMES = (*(f"arm_{name}" for name in _ARM_FEATURES), "x.vel", "y.vel", "theta.vel")
"""LeRobot's names of the entries of state and action."""

_MAX_COMMAND = np.array([0.3, 0.3, np.deg2rad(90.0)])  # m/s, m/s, rad/s
# Larger than any velocity of a base that is pushed; readings are clipped to it.
_MAX_READING = np.array([1.0, 1.0, 2.0 * np.pi])


@dataclass(frozen=True)
class LeKiwiUnits:
    """Units and bounds of actions and states."""

    name: str
    arm: _ArmUnits
    turn_per_rad: float
    """Units of ``theta.vel`` in one rad/s."""

    @property
    def action_low(self) -> NDArray[np.float32]:
        """Smallest actions, float32 (9,)."""
        return np.append(self.arm.action_low, self._float32(-_MAX_COMMAND))

    @property
    def action_high(self) -> NDArray[np.float32]:
        """Largest actions, float32 (9,)."""
        return np.append(self.arm.action_high, self._float32(_MAX_COMMAND))

    @property
    def state_low(self) -> NDArray[np.float32]:
        """Smallest states, float32 (9,)."""
        return np.append(self.arm.state_low, self._float32(-_MAX_READING))

    @property
    def state_high(self) -> NDArray[np.float32]:
        """Largest states, float32 (9,)."""
        return np.append(self.arm.state_high, self._float32(_MAX_READING))

    def to_si(self, values: ArrayLike) -> NDArray[np.float64]:
        """Convert values (…, 9) to joint positions in rad and velocities in m/s and rad/s."""
        units = np.asarray(values, dtype=np.float64)
        joints = self.arm.to_radians(units[..., :ARM_JOINTS])
        return np.concatenate([joints, units[..., ARM_JOINTS:] / self._scale], axis=-1)

    def from_si(self, values: ArrayLike) -> NDArray[np.float64]:
        """Convert values (…, 9) from joint positions in rad and velocities in m/s and rad/s."""
        units = np.asarray(values, dtype=np.float64)
        joints = self.arm.from_radians(units[..., :ARM_JOINTS])
        return np.concatenate([joints, units[..., ARM_JOINTS:] * self._scale], axis=-1)

    def action(self, values: ArrayLike) -> NDArray[np.float32]:
        """Return targets (…, 9), given in rad, m/s and rad/s, as actions inside the action space."""
        return np.clip(self.from_si(values).astype(np.float32), self.action_low, self.action_high)

    def state(self, values: ArrayLike) -> NDArray[np.float32]:
        """Return readings (…, 9), given in rad, m/s and rad/s, as a state inside its bounds."""
        return np.clip(self.from_si(values).astype(np.float32), self.state_low, self.state_high)

    @property
    def _scale(self) -> NDArray[np.float64]:
        return np.array([1.0, 1.0, self.turn_per_rad])

    def _float32(self, velocity: NDArray[np.float64]) -> NDArray[np.float32]:
        return (velocity * self._scale).astype(np.float32)


UNIT_SYSTEMS = {
    name: LeKiwiUnits(name, arm, 1.0 if name == "radians" else float(np.rad2deg(1.0)))
    for name, arm in _ARM_SYSTEMS.items()
}
"""Unit systems by name, as in the environments' argument ``units``."""


def action_fields(env_kwargs: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    """Return (name, unit) of the nine actions in an environment with these arguments."""
    turn = "rad/s" if env_kwargs.get("units") == "radians" else "°/s"
    arm = ((f"arm_{name}", unit) for name, unit in _arm_fields(env_kwargs))
    return (*arm, ("x.vel", "m/s"), ("y.vel", "m/s"), ("theta.vel", turn))
