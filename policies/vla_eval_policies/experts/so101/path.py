"""Builds joint targets of the SO-101 from moves, straight lines and waits."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vla_eval_envs.manipulation.driven import Track
from vla_eval_envs.so101.kinematics import forward, inverse, inverse_path
from vla_eval_policies.experts.motion import Pace, min_jerk, min_jerk_steps

__all__ = ["Array", "Path", "hold_point"]

Array = NDArray[np.float64]

_FIXED_JAW_X = -0.008  # inner face of the fixed jaw near its tip, gripper frame, m
_FINGER_Z = -0.094  # 10 mm above the fingertips, gripper frame, m
_MEETINGS = 8  # rounds in which meeting point and duration of a move are made to agree


def hold_point(width: float, clearance: float = 0.0) -> Array:
    """Return the position of a held object's centre in the gripper's frame, (3,), m.

    Args:
        width: width of the object between the jaws, m.
        clearance: gap between the fixed jaw and the object, m; 0 for a held object.
    """
    return np.array([_FIXED_JAW_X + width / 2 + clearance, 0.0, _FINGER_Z])


class Path:
    """Joint targets that begin at the arm's present position, with methods that add targets.

    A move that the arm cannot make returns False and adds no targets. With a ``track`` all positions are
    those of a target that moves: they hold at the path's beginning, and are moved along the track.
    """

    track: Track | None = None
    """How the target of the next moves and lines moves, from the path's beginning on."""

    def __init__(self, joints: Array, pace: Pace) -> None:
        self._start = joints
        self._pace = pace
        self.rows: list[Array] = []

    @property
    def last(self) -> Array:
        """The last target, (6,), rad."""
        return self.rows[-1] if self.rows else self._start

    def targets(self) -> Array:
        """Return the targets, (T, 6), rad, with T at least 1."""
        return np.stack(self.rows or [self._start])

    def tracked(self, steps: int = 0) -> Array:
        """Return how far the target will have moved, (3,), m, ``steps`` after the path's last row."""
        if self.track is None:
            return np.zeros(3)
        return np.asarray(self.track(np.array([len(self.rows) + steps], np.float64))[0])

    def rise(self, height: float, tool: Array) -> None:
        """Lift a point of the hand straight up to a height, m, if the point is lower."""
        hand = forward(self._start)
        point = hand.point(tool)
        if point[2] < height:
            yaw = float(np.arctan2(hand.rotation[1, 0], hand.rotation[0, 0]))
            self.move([*point[:2], height], yaw, tool, float(self._start[5]))

    def move(self, point: ArrayLike, yaw: float, tool: Array, jaw: float) -> bool:
        """Move a point of the hand to a position along a straight line in joint space."""
        start, end, steps = self.last, self.last, 0
        for _ in range(1 if self.track is None else _MEETINGS):
            joints = inverse(np.asarray(point) + self.tracked(steps), yaw, tool)
            if joints is None:
                return False
            end = np.append(joints, jaw)
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
        """Move a point of the hand to a position along a line that is straight in space, or to the target."""
        first = forward(self.last).point(tool) - self.tracked()
        end = np.asarray(point, dtype=np.float64)
        first_jaw = float(self.last[5])
        last_jaw = first_jaw if jaw is None else jaw
        count = min_jerk_steps(first, end, self._pace.line_step_m) if steps is None else steps
        shares = min_jerk(count)[:, None]
        points = np.asarray(first + shares * (end - first), np.float64)
        if self.track is not None:
            points += self.track(np.arange(1, count + 1) + np.float64(len(self.rows)))
        joints = inverse_path(points, yaw, tool)
        if joints is None:
            return False
        jaws = first_jaw + shares * (last_jaw - first_jaw)
        self.rows += list(np.hstack([joints, jaws]))
        return True

    def wait(self, steps: int, *, jaw: float | None = None) -> None:
        """Hold the arm still and command the jaw to an angle."""
        row = self.last.copy()
        if jaw is not None:
            row[5] = jaw
        self.rows += [row] * steps
