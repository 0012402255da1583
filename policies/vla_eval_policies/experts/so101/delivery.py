"""Base of the SO-101 experts: over the object, down, close, up, over the goal, down, open, away.

An expert plans the whole path of one object from the present state. At every inference it checks
whether the plan is still valid. It plans again, beginning with a retreat upwards, if the object moved
before the grasp or is not in the hand during the carry. It also plans again at the end of a plan,
until all objects are delivered. Objects are held by friction alone.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from vla_eval.environment import EvalEnv
from vla_eval.errors import UsageError
from vla_eval_envs.manipulation.driven import Track
from vla_eval_envs.so101.delivery import Delivery, DeliveryTask
from vla_eval_envs.so101.kinematics import PAN_AXIS_X, forward
from vla_eval_envs.so101.units import to_radians
from vla_eval_policies.experts.motion import PACES, Pace
from vla_eval_policies.experts.so101.path import Array, Path, hold_point

__all__ = ["DeliveryExpert", "Grip", "roll_at", "square_yaws", "yaw_of"]

_CLEARANCE_M = 0.008  # gap between fixed jaw and object on the way down
_HOVER_Z, _LIFT_Z, _MIN_GRASP_Z = 0.070, 0.085, 0.0135
_QUARTER = np.pi / 2
_CLOSED = float(to_radians([0] * 6)[5])
_JAW_RAD_PER_M = float(np.deg2rad(1 / 1.31e-3))
"""Additional jaw angle for a wider object, rad per m of width."""
_OPEN_30_MM, _RELEASED_30_MM = (float(to_radians([0] * 5 + [percent])[5]) for percent in (34, 25))
"""Jaw angles, rad, for 30 mm: 12 mm of room on the moving jaw's side; 6 mm more than the object."""
_CLOSE_STEPS, _SQUEEZE_STEPS, _OPEN_STEPS, _REST_STEPS = 8, 4, 5, 15

_MOVED_M = 0.008
"""Largest distance of an object from its planned place before the jaws close."""
_LOST_M = 0.025
"""Largest distance of a carried object from its place in the hand."""


@dataclass(frozen=True)
class Grip:
    """One way to take an object from above."""

    yaw: float
    """Yaw of the jaws' opening direction, rad; the moving jaw is on that side."""
    width: float
    """Width of the object between the jaws, m."""

    def jaw(self, for_30_mm: float) -> float:
        """Return the jaw angle, rad, for this width, from the angle ``for_30_mm`` for 30 mm."""
        return for_30_mm + (self.width - 0.030) * _JAW_RAD_PER_M


@dataclass(frozen=True)
class _Plan:
    """Joint targets (T, 6), rad, and the steps at which grasp, carry and release begin."""

    targets: Array
    start_step: int
    object_name: str = ""
    place: Array | None = None
    track: Track | None = None
    hold: Array | None = None
    grasp: int = 0
    carry: int = 0
    release: int = 0


