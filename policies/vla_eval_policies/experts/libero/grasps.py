"""Chooses grasps from the shapes of objects: bowls by the rim, boxes across their short side.

The names of objects are not used. A grasp is good if the pads have much contact on both sides, near the
object's middle, and if the hand touches nothing on its way. So an object whose middle does not fit
between the fingers (a bowl, a plate, a mug) is held by its rim.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from vla_eval_policies.experts.libero.arm import turn_between
from vla_eval_policies.experts.libero.gripper import (
    HALF_HAND_M,
    MAX_WIDTH_M,
    PAD_Z_M,
    between,
    blocked,
    top_down,
)
from vla_eval_policies.experts.libero.places import unique_cells
from vla_eval_policies.experts.libero.scene import Pose

__all__ = ["Grasp", "nearer", "plan_grasp", "yaws"]

Reach = Callable[[NDArray[np.float64], NDArray[np.float64]], float]

_DEPTHS_M = (0.036, 0.026, 0.017, 0.010, 0.005)
_PAD_HALF_M = 0.008
_PADS_OPEN_M = 0.0365
_SAME_M = 0.001
_SEEDS = 40
_NEAR_M = 0.11
_BELOW_M = 0.02
# Number of sampled points on two pads; more points do not improve the hold.
_ENOUGH_CONTACT = 8
# Close to the end of its reach the arm is stiff and drifts outwards.
_SPARE_REACH_M = 0.05
# Number of best candidates that are tested for a free way.
_TRIED = 10000
# For grasps that are worse than the best by more than this, ``cost`` is not evaluated.
_WORSE = 0.15
# Price of one metre of ``cost`` (lift, or distance from the goal's middle) in points of the score.
_COST = 3.0
# Largest steepness of the sides, m per m; steeper sides slip out from between the pads.
_STEEPEST = 1.0
# Loss of firmness per unit of steepness below this limit.
_SLIPPERY = 2.0
# Smallest depth on a rim that does not slip, and the penalty below it in points a metre.
_DEEP_M = 0.024
_SHALLOW = 12.0


@dataclass(frozen=True)
class Grasp:
    """A pose of the open hand around an object."""

    pose: Pose
    width: float
    """Width of the object between the pads, m."""
    closed: NDArray[np.float64]
    """Position of the hand while it closes, (3,): both pads touch at the same time."""


class _Strips:
    """Points in a hand's axes, sorted for a fast search near a candidate."""

    def __init__(self, points: NDArray[np.float64]) -> None:
        self._points = points[np.argsort(points[:, 1])]
        self._y = self._points[:, 1]

    def around(self, centre: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the points that a hand at ``centre`` could touch, relative to its grasp point."""
        ends = np.searchsorted(self._y, [centre[1] - HALF_HAND_M, centre[1] + HALF_HAND_M])
        return np.asarray(self._points[ends[0] : ends[1]] - centre)


@dataclass(frozen=True)
class _Candidate:
    centre: NDArray[np.float64]
    """Position in the axes of the hand, (3,)."""
    rotation: NDArray[np.float64]
    width: float
    score: float
    aside: float
    """Offset of the hand from the middle of the held part, m, along its closing axis."""

    def grasp(self) -> Grasp:
        """Return the grasp in the world."""
        position = self.rotation @ self.centre
        closed = position - self.aside * self.rotation[:, 0]
        return Grasp(Pose(position, self.rotation), self.width, closed)


class _Way:
    """The way of the hand along its axis to its target.

    Args:
        target: points on the object to grasp, (n, 3), m, in the world.
        others: points on everything else, (m, 3).
        loose: whether other objects may be between the fingers.
    """

    def __init__(
        self, target: NDArray[np.float64], others: NDArray[np.float64], *, loose: bool
    ) -> None:
        low, high = target.min(axis=0) - _NEAR_M, target.max(axis=0) + _NEAR_M
        # A hand that comes from above or from the side never touches points far below the target.
        low[2] = target[:, 2].min() - _BELOW_M
        near = np.all((others > low) & (others < high + np.array([0.0, 0.0, 1.0])), axis=1)
        self._target, self._others, self._loose = target, others[near], loose
        self._strips: dict[int, tuple[_Strips, _Strips]] = {}

    def is_free(self, candidate: _Candidate) -> bool:
        """Return whether the open hand reaches a candidate without touching anything."""
        which, rotation = id(candidate.rotation), candidate.rotation
        if which not in self._strips:
            self._strips[which] = _Strips(self._target @ rotation), _Strips(self._others @ rotation)
        own, strange = (strip.around(candidate.centre) for strip in self._strips[which])
        return not (blocked(own) or blocked(strange) or (between(strange) and not self._loose))


def yaws(count: int = 24, lean: float = 0.0) -> list[NDArray[np.float64]]:
    """Return orientations of a hand that points down and closes along different directions.

    Args:
        count: number of directions.
        lean: tilt of the hand along the closing direction, rad.
    """
    turn = Rotation.from_rotvec([0.0, lean, 0.0]).as_matrix()
    return [top_down(np.pi * i / count) @ turn for i in range(count)]


def plan_grasp(
    target: NDArray[np.float64],
    others: NDArray[np.float64],
    hand: Pose,
    *,
    rotations: Sequence[NDArray[np.float64]],
    avoid: Iterable[NDArray[np.float64]] = (),
    loose: bool = False,
    spare: Reach = lambda _position, _rotation: 1.0,
    cost: Callable[[Pose], float] | None = None,
) -> Grasp | None:
    """Return the best grasp that the hand can reach along its own axis; None if there is none.

    Args:
        target: points on the object to grasp, (n, 3), m, in the world.
        others: points on everything else, (m, 3).
        hand: present pose of the hand; grasps that need less turning are better.
        rotations: orientations of the hand to try, arrays (3, 3).
        avoid: positions of failed grasps, arrays (3,).
        loose: whether other objects may be between the fingers, as on a part of a larger object.
        spare: distance, in m, by which the arm could reach beyond a pose of the hand.
        cost: how unsuitable, in m, a grasp is for the next skill. It is evaluated for the best grasp of
            every orientation on both sides of the middle.
    """
    middle = 0.5 * (target.min(axis=0) + target.max(axis=0))
    candidates: list[_Candidate] = []
    for half_turn in rotations:
        rotation = nearer(half_turn, hand.rotation)
        candidates += _candidates(target @ rotation, rotation, middle @ rotation, hand, spare)
    failed = list(avoid)
    scored = sorted(candidates, key=lambda c: (_penalty(c, failed) if failed else 0.0) - c.score)
    best: dict[tuple[int, bool], tuple[float, Grasp]] = {}
    good_enough = -np.inf
    way = _Way(target, others, loose=loose)
    for candidate in scored[:_TRIED]:
        beyond = bool(candidate.centre[0] > (middle @ candidate.rotation)[0])
        side = id(candidate.rotation), beyond
        score = candidate.score - _penalty(candidate, failed)
        if score < good_enough:
            break
        if side in best or not way.is_free(candidate):
            continue
        grasp = candidate.grasp()
        if cost is None:
            return grasp
        good_enough = max(good_enough, score - _WORSE)
        best[side] = score - _COST * cost(grasp.pose), grasp
    return max(best.values(), key=lambda scored_grasp: scored_grasp[0])[1] if best else None


def nearer(rotation: NDArray[np.float64], to: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return an orientation or the same with swapped fingers, the nearer of the two to ``to``."""
    # Half a turn about the hand's own axis.
    swapped = rotation * np.array([-1.0, -1.0, 1.0])
    first, second = (float(np.linalg.norm(turn_between(to, r))) for r in (rotation, swapped))
    return rotation if first <= second else swapped


def _penalty(candidate: _Candidate, failed: list[NDArray[np.float64]]) -> float:
    position = candidate.rotation @ candidate.centre
    return sum(0.5 * float(np.exp(-np.linalg.norm(position - p) / 0.03)) for p in failed)


def _candidates(
    target: NDArray[np.float64],
    rotation: NDArray[np.float64],
    middle: NDArray[np.float64],
    hand: Pose,
    spare: Reach,
) -> list[_Candidate]:
    """Return candidates of one orientation; all points are in the hand's axes."""
    turn = float(np.linalg.norm(turn_between(hand.rotation, rotation)))
    cells = unique_cells(target[:, :2], 0.008)[0]
    seeds = [middle[:2], *(cells[:: max(1, len(cells) // _SEEDS)] * 0.008)]
    target = target[np.argsort(target[:, 1])]
    ends = np.array([seed[1] + [-_PAD_HALF_M, _PAD_HALF_M] for seed in seeds])
    candidates = []
    for seed, (first, last) in zip(seeds, np.searchsorted(target[:, 1], ends), strict=True):
        strip = target[first:last]
        row = strip[np.abs(strip[:, 0] - seed[0]) < 0.5 * MAX_WIDTH_M]
        if len(row) == 0:
            continue
        top = float(row[:, 2].min())
        tip = rotation @ np.array([seed[0], seed[1], top])
        stretched = 6.0 * max(0.0, _SPARE_REACH_M - spare(tip, rotation))
        for depth in _DEPTHS_M:
            z = strip[:, 2] - (top + depth)
            layer = strip[(z > PAD_Z_M[0]) & (z < PAD_Z_M[1]), :2]
            held = _held(layer[np.abs(layer[:, 0] - seed[0]) < 0.5 * MAX_WIDTH_M], seed[1])
            if held is None:
                continue
            x, width, firmness = held
            more = layer[np.abs(layer[:, 0] - x) > 0.5 * width + _SAME_M, 0]
            slack = 0.5 * (MAX_WIDTH_M - width)
            # With the hand off the middle, one finger starts nearer to the object and the other
            # closes further. So an object beside a wall can be grasped.
            for aside in (0.0, -slack, slack):
                # The pads would touch something else first.
                if np.any(np.abs(more - (x + aside)) < _PADS_OPEN_M):
                    continue
                centre = np.array([x + aside, seed[1], top + depth])
                off = float(np.hypot(x - middle[0], seed[1] - middle[1]))
                score = 0.15 * firmness - 6.0 * off - 2.0 * width - 0.08 * turn - 2.0 * abs(aside)
                score -= _SHALLOW * max(0.0, _DEEP_M - depth) + stretched
                candidates.append(_Candidate(centre, rotation, width, score, aside))
    return candidates


def _held(band: NDArray[np.float64], y: float) -> tuple[float, float, float] | None:
    """Return the middle (m), the width (m) and the firmness (up to 1) of the part between the pads.

    The result is None if the pads would hold nothing, do not fit around the part, or would slip off.

    Args:
        band: points between the pads, (n, 2).
        y: middle of the pads across the closing axis, m.
    """
    if len(band) < 2:
        return None
    low, high = float(band[:, 0].min()), float(band[:, 0].max())
    if high - low > MAX_WIDTH_M:
        return None
    steepness = _steepness(band[:, 0], band[:, 1] - y)
    if steepness > _STEEPEST:
        return None
    ends = band[:, 0] < low + 0.003, band[:, 0] > high - 0.003
    contact = min(np.count_nonzero(end) for end in ends)
    firmness = min(1.0, contact / _ENOUGH_CONTACT) - _SLIPPERY * steepness
    return 0.5 * (low + high), high - low, firmness


def _steepness(x: NDArray[np.float64], y: NDArray[np.float64]) -> float:
    """Return the steepness of the steeper of two sides across the pads, m per m.

    For a round object the slopes before and after the middle cancel, so it does not count as steep.

    Args:
        x: positions along the closing axis, (n,), m.
        y: positions across the closing axis from the middle of the pads, (n,), m.
    """
    part = 2.0 * _PAD_HALF_M / 3.0
    ends = []
    for middle in (-part, 0.0, part):
        there = x[np.abs(y - middle) <= 0.5 * part]
        ends.append((float(there.min()), float(there.max())) if len(there) else None)
    before, here, after = ends
    if here is None:
        return np.inf
    first, last = before or here, after or here
    length = part * ((before is not None) + (after is not None))
    return max(abs(b - a) for a, b in zip(first, last, strict=True)) / length if length else 0.0
