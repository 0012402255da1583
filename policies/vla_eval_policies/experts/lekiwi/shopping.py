"""Expert for lekiwi/Shopping…: drive to the item, take it, drive to the basket, drop it in.

The expert plans one leg after the other from the present state: to the stand; around the item, close,
up, back; to the basket, down, open, up. At every inference it checks whether the leg is still valid.
It plans again if the item moved before the grasp, or is not in the hand afterwards. Items are held by
friction alone.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from vla_eval.environment import EvalEnv
from vla_eval.errors import UsageError
from vla_eval_envs.lekiwi.chassis import ARM_MOUNT
from vla_eval_envs.lekiwi.items import ITEMS
from vla_eval_envs.lekiwi.shopping import Shopping
from vla_eval_envs.lekiwi.world import BASKET
from vla_eval_envs.manipulation.driven import Track
from vla_eval_envs.so101.kinematics import forward
from vla_eval_envs.so101.units import to_radians
from vla_eval_policies.experts.lekiwi.route import (
    Route,
    RouteGrip,
    bearing,
    in_arm_frame,
    in_world,
    velocities,
)
from vla_eval_policies.experts.motion import PACES, Pace
from vla_eval_policies.experts.so101.path import Array

__all__ = ["ShoppingExpert"]

_SIDE_TILT = np.deg2rad(78.0)  # fingers 12 degrees below the horizon, for upright items
_SIDE_FINGER_Z, _TOP_FINGER_Z = -0.078, -0.094
_SIDE_REACH, _TOP_REACH = 0.335, 0.21
"""Distances of the base from the item, m."""
_MAX_DOCK_X = 0.415  # if nearer, the base would touch the stand
_SIDE_APPROACH, _TOP_APPROACH = np.array([0.07, 0.0, 0.0]), np.array([0.0, 0.0, -0.06])
_MIN_TOP_GRASP = 0.0135  # height of the held point over the tier, m; the fingertips are 10 mm below
_CLEARANCE_M = 0.008  # gap between fixed jaw and item on the way in
_LIFT_M = 0.065
_AWAY_X = 0.265
"""Largest x of the base, m, at which it can turn without the arm touching the stand."""
_PARK = np.array([0.25, 0.12, 0.0])
"""Pose of the base for the release into the basket: x, y (m), yaw (rad)."""
_HIGH_Z = 0.20
_SIDE_DROP_Z, _TOP_DROP_Z = 0.105, 0.075
"""Heights of the held point over the basket before and when the jaws open, m, world."""

_CLOSED = float(to_radians([0] * 6)[5])
_OPEN_ROOM, _RELEASE_ROOM = 0.014, 0.010
"""Additional opening of the jaws beyond the item and the clearance, m."""
_CLOSE_STEPS, _SQUEEZE_STEPS, _OPEN_STEPS, _REST_STEPS = 10, 4, 6, 15
_MOVED_M = 0.008
"""Largest distance of an item from its planned place before the jaws close."""
_DOCKED, _READY_RAD = 0.008, 0.06
"""Largest distance of base (m and rad) and joints from the start of the grasp."""
_LOST_M = 0.025
"""Largest distance of a carried item from its place in the hand."""


@dataclass(frozen=True)
class _Leg:
    """Targets (1 + T, 9) and the steps between which the item must be at rest, or in the hand."""

    targets: Array
    start_step: int
    place: Array
    """Position of the item in the world at planning time, (3,), m."""
    rests_until: int = 0
    held_from: int = 0
    held_until: int = 0


class ShoppingExpert:
    """The expert in one episode."""

    def __init__(
        self,
        env: EvalEnv,
        *,
        pace: Pace = PACES["normal"],
        generator: np.random.Generator | None = None,
    ) -> None:
        del generator  # this expert does not draw
        if not isinstance(env.unwrapped, Shopping):
            raise UsageError(f"the expert of lekiwi/Shopping cannot act in {env}")
        self._env: Shopping = env.unwrapped
        self._pace = pace
        self._item = ITEMS[self._env.item]
        self._lies = self._item.name == "chocolate"
        self._leg: _Leg | None = None

    def actions(self, step: int, count: int) -> NDArray[np.float32]:
        """Return the next actions, float32 (count, 9), after ``step`` executed actions."""
        if self._leg is None or not self._holds(self._leg, step):
            self._leg = self._plan(step)
        done = step - self._leg.start_step
        targets = self._leg.targets
        rows = np.minimum(np.arange(1, count + 1) + done, len(targets) - 1)
        driving = velocities(targets, self._env.base_pose(), done, count)
        return self._env.units.action(np.hstack([targets[rows, :6], driving]))

    def _holds(self, leg: _Leg, step: int) -> bool:
        """Return whether the leg is still valid in the present state."""
        done = step - leg.start_step
        place, _ = self._env.object_pose(self._item.name)
        if done < leg.rests_until and np.linalg.norm(place - leg.place) > _MOVED_M:
            return False
        if leg.held_from <= done < leg.held_until and not self._in_hand():
            return False
        return done < len(leg.targets) - 1

    def _in_hand(self) -> bool:
        place, _ = self._env.object_pose(self._item.name)
        tool = self._grip(self._env.base_pose()).tool()
        hand = forward(self._env.joint_angles()).point(tool)
        return float(np.linalg.norm(in_world(hand, self._env.base_pose()) - place)) < _LOST_M

    def _plan(self, step: int) -> _Leg:
        """Return the next leg for the present state."""
        place, _ = self._env.object_pose(self._item.name)
        route = Route(self._env.joint_angles(), self._env.base_pose(), self._pace)
        if BASKET.contains(place - self._basket_shift()):
            self._leave(route)
        elif self._in_hand():
            return self._deliver(route, step)
        elif self._is_docked():
            return self._fetch(route, step)
        else:
            self._dock(route)
        return _Leg(route.targets(), step, place, rests_until=len(route))

    def _basket_shift(self) -> Array:
        """Return how far the basket is from its place, (3,), m."""
        return np.zeros(3)

    def _basket_track(self) -> Track | None:
        """Return how the basket moves from now on; None if it stands still."""
        return None

    def _grip(self, base: Array) -> RouteGrip:
        """Return the grip on the item for a base at (x, y, yaw)."""
        if not self._lies:
            return RouteGrip(-np.pi / 2, self._item.width, _SIDE_FINGER_Z, _SIDE_TILT)
        place, rotation = self._env.object_pose(self._item.name)
        yaw = float(np.arctan2(rotation[1, 0], rotation[0, 0])) - base[2]
        yaw -= np.pi * np.round(yaw / np.pi)
        return RouteGrip(
            yaw - bearing(in_arm_frame(place, base)), self._item.width, _TOP_FINGER_Z, None
        )

    def _target(self, base: Array) -> Array:
        """Return the grasp point of the item in the arm's frame, (3,), m."""
        place, _ = self._env.object_pose(self._item.name)
        if self._lies:
            place[2] = max(place[2], self._item.shelf_z + _MIN_TOP_GRASP)
        return in_arm_frame(place, base)

    def _before(self, base: Array) -> Array | None:
        """Return the joints (5,), rad, from which the open hand goes straight to the item."""
        approach = _TOP_APPROACH if self._lies else _SIDE_APPROACH
        joints = self._grip(base).solve([self._target(base) - approach], _CLEARANCE_M)
        return None if joints is None else joints[0]

    def _is_docked(self) -> bool:
        base, joints = self._env.base_pose(), self._before(self._env.base_pose())
        if joints is None or np.abs(base - self._dock_pose()).max() > _DOCKED:
            return False
        return bool(np.abs(joints - self._env.joint_angles()[:5]).max() < _READY_RAD)

    def _dock_pose(self) -> Array:
        """Return the pose of the base for the grasp: x, y (m), yaw (rad)."""
        place, _ = self._env.object_pose(self._item.name)
        reach, aside = (_TOP_REACH, 0.0) if self._lies else (_SIDE_REACH, self._item.width / 2)
        return np.array([min(place[0] - reach, _MAX_DOCK_X), place[1] + aside, 0.0])

    def _dock(self, route: Route) -> None:
        """Drive to the stand and hold the open hand in front of the item, or over it."""
        base, dock = self._env.base_pose(), self._dock_pose()
        joints = self._before(dock)
        fallen = self._env.object_pose(self._item.name)[0][2] < self._item.shelf_z
        if joints is None or fallen:  # no grasp is possible
            route.wait(_REST_STEPS)
            return
        if base[0] > _AWAY_X:
            route.move(base=np.array([_AWAY_X - 0.01, *base[1:]]))
        route.move(joints, jaw=_jaw(self._item.width + _CLEARANCE_M + _OPEN_ROOM), base=dock)

    def _fetch(self, route: Route, step: int) -> _Leg:
        """Take the item, lift it, drive back."""
        base = self._env.base_pose()
        grip, target, pause = self._grip(base), self._target(base), self._pace.pause
        route.line(target, grip, clearance=_CLEARANCE_M)
        closing = len(route)
        route.line(target, grip, jaw=_CLOSED, steps=_CLOSE_STEPS * pause)
        route.wait(_SQUEEZE_STEPS * pause)
        route.line(np.add(target, [0.0, 0.0, _LIFT_M]), grip)
        lifted = len(route)
        route.move(base=np.array([_AWAY_X, *base[1:]]))
        place, _ = self._env.object_pose(self._item.name)
        return _Leg(route.targets(), step, place, closing, lifted, len(route))

    def _deliver(self, route: Route, step: int) -> _Leg:
        """Bring the item over the basket, lower it, release it, leave."""
        base, joints = self._env.base_pose(), self._env.joint_angles()
        if base[0] > _AWAY_X + 0.02:
            route.move(base=np.array([_AWAY_X, *base[1:]]))
        grip = replace(self._grip(base), roll=float(joints[4]))
        above = in_arm_frame([*BASKET.centre, _HIGH_Z], _PARK)
        way = grip.solve([above])
        route.track = self._basket_track()
        if way is not None:
            route.move(way[0], base=np.add(_PARK, [*self._basket_shift()[:2], 0.0]))
        drop = _TOP_DROP_Z if self._lies else _SIDE_DROP_Z
        route.line(np.add(above, [0.0, 0.0, drop - _HIGH_Z]), grip)
        release = len(route)
        self._leave(route)
        place, _ = self._env.object_pose(self._item.name)
        return _Leg(route.targets(), step, place, held_until=release)

    def _leave(self, route: Route) -> None:
        """Open the jaws, move the hand up, wait for the item to come to rest."""
        joints = route.last[:6]
        route.wait(_OPEN_STEPS * self._pace.pause, jaw=_jaw(self._item.width + _RELEASE_ROOM))
        grip = replace(self._grip(self._env.base_pose()), roll=float(joints[4]))
        held = forward(joints).point(grip.tool())
        route.line([*held[:2], max(held[2], _HIGH_Z - ARM_MOUNT[2])], grip)
        route.wait(_REST_STEPS)


def _jaw(gap: float) -> float:
    """Return the jaw's angle, rad, that leaves a gap (m) between the fingertips."""
    return float(np.deg2rad((gap - 0.0177) / 1.31e-3))
