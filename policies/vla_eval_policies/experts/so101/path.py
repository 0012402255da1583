"""Joint targets of the SO-101 under construction: moves, straight lines, waits."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vla_eval_envs.so101.kinematics import forward, inverse, inverse_path
from vla_eval_policies.experts.motion import Pace, min_jerk, min_jerk_steps

__all__ = ["Array", "Path", "hold_point"]

Array = NDArray[np.float64]

_FIXED_JAW_X = -0.008  # inner face of the fixed jaw near its tip, gripper frame, m
_FINGER_Z = -0.094  # 10 mm above the fingertips, gripper frame, m


def hold_point(width: float, clearance: float = 0.0) -> Array:
    """Return where the centre of a held object is in the gripper's frame, (3,), m.

    Args:
        width: of the object across the jaws, m.
        clearance: between the fixed jaw and the object, m; 0 when it is held.
    """
    return np.array([_FIXED_JAW_X + width / 2 + clearance, 0.0, _FINGER_Z])


class Path:
    """Joint targets under construction, beginning where the arm is.

    Moves that the arm cannot make are refused: they return False and add nothing.
    """

    def __init__(self, joints: Array, pace: Pace) -> None:
        self._start = joints
        self._pace = pace
        self.rows: list[Array] = []

    @property
    def last(self) -> Array:
        """The last target, (6,), rad."""
        return self.rows[-1] if self.rows else self._start

    def targets(self) -> Array:
        """Return the targets, (T, 6), rad: at least one."""
        return np.stack(self.rows or [self._start])

    def rise(self, height: float, tool: Array) -> None:
        """Lift a point of the hand straight up to a height, m, if it is below."""
        hand = forward(self._start)
        point = hand.point(tool)
        if point[2] < height:
            yaw = float(np.arctan2(hand.rotation[1, 0], hand.rotation[0, 0]))
            self.move([*point[:2], height], yaw, tool, float(self._start[5]))

    def move(self, point: ArrayLike, yaw: float, tool: Array, jaw: float) -> bool:
        """Move a point of the hand to a place along the shortest way in joint space."""
        joints = inverse(point, yaw, tool)
        if joints is None:
            return False
        start, end = self.last, np.append(joints, jaw)
        steps = min_jerk_steps(start[:5], joints, self._pace.joint_step_rad)
        self.rows += [start + share * (end - start) for share in min_jerk(steps)]
        return True

    def line(
        self,
        point: ArrayLike,
        yaw: float,
        tool: Array,
        *,
        jaw: float | None = None,
        steps: int | None = None,
    ) -> bool:
        """Move a point of the hand to a place along a straight line in space."""
        first, end = forward(self.last).point(tool), np.asarray(point, dtype=np.float64)
        first_jaw = float(self.last[5])
        last_jaw = first_jaw if jaw is None else jaw
        count = min_jerk_steps(first, end, self._pace.line_step_m) if steps is None else steps
        shares = min_jerk(count)[:, None]
        joints = inverse_path(first + shares * (end - first), yaw, tool)
        if joints is None:
            return False
        jaws = first_jaw + shares * (last_jaw - first_jaw)
        self.rows += list(np.hstack([joints, jaws]))
        return True

    def wait(self, steps: int, *, jaw: float | None = None) -> None:
        """Stay, with the jaw commanded to an angle."""
        row = self.last.copy()
        if jaw is not None:
            row[5] = jaw
        self.rows += [row] * steps
