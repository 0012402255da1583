"""Builds targets of a LeKiwi, arm and base together, from moves, lines and waits."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vla_eval_envs.lekiwi.chassis import ARM_MOUNT
from vla_eval_envs.manipulation.driven import Track
from vla_eval_envs.so101.kinematics import PAN_AXIS_X, forward, inverse_path
from vla_eval_policies.experts.motion import Pace, min_jerk, min_jerk_steps
from vla_eval_policies.experts.so101.path import Array

__all__ = ["Route", "RouteGrip", "bearing", "in_arm_frame", "in_world", "velocities"]

_STEP_S = 1.0 / 30.0
_FIXED_JAW_X = -0.008  # inner face of the fixed jaw near its tip, gripper frame, m
# The wheels allow 8.9 mm a step straight ahead and 7.7 mm sideways; one radian of turning counts as
# 0.125 m.
_MEETINGS = 8  # rounds in which meeting point and duration of a move are made to agree
_MAX_DRIVE_STEP_M, _DRIVE_SHARE, _TURN_RADIUS_M = 0.0068, 0.8, 0.125


@dataclass(frozen=True)
class RouteGrip:
    """One way to hold an item."""

    roll: float
    """Roll of the jaws' opening direction about the fingers, rad; 0 is in the arm's plane."""
    width: float
    """Width of the item between the jaws, m."""
    finger_z: float
    """Position of the item's middle along the fingers, gripper frame, m."""
    tilt: float | None
    """Tilt of the hand from vertical, rad; None: the smallest tilt that the arm can reach."""

    def tool(self, clearance: float = 0.0) -> Array:
        """Return the position of the held point in the gripper's frame, (3,), m.

        Args:
            clearance: gap between the fixed jaw and the item, m; 0 for a held item.
        """
        return np.array([_FIXED_JAW_X + self.width / 2 + clearance, 0.0, self.finger_z])

    def solve(self, points: ArrayLike, clearance: float = 0.0) -> Array | None:
        """Return joint angles (N, 5), rad, that bring the held point to points in the arm's frame."""
        places = np.asarray(points, dtype=np.float64)
        yaw = self.roll + bearing(places[-1])
        return inverse_path(places, yaw, self.tool(clearance), tilt=self.tilt)


def bearing(point: Array) -> float:
    """Return the direction of a point in the arm's frame, seen from the pan axis, rad."""
    return float(np.arctan2(point[1], point[0] - PAN_AXIS_X))


def in_arm_frame(point: ArrayLike, base: Array) -> Array:
    """Return a world point (3,), m, in the arm's frame, for a base at (x, y, yaw)."""
    x, y, z = np.asarray(point, dtype=np.float64) - [base[0], base[1], 0.0]
    cos, sin = np.cos(base[2]), np.sin(base[2])
    return np.array([cos * x + sin * y, cos * y - sin * x, z]) - ARM_MOUNT


def in_world(point: ArrayLike, base: Array) -> Array:
    """Return a point (3,), m, in the arm's frame in the world frame, for a base at (x, y, yaw)."""
    x, y, z = np.asarray(point, dtype=np.float64) + ARM_MOUNT
    cos, sin = np.cos(base[2]), np.sin(base[2])
    return np.array([base[0] + cos * x - sin * y, base[1] + sin * x + cos * y, z])


