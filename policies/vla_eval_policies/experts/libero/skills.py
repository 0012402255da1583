"""Skills of the LIBERO expert: travel, pick, put down, push."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from dataclasses import replace
from functools import partial

import numpy as np
from numpy.typing import NDArray

from vla_eval_policies.experts.libero.grasps import Grasp, nearer, plan_grasp, yaws
from vla_eval_policies.experts.libero.gripper import TIP_M, facing, hand_points
from vla_eval_policies.experts.libero.motion import CLOSE, OPEN, Move
from vla_eval_policies.experts.libero.places import (
    Ground,
    Spot,
    find_spot,
    find_way_out,
    way_heights,
)
from vla_eval_policies.experts.libero.scene import LiberoScene, Pose

__all__ = ["Attempt", "drag", "pick", "put_down", "retreat", "shifted", "way"]

Attempt = Generator[Sequence[Move], None, bool]
"""A skill that returns whether it worked."""

_CLEAR_M = 0.03
_WAY_WIDTH_M = 0.10
_APPROACH_M = 0.07
_LIFT_M = 0.05
_LIFT_SPEED = 0.2
# An object that slipped further than this between the fingers was not held.
_SLIP_M = 0.02
# The fingers' targets ramp for this many steps; then the fingers need this many steps a metre.
_CLOSING_STEPS = 5
_CLOSING_STEPS_PER_M = 105.0
_OPEN_M = 0.078
_NEAR_M = 0.01
# While pushing, the fingers' target is this much lower, so that they press down. Otherwise they would
# climb over a shallow rim.
_PRESS_M = 0.03
_PUSH_SPEED = 0.5
_OPENING_STEPS = 5
# Ways shorter than this are skipped.
_STAY_M = 0.001
_TRIES = 5
# The upright hand is tried first; a tilted hand can reach into drawers.
_LEANS_RAD = (0.0, 0.35, -0.35, 0.7, -0.7)
# Largest distance of a placed object from the middle of a plate or bowl; LIBERO accepts 3 cm.
_ON_THING_M = 0.0
# Margin from the edge of a region.
_EDGE_M = 0.02
_HAND_REACH_M = 0.2


def shifted(pose: Pose, shift: NDArray[np.float64]) -> Pose:
    """Return a pose moved by (3,) m."""
    return Pose(pose.position + shift, pose.rotation)


def way(
    scene: NDArray[np.float64],
    start: Pose,
    goal: Pose,
    gripper: float,
    *,
    held: NDArray[np.float64] | None = None,
) -> list[Move]:
    """Return moves up, over and down to a pose, above everything on the way.

    Args:
        scene: points on everything except the hand and the held object, (n, 3).
        start: present pose of the hand.
        goal: target pose of the hand.
        gripper: command of the gripper.
        held: points on the held object relative to the grasp point, (m, 3).
    """
    hang = TIP_M
    parts: list[tuple[NDArray[np.float64], float]] = [(np.zeros(3), _WAY_WIDTH_M)]
    if held is not None:
        hang = max(hang, -float(held[:, 2].min()))
        middle = np.append(0.5 * (held.min(axis=0) + held.max(axis=0))[:2], 0.0)
        parts.append((middle, float(np.linalg.norm((held - middle)[:, :2], axis=1).max()) + 0.01))
    heights = [
        way_heights(
            scene, start.position + aside, goal.position + aside, width=width, clear=hang + _CLEAR_M
        )
        for aside, width in parts
    ]
    over, up = np.max(heights, axis=0)
    over = max(float(over), float(goal.position[2]))
    moves = []
    far = float(np.linalg.norm(goal.position[:2] - start.position[:2])) > 0.02
    if far and start.position[2] < up - 0.01:
        first = np.array([*start.position[:2], up])
        moves.append(Move(first, start.rotation, gripper, tolerance_m=0.025, tolerance_rad=9.0))
    if far and over > goal.position[2] + 0.01:
        last = np.array([*goal.position[:2], over])
        moves.append(Move(last, goal.rotation, gripper, tolerance_m=0.02, tolerance_rad=0.2))
    moves.append(Move(goal.position, goal.rotation, gripper, tolerance_m=0.01))
    return moves


def retreat(hand: Pose, distance: float = 0.08) -> list[Move]:
    """Return moves that open the fingers and draw the hand back along its axis by ``distance``, m."""
    back = hand.position - hand.rotation[:, 2] * distance
    return [
        Move(
            hand.position, hand.rotation, OPEN, min_steps=_OPENING_STEPS, max_steps=_OPENING_STEPS
        ),
        Move(back, hand.rotation, OPEN, tolerance_m=0.02, max_steps=15),
    ]


def grasping(scene: NDArray[np.float64], hand: Pose, chosen: Grasp) -> list[Move]:
    """Return moves to a grasp; at the end the fingers are closed."""
    grasp = chosen.pose
    before = shifted(grasp, -grasp.rotation[:, 2] * _APPROACH_M)
    reach = Move(
        grasp.position, grasp.rotation, OPEN, tolerance_m=0.004, max_steps=45, speed=0.7, chunk=2
    )
    steps = _CLOSING_STEPS + int(_CLOSING_STEPS_PER_M * (_OPEN_M - chosen.width))
    close = replace(
        reach, position=chosen.closed, gripper=CLOSE, min_steps=steps, max_steps=steps, chunk=5
    )
    return [*way(scene, hand, before, OPEN), reach, close]


def pick(scene: LiberoScene, name: str, place: str) -> Attempt:
    """Pick up an object for its goal place; returns whether it is in the hand."""
    failed: list[NDArray[np.float64]] = []
    for _ in range(_TRIES):
        target, others = scene.points(name), scene.surroundings(name)
        hand, where = scene.hand(), _Place(scene, name, place)
        grasp = None
        for lean in _LEANS_RAD:
            grasp = grasp or plan_grasp(
                target,
                others,
                hand,
                rotations=yaws(lean=lean),
                avoid=failed,
                spare=scene.spare_reach,
                cost=where.cost,
            )
        if grasp is None:
            return False
        pose = grasp.pose
        at = _local(scene, name, grasp.closed)
        up = grasp.closed + np.array([0.0, 0.0, _LIFT_M])
        yield [
            *grasping(np.concatenate([target, others]), hand, grasp),
            Move(up, pose.rotation, CLOSE, tolerance_m=0.015, max_steps=20, speed=_LIFT_SPEED),
        ]
        if scene.grasped(name) or _follows(scene, name, at):
            return True
        failed.append(pose.position)
        yield retreat(scene.hand())
    return False


def _lost(scene: LiberoScene, name: str) -> Callable[[], bool]:
    """Return a function that tells whether the object that is held now has been lost."""
    at = _local(scene, name, scene.hand().position)
    return lambda: not _follows(scene, name, at)


def _local(scene: LiberoScene, name: str, point: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return a point of the world in an object's frame."""
    pose = scene.pose(name)
    return np.asarray(pose.rotation.T @ (point - pose.position))