class DeliveryExpert(ABC):
    """The expert in one episode.

    Args:
        env: the task's environment.
        pace: speed of the motion.
        generator: for choices that the task leaves open; most experts do not draw.
    """

    task: ClassVar[type[DeliveryTask]]

    def __init__(
        self,
        env: EvalEnv,
        *,
        pace: Pace = PACES["normal"],
        generator: np.random.Generator | None = None,
    ) -> None:
        if type(env.unwrapped) is not self.task:
            raise UsageError(f"the expert of so101/{self.task.__name__} cannot act in {env}")
        self._env: DeliveryTask = env.unwrapped
        self._pace = pace
        self._generator = generator or np.random.default_rng(0)
        self._plan: _Plan | None = None

    @abstractmethod
    def _grips(self, name: str) -> list[Grip]:
        """Return the possible grips of an object at its present place, best first."""

    @abstractmethod
    def _goal(self, name: str) -> Array:
        """Return the position of an object's centre at its release, (3,), m."""

    @abstractmethod
    def _arrived(self, name: str) -> bool:
        """Return whether an object is at its goal, even if it is still settling."""

    def _object_track(self, name: str) -> Track | None:
        """Return how an object moves by itself from now on; None if it lies still."""
        del name
        return None

    def _goal_track(self, name: str) -> Track | None:
        """Return how an object's goal moves from now on; None if it stays where it is."""
        del name
        return None

    def actions(self, step: int, count: int) -> NDArray[np.float32]:
        """Return the next actions, float32 (count, 6), after ``step`` executed actions."""
        if self._plan is None or not self._holds(self._plan, step):
            self._plan = self._make_plan(step)
        rows = np.arange(count) + step - self._plan.start_step
        targets = self._plan.targets[np.minimum(rows, len(self._plan.targets) - 1)]
        return self._env.units.action(targets)

    def _holds(self, plan: _Plan, step: int) -> bool:
        """Return whether the plan is still valid in the present state."""
        done = step - plan.start_step
        if plan.place is not None and plan.hold is not None:
            place, _ = self._env.object_pose(plan.object_name)
            if done < plan.grasp:
                expected = (
                    plan.place
                    if plan.track is None
                    else plan.place + plan.track(np.array([done]))[0]
                )
                return float(np.linalg.norm(place - expected)) < _MOVED_M
            if plan.carry <= done < plan.release:
                held = forward(self._env.joint_angles()).point(plan.hold)
                return float(np.linalg.norm(place - held)) < _LOST_M
        return done < len(plan.targets)

    def _outstanding(self) -> list[str]:
        """Return the names of the undelivered objects, the next object first."""
        return [
            delivery.object_name for delivery in self._env.deliveries if not self._is_done(delivery)
        ]

    def _is_done(self, each: Delivery) -> bool:
        return self._env.subgoals[each.grasped] and self._arrived(each.object_name)

    def _make_plan(self, step: int) -> _Plan:
        """Return the plan for the next object; without such an object, only a retreat upwards."""
        outstanding = self._outstanding()
        start = Path(self._env.joint_angles(), self._pace)
        start.rise(_HOVER_Z, hold_point(0.030))
        for name in outstanding[:1]:
            for grip in self._grips(name):
                path = Path(self._env.joint_angles(), self._pace)
                path.rows = list(start.rows)
                if self._approach(path, name, grip):
                    return self._deliver(path, name, grip, step, last=len(outstanding) == 1)
        return _Plan(start.targets(), step)

    def _approach(self, path: Path, name: str, grip: Grip) -> bool:
        """Add the approach of the open hand around an object; return whether the arm can reach it."""
        place = _grasp_place(self._env, name)
        tool = hold_point(grip.width, _CLEARANCE_M)
        above = [*place[:2], _HOVER_Z]
        path.track = self._object_track(name)
        return path.move(above, grip.yaw, tool, grip.jaw(_OPEN_30_MM)) and path.line(
            place, grip.yaw, tool
        )

    def _deliver(self, path: Path, name: str, grip: Grip, step: int, *, last: bool) -> _Plan:
        """Return the plan that continues after the approach in ``path``."""
        place, goal = _grasp_place(self._env, name), self._goal(name)
        hold, pause = hold_point(grip.width), self._pace.pause
        grasp = len(path.rows)
        path.line(place, grip.yaw, hold, jaw=_CLOSED, steps=_CLOSE_STEPS * pause)
        self._stay(path, place, grip.yaw, hold, _SQUEEZE_STEPS * pause)
        track, place = path.track, place + path.tracked()
        path.track = None
        path.line([*place[:2], _LIFT_Z], grip.yaw, hold)
        path.track = self._goal_track(name)
        carry = release = len(path.rows)
        above = np.array([*goal[:2], _LIFT_Z])
        for yaw in square_yaws(goal, 0.0, roll=roll_at(place, grip.yaw)):
            if path.move(above, yaw, hold, _CLOSED):
                path.line(goal, yaw, hold)
                release = len(path.rows)
                opened = grip.jaw(_RELEASED_30_MM)
                self._stay(path, goal, yaw, hold, _OPEN_STEPS * pause, opened)
                path.line(above, yaw, hold)
                break
        if last:
            path.wait(_REST_STEPS)
        centre, _ = self._env.object_pose(name)
        return _Plan(path.targets(), step, name, centre, track, hold, grasp, carry, release)

    @staticmethod
    def _stay(
        path: Path, place: Array, yaw: float, tool: Array, steps: int, jaw: float | None = None
    ) -> None:
        """Hold a point of the hand at a place, or over a target that moves."""
        if path.track is None:
            path.wait(steps, jaw=jaw)
        else:
            path.line(place, yaw, tool, jaw=jaw, steps=steps)


def _grasp_place(env: DeliveryTask, name: str) -> Array:
    """Return the grasp point of an object, (3,), m: its centre, but not too close to the table."""
    place, _ = env.object_pose(name)
    return np.array([place[0], place[1], max(float(place[2]), _MIN_GRASP_Z)])


def yaw_of(rotation: Array) -> float:
    """Return a cube's yaw, rad; the cube may lie on any face."""
    flat = np.argsort(np.abs(rotation[2]))[0]
    return float(np.arctan2(rotation[1, flat], rotation[0, flat]))


def roll_at(point: Array, yaw: float) -> float:
    """Return the approximate roll of the wrist, rad, for jaws that open along a yaw at a point."""
    return float(yaw - np.arctan2(point[1], point[0] - PAN_AXIS_X))


def square_yaws(point: Array, yaw: float, *, roll: float = 0.0) -> list[float]:
    """Return the yaws, rad, of a square's sides, sorted by the distance of their wrist roll to ``roll``."""
    first = yaw + _QUARTER * np.round((roll - roll_at(point, yaw)) / _QUARTER)
    turns = sorted(
        (-1, 0, 1, 2, -2), key=lambda k: abs(roll_at(point, first + k * _QUARTER) - roll)
    )
    return [float(first + turn * _QUARTER) for turn in turns]