class Route:
    """Rows of nine targets, one row a control step: joints, rad, and the base's x, y (m), yaw (rad).

    With a ``track`` the base follows a target that moves: poses of the base hold at the route's beginning,
    and are moved along the track.
    """

    track: Track | None = None
    """How the target of the next moves, lines and waits moves, from the route's beginning on."""

    def __init__(self, joints: Array, base: Array, pace: Pace) -> None:
        self._start = np.append(joints, base)
        self._pace = pace
        self._drive_step = min(_MAX_DRIVE_STEP_M, _DRIVE_SHARE * pace.line_step_m)
        self.rows: list[Array] = []

    def __len__(self) -> int:
        """Return the number of steps."""
        return len(self.rows)

    @property
    def last(self) -> Array:
        """The last targets, (9,)."""
        return self.rows[-1] if self.rows else self._start

    def targets(self) -> Array:
        """Return the start and all targets, (1 + T, 9)."""
        return np.stack([self._start, *self.rows])

    def move(
        self,
        joints: ArrayLike | None = None,
        *,
        jaw: float | None = None,
        base: Array | None = None,
    ) -> None:
        """Move arm (5,) and base (3,) to targets at the same time, both along straight lines."""
        start = self.last
        end = start.copy()
        if joints is not None:
            end[:5] = joints
        if jaw is not None:
            end[5] = jaw
        if base is not None:
            end[6:] = base
        steps, meant = 0, end.copy()
        for _ in range(1 if self.track is None else _MEETINGS):
            end = meant + self._tracked(steps)
            driven = np.hypot(*(end - start)[6:8]) + _TURN_RADIUS_M * abs(end[8] - start[8])
            steps = max(
                min_jerk_steps(start[:5], end[:5], self._pace.joint_step_rad),
                min_jerk_steps(0.0, driven, self._drive_step),
            )
        self.rows += [start + share * (end - start) for share in min_jerk(steps)]

    def _tracked(self, steps: int = 0) -> Array:
        """Return how far the base's target will have moved, (9,), ``steps`` after the last row."""
        moved = np.zeros(9)
        if self.track is not None:
            moved[6:8] = self.track(np.array([len(self.rows) + steps]))[0, :2]
        return moved

    def _stay(self, rows: list[Array]) -> None:
        """Add rows in which the base stays where it is, or over its target."""
        here = self._tracked()
        ahead = [self._tracked(step) for step in range(1, len(rows) + 1)]
        self.rows += [row + (there - here) for row, there in zip(rows, ahead, strict=True)]

    def line(
        self,
        point: ArrayLike,
        grip: RouteGrip,
        *,
        clearance: float = 0.0,
        jaw: float | None = None,
        steps: int | None = None,
    ) -> bool:
        """Move the held point along a straight line to a point in the arm's frame; the base stays.

        Args:
            point: target of the held point, (3,), m.
            grip: the grip on the item.
            clearance: gap between the fixed jaw and the item, m.
            jaw: jaw angle at the end, rad; None keeps the present angle.
            steps: number of steps; None derives it from the pace.

        Returns:
            Whether the arm can make the move; if not, no targets are added.
        """
        start = self.last
        end = np.asarray(point, dtype=np.float64)
        first = forward(start).point(grip.tool(clearance))
        count = min_jerk_steps(first, end, self._pace.line_step_m) if steps is None else steps
        shares = min_jerk(count)[:, None]
        joints = grip.solve(first + shares * (end - first), clearance)
        if joints is None:
            return False
        fixed = np.tile(start[5:], (count, 1))
        if jaw is not None:
            fixed[:, :1] += shares * (jaw - start[5])
        self._stay(list(np.hstack([joints, fixed])))
        return True

    def wait(self, steps: int, *, jaw: float | None = None) -> None:
        """Hold arm and base still and command the jaw to an angle."""
        row = self.last.copy()
        if jaw is not None:
            row[5] = jaw
        self._stay([row] * steps)


def velocities(targets: Array, base: Array, index: int, count: int) -> NDArray[np.float64]:
    """Return the next velocities of the base in its own frame, (count, 3), m/s and rad/s.

    Args:
        targets: targets of a route, (1 + T, 9).
        base: present pose of the base: x, y (m), yaw (rad).
        index: number of executed steps of the route.
        count: number of velocities; the base returns to its route within this number of steps.
    """
    rows = np.minimum(np.arange(index, index + count + 1), len(targets) - 1)
    poses = targets[rows, 6:]
    moves = np.diff(poses, axis=0) + (poses[0] - base) / count
    yaw = poses[:-1, 2] + np.diff(poses[:, 2]) / 2
    cos, sin = np.cos(yaw), np.sin(yaw)
    forward_m, left_m = cos * moves[:, 0] + sin * moves[:, 1], cos * moves[:, 1] - sin * moves[:, 0]
    return np.stack([forward_m, left_m, moves[:, 2]], axis=1) / _STEP_S
