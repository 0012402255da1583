"""LeRobot's names and units for the SO-101, and the way to radians and back.

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

Zero of the five body joints is the middle of the calibrated range (LeRobot's ``use_degrees``), where
the upper arm stands upright and the forearm points forward. The gripper's 0 (closed) is a jaw angle
of -10 degrees and 100 (open) one of +100 degrees.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = [
    "ACTION_HIGH",
    "ACTION_LOW",
    "FEATURE_NAMES",
    "JOINT_NAMES",
    "STATE_HIGH",
    "STATE_LOW",
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
"""What LeRobot calls the entries of the state and of the action."""

ACTION_LOW = np.array([-110.0, -100.0, -96.8, -95.0, -157.2, 0.0], dtype=np.float32)
ACTION_HIGH = np.array([110.0, 100.0, 96.8, 95.0, 157.2, 100.0], dtype=np.float32)

# A joint's end stop is soft: a hard impact can push a joint a few degrees past its command range.
# 180 is what the servo's single-turn encoder can report; LeRobot clips the gripper to 0..100.
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
