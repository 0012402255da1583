"""Forward and inverse kinematics of the arm in closed form.

The arm is a pan axis that carries a planar chain of two links and a hand. The position of the hand's
axis determines the pan. The law of cosines with the elbow up gives the two links. The wanted yaw of
the jaws gives the roll.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vla_eval_envs.so101.arm import LINKS
from vla_eval_envs.so101.units import ACTION_HIGH, to_radians

__all__ = ["PAN_AXIS_X", "Hand", "forward", "inverse", "inverse_path"]

_BY_NAME = {link.name: link for link in LINKS}
PAN_AXIS_X, _, _PAN_Z = _BY_NAME["shoulder"].position
_LIFT_R, _LIFT_Y, _LIFT_Z = _BY_NAME["upper_arm"].position
_ELBOW_R, _, _ELBOW_Z = _BY_NAME["lower_arm"].position
_WRIST_R, _, _WRIST_Z = _BY_NAME["wrist"].position
_HAND_R, _HAND_Y, _ = _BY_NAME["gripper"].position

_UPPER_ARM_M = float(np.hypot(_ELBOW_R, _ELBOW_Z))  # 0.116
_FOREARM_M = float(np.hypot(_WRIST_R, _WRIST_Z))  # 0.135
# Angles from horizontal at joint zero, positive downwards like the joints.
_UPPER_ARM_ZERO = float(np.arctan2(-_ELBOW_Z, _ELBOW_R))
_FOREARM_ZERO = float(np.arctan2(-_WRIST_Z, _WRIST_R))
_PLANE_Y = _LIFT_Y + _HAND_Y  # offset of the hand's axis to the left of the pan axis: -0.2 mm
_SHOULDER_Z = _PAN_Z + _LIFT_Z
# Yaw of the jaws' opening direction at pan 0, roll 0, with the hand pointing down: -2.79 degrees.
_HAND_W, _HAND_QX, _, _ = _BY_NAME["gripper"].quaternion
_JAW_YAW_ZERO = -2.0 * float(np.arctan2(_HAND_QX, _HAND_W))
_JOINT_LIMITS = to_radians(ACTION_HIGH)[:5]
_NO_TILT = np.zeros(1)
# Tilts to try where the hand cannot be vertical, rad: 1, -1, 2, -2 ... 60 degrees.
_TILTS = np.deg2rad([sign * degrees for degrees in range(1, 61) for sign in (1, -1)])
# A tilted hand moves its own axis with the pan; each iteration brings it 20 times closer.
_PAN_ITERATIONS = 12
_PAN_TOLERANCE = 1e-12  # rad


@dataclass(frozen=True)
class Hand:
    """Pose of the gripper's frame in the world: fingers along -z, jaws opening along x."""

    position: NDArray[np.float64]
    """Position of the frame's origin, (3,), m."""
    rotation: NDArray[np.float64]
    """Rotation matrix, (3, 3); its columns are the frame's axes."""

    def point(self, offset: ArrayLike) -> NDArray[np.float64]:
        """Return the world position (3,) of a point (3,) in the gripper's frame, m."""
        return self.position + self.rotation @ np.asarray(offset, dtype=np.float64)


def forward(joints: ArrayLike) -> Hand:
    """Return the hand's pose for joint angles, rad: the first 5 entries; others are ignored."""
    pan, lift, elbow, wrist, roll = (float(angle) for angle in np.asarray(joints)[:5])
    upper, fore = _UPPER_ARM_ZERO + lift, _FOREARM_ZERO + lift + elbow
    pitch = lift + elbow + wrist
    reach = (
        _LIFT_R + _UPPER_ARM_M * np.cos(upper) + _FOREARM_M * np.cos(fore) + _HAND_R * np.cos(pitch)
    )
    height = _SHOULDER_Z - (
        _UPPER_ARM_M * np.sin(upper) + _FOREARM_M * np.sin(fore) + _HAND_R * np.sin(pitch)
    )
    x, y = _turned(reach, _PLANE_Y, -pan)
    return Hand(np.array([PAN_AXIS_X + x, y, height]), _hand_rotation(pan, pitch, roll))


def inverse(
    target: ArrayLike,
    yaw: float,
    offset: ArrayLike = (0.0, 0.0, 0.0),
    *,
    tilt: float | None = None,
) -> NDArray[np.float64] | None:
    """Return joint angles (5,), rad, that bring a point of the hand to a target; None if unreachable.

    Args:
        target: position in the world frame, (3,), m.
        yaw: yaw of the jaws' opening direction about the world's z, rad; exact for a vertical hand.
        offset: the point of the hand in the gripper's frame, (3,), m.
        tilt: tilt of the hand from vertical, rad, positive with the fingers outwards. None: the
            smallest feasible tilt up to 60 degrees, in steps of one degree.
    """
    joints = inverse_path(np.asarray(target, dtype=np.float64)[None], yaw, offset, tilt=tilt)
    return None if joints is None else joints[0]