def _follows(scene: LiberoScene, name: str, at: NDArray[np.float64]) -> bool:
    """Return whether a point of an object, in the object's frame, is still at the hand."""
    pose = scene.pose(name)
    away = pose.position + pose.rotation @ at - scene.hand().position
    return float(np.linalg.norm(away)) < _SLIP_M


def put_down(scene: LiberoScene, name: str, place: str) -> Attempt:
    """Put the held object on an object, or in or on a region; returns whether it was released there."""
    hand = scene.hand()
    spot = _Place(scene, name, place).spot(hand)
    held = scene.points(name)
    above = shifted(hand, spot.shift + np.array([0.0, 0.0, 0.03]))
    lost, others = _lost(scene, name), scene.surroundings(name)
    fingers = hand.position + hand_points() @ hand.rotation.T
    out = find_way_out(held, fingers, others)
    start = shifted(hand, out)
    moves = [
        *_outwards(hand, start),
        *way(others, start, above, CLOSE, held=held - hand.position),
    ]
    yield [replace(move, until=lost) for move in moves]
    if lost():
        return False
    hand = scene.hand()
    spot = _Place(scene, name, place).spot(hand)
    down = hand.position + spot.shift
    yield [Move(down, hand.rotation, CLOSE, tolerance_m=0.004, max_steps=25, speed=0.6, chunk=2)]
    yield retreat(scene.hand())
    return True


