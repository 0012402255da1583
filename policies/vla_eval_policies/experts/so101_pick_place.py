"""Expert for so101/PickPlace: over the block, down, close, up, over the box, down, open, away.

It plans the whole motion from the state it finds, and looks at every inference whether the plan
still holds: a block that moved before the grasp, that is not in the hand during the carry, or that
is not in the box at the end makes it plan anew, beginning with a retreat upwards. The block is held
by friction alone.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vla_eval.environment import EvalEnv
from vla_eval.errors import UsageError
from vla_eval_envs.so101.kinematics import forward, inverse, inverse_path
from vla_eval_envs.so101.pick_place import BLOCK_EDGE, BOX, PickPlace
from vla_eval_envs.so101.units import ACTION_HIGH, ACTION_LOW, to_radians, to_units
from vla_eval_policies.experts.motion import min_jerk, min_jerk_steps

__all__ = ["PickPlaceExpert"]

Array = NDArray[np.float64]

_FIXED_JAW_X = -0.008  # inner face of the fixed jaw near its tip, gripper frame, m
_FINGER_Z = -0.094  # 10 mm above the fingertips, gripper frame, m
_CLEARANCE_M = 0.008  # between fixed jaw and block on the way down
_HOLD = np.array([_FIXED_JAW_X + BLOCK_EDGE / 2, 0.0, _FINGER_Z])
"""Centre of a held block in the gripper's frame, m."""
_APPROACH = _HOLD + np.array([_CLEARANCE_M, 0.0, 0.0])

_HOVER_Z, _GRASP_Z, _LIFT_Z, _RELEASE_Z = 0.070, BLOCK_EDGE / 2, 0.085, 0.035
_OPEN, _RELEASED, _CLOSED = (float(to_radians([0] * 5 + [p])[5]) for p in (34.0, 25.0, 0.0))
"""Jaw angles, rad: 12 mm of room on the moving jaw's side; 6 mm more than the block; shut."""

_JOINT_STEP_RAD = 0.07  # 2.1 rad/s; the servos reach 4.9
_LINE_STEP_M = 0.008
_CLOSE_STEPS, _SQUEEZE_STEPS, _OPEN_STEPS, _REST_STEPS = 8, 4, 5, 15

_MOVED_M = 0.008
"""How far a block may be from where the plan found it before the jaws close."""
_LOST_M = 0.025
"""How far a carried block may be from its place in the hand."""


@dataclass(frozen=True)
class _Plan:
    """Joint targets (T, 6), rad, and the steps at which the grasp, the carry and the release begin."""

    targets: Array
    block: Array
    grasp: int
    carry: int
    release: int
    start_step: int


class PickPlaceExpert:
    """The expert in one episode."""

    def __init__(self, env: EvalEnv) -> None:
        if not isinstance(env.unwrapped, PickPlace):
            raise UsageError(f"the expert of so101/PickPlace cannot act in {env.unwrapped}")
        self._env: PickPlace = env.unwrapped
        self._plan: _Plan | None = None

    def actions(self, step: int, count: int) -> NDArray[np.float32]:
        """Return the next actions, float32 (count, 6), when ``step`` have been executed."""
        if self._plan is None or not self._holds(self._plan, step):
            self._plan = self._make_plan(step)
        rows = np.arange(count) + step - self._plan.start_step
        targets = self._plan.targets[np.minimum(rows, len(self._plan.targets) - 1)]
        return np.clip(to_units(targets), ACTION_LOW, ACTION_HIGH).astype(np.float32)

    def _holds(self, plan: _Plan, step: int) -> bool:
        """Return whether the world is still what the plan needs."""
        done = step - plan.start_step
        block, _ = self._env.object_pose("block")
        if done < plan.grasp:
            return float(np.linalg.norm(block - plan.block)) < _MOVED_M
        if plan.carry <= done < plan.release:
            held = forward(self._env.joint_angles()).point(_HOLD)
            return float(np.linalg.norm(block - held)) < _LOST_M
        return done < len(plan.targets)

    def _make_plan(self, step: int) -> _Plan:
        block, rotation = self._env.object_pose("block")
        path = _Path(self._env.joint_angles())
        path.rise()
        yaw = _best_yaw(block, _yaw_of(rotation))
        feasible = path.joint_move([*block[:2], _HOVER_Z], yaw, _APPROACH, _OPEN)
        feasible = feasible and path.line([*block[:2], _GRASP_Z], yaw, _APPROACH)
        if not feasible:
            return _Plan(path.targets(), block, 0, 0, 0, step)
        grasp = len(path.rows)
        path.line([*block[:2], _GRASP_Z], yaw, _HOLD, jaw=_CLOSED, steps=_CLOSE_STEPS)
        path.wait(_SQUEEZE_STEPS)
        path.line([*block[:2], _LIFT_Z], yaw, _HOLD)
        carry = len(path.rows)
        over_box = np.array([*BOX.centre, _LIFT_Z])
        yaw = _best_yaw(over_box, 0.0)
        path.joint_move(over_box, yaw, _HOLD, _CLOSED)
        path.line([*BOX.centre, _RELEASE_Z], yaw, _HOLD)
        release = len(path.rows)
        path.wait(_OPEN_STEPS, jaw=_RELEASED)
        path.line(over_box, yaw, _HOLD)
        path.wait(_REST_STEPS)
        return _Plan(path.targets(), block, grasp, carry, release, step)


