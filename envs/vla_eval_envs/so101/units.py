"""LeRobot's names and units for the SO-101, and their conversion to radians and back.

=====  ==============  ============================  =================  =======
index  joint           meaning of a positive value   command range      unit
=====  ==============  ============================  =================  =======
0      shoulder_pan    turn right (clockwise)        -110 .. 110        degree
1      shoulder_lift   lean forward                  -100 .. 100        degree
2      elbow_flex      forearm down                  -96.8 .. 96.8      degree
3      wrist_flex      hand down                     -95 .. 95          degree
4      wrist_roll      roll left, seen from behind   -157.2 .. 157.2    degree
5      gripper         open                          0 .. 100           percent
=====  ==============  ============================  =================  =======

Zero of the five body joints is the middle of the calibrated range (LeRobot's ``use_degrees``): there
the upper arm is upright and the forearm points forward. A gripper value of 0 (closed) is a jaw angle of
-10 degrees, and 100 (open) is +100 degrees.

This is the default system, ``degrees``. Two more systems exist for policies that were trained in them.
``normalized`` is LeRobot's legacy system: -100..100 covers a body joint's command range, readings are
clipped to it, and the gripper is again 0..100. ``radians`` gives the joint angles of all six joints.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = [
    "ACTION_HIGH",
    "ACTION_LOW",
    "FEATURE_NAMES",
    "JOINT_NAMES",
    "STATE_HIGH",
    "STATE_LOW",
    "UNIT_SYSTEMS",
    "UnitSystem",
    "action_fields",
    "to_radians",
    "to_units",
]

JOINT_NAMES = (
    "shoulder_pan",
    "shoulder_lift",
    "elbow_flex",
    "wrist_flex",
    "wrist_roll",
    "gripper",
)
FEATURE_NAMES = tuple(f"{name}.pos" for name in JOINT_NAMES)
"""LeRobot's names of the entries of state and action."""

ACTION_LOW = np.array([-110.0, -100.0, -96.8, -95.0, -157.2, 0.0], dtype=np.float32)
ACTION_HIGH = np.array([110.0, 100.0, 96.8, 95.0, 157.2, 100.0], dtype=np.float32)

# A joint's end stop is soft: a hard impact can push a joint a few degrees past its command range.
# The servo's single-turn encoder can report up to 180; LeRobot clips the gripper to 0..100.
STATE_LOW = np.array([-180.0] * 5 + [0.0], dtype=np.float32)
STATE_HIGH = np.array([180.0] * 5 + [100.0], dtype=np.float32)

_JAW_CLOSED_DEG = -10.0
_JAW_DEG_PER_PERCENT = 1.1


def to_radians(units: ArrayLike) -> NDArray[np.float64]:
    """Convert joint positions (…, 6) from LeRobot's units to radians."""
    degrees = np.array(units, dtype=np.float64)
    degrees[..., 5] = _JAW_CLOSED_DEG + _JAW_DEG_PER_PERCENT * degrees[..., 5]
    return np.deg2rad(degrees)


def to_units(radians: ArrayLike) -> NDArray[np.float64]:
    """Convert joint positions (…, 6) from radians to LeRobot's units; clips nothing."""
    units = np.rad2deg(np.asarray(radians, dtype=np.float64))
    units[..., 5] = (units[..., 5] - _JAW_CLOSED_DEG) / _JAW_DEG_PER_PERCENT
    return units


@dataclass(frozen=True)
class UnitSystem:
    """Units and bounds of actions and states."""

    name: str
    action_low: NDArray[np.float32]
    """Smallest actions, (6,), like the other bounds."""
    action_high: NDArray[np.float32]
    state_low: NDArray[np.float32]
    state_high: NDArray[np.float32]
    _scale: NDArray[np.float64]
    """Size of one unit in rad, (6,)."""
    _offset: NDArray[np.float64]
    """Joint angle at zero of the unit, (6,), rad."""

    def to_radians(self, values: ArrayLike) -> NDArray[np.float64]:
        """Convert joint positions (…, 6) to radians."""
        return np.asarray(values, dtype=np.float64) * self._scale + self._offset

    def from_radians(self, radians: ArrayLike) -> NDArray[np.float64]:
        """Convert joint positions (…, 6) from radians; clips nothing."""
        return (np.asarray(radians, dtype=np.float64) - self._offset) / self._scale

    def action(self, radians: ArrayLike) -> NDArray[np.float32]:
        """Return joint targets (…, 6), given in radians, as actions inside the action space."""
        values = self.from_radians(radians).astype(np.float32)
        return np.clip(values, self.action_low, self.action_high)

    def state(self, radians: ArrayLike) -> NDArray[np.float32]:
        """Return joint positions (…, 6), given in radians, as readings inside their bounds."""
        values = self.from_radians(radians).astype(np.float32)
        return np.clip(values, self.state_low, self.state_high)


_PERCENT_LOW = np.array([-100.0] * 5 + [0.0], dtype=np.float32)
_PERCENT_HIGH = np.full(6, 100.0, dtype=np.float32)
_HALF_TURN = np.full(6, np.pi, dtype=np.float32)
_ZERO_RAD = to_radians(np.zeros(6))
_RAD_PER_UNIT = to_radians(np.ones(6)) - _ZERO_RAD

UNIT_SYSTEMS = {
    system.name: system
    for system in (
        UnitSystem(
            "degrees", ACTION_LOW, ACTION_HIGH, STATE_LOW, STATE_HIGH, _RAD_PER_UNIT, _ZERO_RAD
        ),
        UnitSystem(
            "normalized",
            _PERCENT_LOW,
            _PERCENT_HIGH,
            _PERCENT_LOW,
            _PERCENT_HIGH,
            _RAD_PER_UNIT * [*ACTION_HIGH[:5] / 100.0, 1.0],
            _ZERO_RAD,
        ),
        UnitSystem(
            "radians",
            to_radians(ACTION_LOW).astype(np.float32),
            to_radians(ACTION_HIGH).astype(np.float32),
            -_HALF_TURN,
            _HALF_TURN,
            np.ones(6),
            np.zeros(6),
        ),
    )
}
"""Unit systems by name, as in the environments' argument ``units``."""

_JOINT_UNITS = {"degrees": ("°", "%"), "normalized": ("%", "%"), "radians": ("rad", "rad")}


def action_fields(env_kwargs: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    """Return (name, unit) of the six actions in an environment with these arguments."""
    joint, gripper = _JOINT_UNITS[env_kwargs.get("units", "degrees")]
    return tuple(zip(JOINT_NAMES, (joint,) * 5 + (gripper,), strict=True))