def inverse_path(
    targets: ArrayLike,
    yaw: float,
    offset: ArrayLike = (0.0, 0.0, 0.0),
    *,
    tilt: float | None = None,
) -> NDArray[np.float64] | None:
    """Return :func:`inverse` of all targets (N, 3) as (N, 5), or None if any is out of reach.

    All targets and all tilts are solved at once: a path of 50 targets takes 0.5 ms if the hand can
    be vertical, and 5 ms if all tilts are searched.
    """
    goals, tool = np.asarray(targets, dtype=np.float64), np.asarray(offset, dtype=np.float64)
    joints = _inverse_at(goals, yaw, tool, _NO_TILT if tilt is None else np.array([tilt]))
    angles, feasible = joints[:, 0], _within_limits(joints)[:, 0]
    if tilt is None and not feasible.all():
        tilted = np.flatnonzero(~feasible)
        joints = _inverse_at(goals[tilted], yaw, tool, _TILTS)
        possible = _within_limits(joints)
        # argmax finds the first feasible tilt, which is the smallest: _TILTS are sorted by size.
        angles[tilted] = joints[np.arange(len(tilted)), possible.argmax(axis=1)]
        feasible[tilted] = possible.any(axis=1)
    return angles if bool(feasible.all()) else None


def _inverse_at(
    goals: NDArray[np.float64], yaw: float, tool: NDArray[np.float64], tilts: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return joint angles (N, K, 5) for goals (N, 3) and tilts (K,); NaN if there is no solution."""
    pitch = np.pi / 2 - tilts
    x, y, z = (goals[:, axis, None] for axis in range(3))
    x = x - PAN_AXIS_X
    pan = np.broadcast_to(-np.arctan2(y, x), (len(goals), len(tilts)))
    reach = up = np.zeros_like(pan)
    with np.errstate(invalid="ignore"):  # NaN is the answer where there is no solution
        for _ in range(_PAN_ITERATIONS):
            out, left, up = _tool_in_plane(yaw + pan - _JAW_YAW_ZERO, pitch, tool)
            cos_pan, sin_pan = np.cos(pan), np.sin(pan)
            hand_x = x - (cos_pan * out + sin_pan * left)
            hand_y = y - (cos_pan * left - sin_pan * out)
            reach = np.sqrt(hand_x**2 + hand_y**2 - _PLANE_Y**2)
            before = pan
            pan = np.arctan2(_PLANE_Y, reach) - np.arctan2(hand_y, hand_x)
            if not (np.abs(pan - before) >= _PAN_TOLERANCE).any():
                break
        lift, elbow = _two_links(
            reach - _HAND_R * np.cos(pitch) - _LIFT_R,
            z - up + _HAND_R * np.sin(pitch) - _SHOULDER_Z,
        )
    roll = yaw + pan - _JAW_YAW_ZERO
    return np.stack([pan, lift, elbow, pitch - lift - elbow, roll], axis=-1)


def _tool_in_plane(
    roll: NDArray[np.float64], pitch: NDArray[np.float64], tool: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Return the offset of a point from the hand's origin: outwards, to the left, upwards, m."""
    cos_roll, sin_roll = np.cos(roll + _JAW_YAW_ZERO), np.sin(roll + _JAW_YAW_ZERO)
    across = tool[0] * cos_roll - tool[1] * sin_roll
    left = tool[0] * sin_roll + tool[1] * cos_roll
    cos_pitch, sin_pitch = np.cos(pitch), np.sin(pitch)
    return (
        across * sin_pitch - tool[2] * cos_pitch,
        left,
        across * cos_pitch + tool[2] * sin_pitch,
    )


def _within_limits(joints: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Return which joint angles (..., 5) are within the servos' limits; NaN is not."""
    return np.asarray((np.abs(joints) <= _JOINT_LIMITS).all(axis=-1))


def _two_links(
    reach: NDArray[np.float64], height: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return lift and elbow, rad, that bring the wrist to a point relative to the shoulder, m.

    If the links are too short or too long, the arc cosine is NaN.
    """
    distance = np.hypot(reach, height)
    down = np.arctan2(-height, reach)
    square = distance**2 + _UPPER_ARM_M**2 - _FOREARM_M**2
    at_shoulder = np.arccos(square / (2 * distance * _UPPER_ARM_M))
    square = distance**2 + _FOREARM_M**2 - _UPPER_ARM_M**2
    at_wrist = np.arccos(square / (2 * distance * _FOREARM_M))
    lift = down - at_shoulder - _UPPER_ARM_ZERO
    return lift, down + at_wrist - _FOREARM_ZERO - lift


def _hand_rotation(pan: float, pitch: float, roll: float) -> NDArray[np.float64]:
    """Return the gripper's axes (3, 3) in the world; pitch is the fingers' angle below horizontal."""
    cos_roll, sin_roll = np.cos(roll + _JAW_YAW_ZERO), np.sin(roll + _JAW_YAW_ZERO)
    cos_pitch, sin_pitch = np.cos(pitch), np.sin(pitch)
    back = np.array([-cos_pitch, 0.0, sin_pitch])  # the gripper's z: against the fingers
    up = np.array([sin_pitch, 0.0, cos_pitch])
    left = np.array([0.0, 1.0, 0.0])
    opening = cos_roll * up + sin_roll * left
    axes = np.stack([opening, np.cross(back, opening), back], axis=1)
    cos_pan, sin_pan = np.cos(pan), np.sin(pan)
    turn = np.array([[cos_pan, sin_pan, 0.0], [-sin_pan, cos_pan, 0.0], [0.0, 0.0, 1.0]])
    return np.asarray(turn @ axes)


def _turned(x: float, y: float, angle: float) -> tuple[float, float]:
    """Return a planar vector turned counter-clockwise by an angle, rad."""
    cos, sin = np.cos(angle), np.sin(angle)
    return float(cos * x - sin * y), float(sin * x + cos * y)