class _Path:
    """Joint targets under construction, beginning where the arm is."""

    def __init__(self, joints: Array) -> None:
        self._start = joints
        self.rows: list[Array] = []
        self._point: Array | None = None

    @property
    def _last(self) -> Array:
        return self.rows[-1] if self.rows else self._start

    def targets(self) -> Array:
        """Return the targets, (T, 6), rad: at least one."""
        return np.stack(self.rows or [self._start])

    def rise(self) -> None:
        """Lift the fingers straight up to hovering height, if they are below it."""
        hand = forward(self._start)
        point = hand.point(_HOLD)
        if point[2] < _HOVER_Z:
            yaw = float(np.arctan2(hand.rotation[1, 0], hand.rotation[0, 0]))
            self.joint_move([*point[:2], _HOVER_Z], yaw, _HOLD, float(self._start[5]))

    def joint_move(self, point: ArrayLike3, yaw: float, tool: Array, jaw: float) -> bool:
        """Move a point of the hand to a place along the shortest way in joint space."""
        joints = inverse(point, yaw, tool)
        if joints is None:
            return False
        end = np.append(joints, jaw)
        steps = min_jerk_steps(self._last[:5], joints, _JOINT_STEP_RAD)
        start = self._last
        self.rows += [start + share * (end - start) for share in min_jerk(steps)]
        return True

    def line(
        self,
        point: ArrayLike3,
        yaw: float,
        tool: Array,
        *,
        jaw: float | None = None,
        steps: int | None = None,
    ) -> bool:
        """Move a point of the hand to a place along a straight line in space."""
        first, end = forward(self._last).point(tool), np.asarray(point, dtype=np.float64)
        first_jaw = float(self._last[5])
        last_jaw = first_jaw if jaw is None else jaw
        count = min_jerk_steps(first, end, _LINE_STEP_M) if steps is None else steps
        shares = min_jerk(count)[:, None]
        joints = inverse_path(first + shares * (end - first), yaw, tool)
        if joints is None:
            return False
        jaws = first_jaw + shares * (last_jaw - first_jaw)
        self.rows += list(np.hstack([joints, jaws]))
        return True

    def wait(self, steps: int, *, jaw: float | None = None) -> None:
        """Stay, with the jaw commanded to an angle."""
        row = self._last.copy()
        if jaw is not None:
            row[5] = jaw
        self.rows += [row] * steps


ArrayLike3 = Array | list[float]


def _yaw_of(rotation: Array) -> float:
    """Return a block's yaw, rad, whichever face it lies on."""
    flat = np.argsort(np.abs(rotation[2]))[0]
    return float(np.arctan2(rotation[1, flat], rotation[0, flat]))


def _best_yaw(point: Array, yaw: float) -> float:
    """Return the yaw, of the four that a square has, that needs the least roll at a place."""
    pan = -float(np.arctan2(point[1], point[0]))
    quarter = np.pi / 2
    return float(yaw - quarter * np.round((yaw + pan) / quarter))
