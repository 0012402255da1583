"""Skills of the LIBERO expert for parts that turn or slide: drawers, doors, knobs."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from vla_eval_policies.experts.libero.grasps import nearer, plan_grasp, yaws
from vla_eval_policies.experts.libero.gripper import TIP_M, facing
from vla_eval_policies.experts.libero.motion import CLOSE, OPEN, Move
from vla_eval_policies.experts.libero.scene import Joint, LiberoScene, Pose
from vla_eval_policies.experts.libero.skills import Attempt, grasping, retreat, way

__all__ = ["close_up", "open_up", "turn", "widen"]

_TRIES = 4
_HANDLE_M = 0.018
_KNOB_M = 0.025
_UP = np.array([0.0, 0.0, 1.0])
# Margins beyond the smallest angle or distance that counts.
_BEYOND_RAD = 0.25
_SURELY_M = 0.01
# A drawer is pulled out further only if it can move by more than this.
_BEYOND_M = 0.004
# Place of the fingers that hook into an open drawer: distance behind its front and below its edge.
_HOOK_M = 0.022
_HOOK_DEPTH_M = 0.03
_PUSH_LEAN_RAD = 0.8
_NEARLY_STEPS = 20


def _middle(ranges: list[float]) -> float:
    return 0.5 * (min(ranges) + max(ranges))


def _is_open(scene: LiberoScene, name: str, joint: Joint) -> bool:
    ranges = scene.articulation(name)
    opened, closed = ranges["default_open_ranges"], ranges["default_close_ranges"]
    sign = np.sign(_middle(opened) - _middle(closed))
    return bool(sign * joint.value > min(sign * np.array(opened)))


def _outward(scene: LiberoScene, name: str, joint: Joint) -> NDArray[np.float64]:
    """Return the opening direction of a drawer, (3,)."""
    ranges = scene.articulation(name)
    sign = np.sign(_middle(ranges["default_open_ranges"]) - _middle(ranges["default_close_ranges"]))
    return np.asarray(sign * joint.axis)


def _handle(scene: LiberoScene, joint: Joint, outward: NDArray[np.float64]) -> NDArray[np.float64]:
    points = scene.body_points(joint.body)
    along = points @ outward
    return np.asarray(points[along > along.max() - _HANDLE_M])


def _leaning(outward: NDArray[np.float64], angle: float) -> NDArray[np.float64]:
    """Return the rotation of a hand that points against ``outward`` and down by ``angle`` in rad."""
    approach = -np.cos(angle) * outward - np.sin(angle) * _UP
    return facing(approach, -np.sin(angle) * outward + np.cos(angle) * _UP)


def open_up(scene: LiberoScene, name: str) -> Attempt:
    """Open a drawer by its handle; returns whether it is open."""
    failed: list[NDArray[np.float64]] = []
    for _ in range(_TRIES):
        joint = scene.joint(name)
        if joint is None or _is_open(scene, name, joint):
            return joint is not None
        outward = _outward(scene, name, joint)
        handle, hand = _handle(scene, joint, outward), scene.hand()
        others = scene.surroundings()
        angles = np.deg2rad([90, 75, 60, 45, 30, 15, 0])
        grasp = plan_grasp(
            handle,
            others,
            hand,
            rotations=[_leaning(outward, a) for a in angles],
            avoid=failed,
            loose=True,
        )
        if grasp is None:
            return False
        pose = grasp.pose
        failed.append(pose.position)
        goal = grasp.closed + outward * (_to_open(scene, name, joint) + _SURELY_M)
        yield grasping(others, hand, grasp)
        yield [Move(goal, pose.rotation, CLOSE, tolerance_m=0.008, max_steps=40, speed=0.8)]
        yield retreat(scene.hand())
    joint = scene.joint(name)
    return joint is not None and _is_open(scene, name, joint)


def _to_open(scene: LiberoScene, name: str, joint: Joint) -> float:
    """Return the distance, in m, by which a drawer can still be pulled out."""
    ranges = scene.articulation(name)
    sign = np.sign(_middle(ranges["default_open_ranges"]) - _middle(ranges["default_close_ranges"]))
    return float((joint.high if sign > 0 else joint.low) * sign - joint.value * sign)


def widen(scene: LiberoScene, name: str) -> Attempt:
    """Pull an open drawer out to its end, with closed fingers behind its front.

    An object that is put in from above needs the whole opening. Returns whether it was necessary.
    """
    joint = scene.joint(name)
    if joint is None or not joint.sliding or _to_open(scene, name, joint) < _BEYOND_M:
        return False
    outward, site = _outward(scene, name, joint), scene.site(name)
    inside = float(np.abs(site.rotation.T @ outward) @ site.size)
    rotation = facing(-_UP, np.cross(_UP, outward))
    hand = scene.hand()
    rotation = nearer(rotation, hand.rotation)
    hook = site.position + outward * (inside - _HOOK_M)
    hook[2] = float(scene.body_points(joint.body)[:, 2].max()) - _HOOK_DEPTH_M + TIP_M
    pull = hook + outward * (_HOOK_M + _to_open(scene, name, joint))
    above = Pose(hook + 0.06 * _UP, rotation)
    yield [
        *way(scene.surroundings(), hand, above, CLOSE),
        Move(hook, rotation, CLOSE, max_steps=20),
        Move(pull, rotation, CLOSE, tolerance_m=0.01, max_steps=25, speed=0.6),
        Move(pull - 0.02 * outward, rotation, CLOSE, tolerance_m=0.01, max_steps=10),
        Move(pull - 0.02 * outward + 0.06 * _UP, rotation, CLOSE, tolerance_m=0.02, max_steps=15),
    ]
    return True


def close_up(scene: LiberoScene, name: str) -> Attempt:
    """Push a drawer shut; returns whether the hand made the push."""
    joint = scene.joint(name)
    if joint is None:
        return False
    outward = _outward(scene, name, joint)
    handle, hand = _handle(scene, joint, outward), scene.hand()
    # The hand's wide side lies along the drawer's front, clear of objects above.
    approach = _leaning(outward, _PUSH_LEAN_RAD)[:, 2]
    rotation = nearer(facing(approach, np.cross(_UP, outward)), hand.rotation)
    front = handle.mean(axis=0) + outward * 0.02
    start = Pose(front + outward * 0.05, rotation)
    shut = abs(joint.value) + 0.03
    # If the hand cannot come this low in front of the drawer, a nearby position is good enough.
    *there, last = way(scene.surroundings(), hand, start, CLOSE)
    yield [*there, replace(last, max_steps=_NEARLY_STEPS)]
    yield [Move(front - outward * shut, rotation, CLOSE, max_steps=40, speed=0.8)]
    yield [Move(start.position, rotation, OPEN, tolerance_m=0.03, max_steps=20)]
    return True


def turn(scene: LiberoScene, name: str, *, on: bool) -> Attempt:
    """Turn a knob; returns whether the hand made the turn."""
    joint = scene.joint(name)
    if joint is None:
        return False
    ranges = scene.articulation(name)
    goal = min(ranges["default_turnon_ranges"]) + _BEYOND_RAD if on else joint.low
    points, hand = scene.body_points(joint.body), scene.hand()
    knob = points[points[:, 2] > points[:, 2].max() - _KNOB_M]
    others = scene.surroundings()
    grasp = plan_grasp(knob, others, hand, rotations=yaws(), loose=True)
    if grasp is None:
        return False
    pose = grasp.pose
    yield grasping(others, hand, grasp)
    angle = goal - joint.value
    moves = []
    for part in np.linspace(0.25, 1.0, 4):
        turned = Rotation.from_rotvec(joint.axis * angle * part).as_matrix()
        position = joint.anchor + turned @ (grasp.closed - joint.anchor)
        moves.append(Move(position, turned @ pose.rotation, CLOSE, tolerance_m=0.02, max_steps=20))
    yield moves
    yield retreat(scene.hand())
    return True