def _outwards(hand: Pose, start: Pose) -> list[Move]:
    """Return moves of the held object out from under an obstacle: up as far as possible, then aside."""
    corner = np.append(hand.position[:2], start.position[2])
    ends = [
        end for end in (corner, start.position) if np.linalg.norm(end - hand.position) > _STAY_M
    ]
    return [Move(end, start.rotation, CLOSE, tolerance_m=0.015) for end in ends]


def drag(scene: LiberoScene, name: str, place: str) -> Attempt:
    """Push a flat object to its goal, with closed fingers pressed down inside its rim.

    Returns whether the hand reached the end of its way.
    """
    start, goal = scene.pose(name).position, _centre(scene, place)
    line = np.array([*(goal - start)[:2], 0.0])
    ahead = line / max(float(np.linalg.norm(line)), 1e-9)
    rotation = facing(np.array([0.0, 0.0, -1.0]), np.array([ahead[1], -ahead[0], 0.0]))
    hand = scene.hand()
    rotation = nearer(rotation, hand.rotation)
    points = scene.points(name)
    inside = np.linalg.norm(points[:, :2] - start[:2], axis=1) < 0.03
    floor = float(points[inside, 2].max())
    down = np.array([*start[:2], floor + TIP_M + 0.002])
    above = Pose(down + np.array([0.0, 0.0, 0.06]), rotation)
    yield [
        *way(scene.surroundings(), hand, above, CLOSE),
        Move(down, rotation, CLOSE, tolerance_m=0.004, max_steps=20, chunk=2),
    ]
    # The fingers move ahead of the object's middle until they touch its rim.
    rim = float(np.linalg.norm((points - start)[:, :2], axis=1).max())
    end = down + line + ahead * rim - np.array([0.0, 0.0, _PRESS_M])
    near = partial(_near, scene, name, goal)
    yield [Move(end, rotation, CLOSE, max_steps=60, speed=_PUSH_SPEED, chunk=2, until=near)]
    yield retreat(scene.hand())
    return True


def _near(scene: LiberoScene, name: str, goal: NDArray[np.float64]) -> bool:
    away = float(np.linalg.norm((scene.pose(name).position - goal)[:2]))
    return away < _NEAR_M


def _centre(scene: LiberoScene, place: str) -> NDArray[np.float64]:
    return scene.site(place).position if scene.is_site(place) else scene.pose(place).position


class _Place:
    """The goal place of one object: on an object, or in or on a region."""

    def __init__(self, scene: LiberoScene, name: str, place: str) -> None:
        self._held, self._origin = scene.points(name), scene.pose(name).position
        if scene.is_site(place):
            site = scene.site(place)
            self._centre = site.position
            # The two axes of the region that are most horizontal.
            order = np.argsort(np.abs(site.rotation[2]))[:2]
            axes = site.rotation[:2, order].T
            self._axes = axes / np.maximum(np.linalg.norm(axes, axis=1, keepdims=True), 1e-9)
            self._freedom = np.maximum(site.size[order] - _EDGE_M, 0.0)
            self._outwards = _shared(scene, name, place)
        else:
            self._centre, self._axes = scene.pose(place).position, np.eye(2)
            self._freedom, self._outwards = np.full(2, _ON_THING_M), False
        reach = float(np.linalg.norm(self._freedom) + np.ptp(self._held[:, :2])) + _HAND_REACH_M
        self._ground = Ground(scene.surroundings(name), self._centre, reach)

    def spot(self, hand: Pose) -> Spot:
        """Return the spot for the object if a hand at this pose holds it."""
        return find_spot(
            self._held,
            hand.position + hand_points() @ hand.rotation.T,
            self._ground,
            origin=self._origin,
            centre=self._centre,
            axes=self._axes,
            freedom=self._freedom,
            outwards=self._outwards,
        )

    def cost(self, hand: Pose) -> float:
        """Return the cost, in m, of putting the object here with a grasp."""
        return self.spot(hand).cost


def _shared(scene: LiberoScene, name: str, place: str) -> bool:
    """Return whether another object must still be put at this object's goal."""
    others = [g for g in scene.goals if len(g) == 3 and g[2] == place and g[1] != name]
    return not all(scene.holds(goal) for goal in others)
