"""Closed-loop motion of LIBERO's arm through a sequence of poses."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from vla_eval_policies.experts.libero.arm import PandaArm, PandaHand, turn_between
from vla_eval_policies.experts.libero.scene import LiberoScene, Pose

__all__ = ["CLOSE", "OPEN", "Move", "Script", "Tracker"]

OPEN, CLOSE = -1.0, 1.0
"""The gripper's commands."""

# The hand counts as stuck if it is slower than _STILL (m/s, rad/s) after at least _STARTING_STEPS steps
# of a move: it touches something, or the arm is fully stretched.
_STILL = (0.004, 0.03)
_STARTING_STEPS = 10


@dataclass(frozen=True)
class Move:
    """A pose to hold or to reach; done when it is reached, the hand is stuck, or time is up."""

    position: NDArray[np.float64]
    """Position of the grasp point in the world, (3,), m."""
    rotation: NDArray[np.float64]
    """Rotation of the hand in the world, (3, 3)."""
    gripper: float
    tolerance_m: float = 0.006
    tolerance_rad: float = 0.06
    min_steps: int = 0
    max_steps: int = 80
    speed: float = 1.0
    """Largest action of this move, as a fraction of the largest possible action."""
    chunk: int = 5
    """Largest number of predicted steps before the real hand is read again."""
    until: Callable[[], bool] | None = None
    """Condition that ends the move early, before ``min_steps`` too; checked at the start of a chunk only."""


Script = Generator[Sequence[Move], None, None]
"""A skill: it reads the scene, yields moves, and is resumed after these moves."""


@dataclass(frozen=True)
class _Cursor:
    """Present position of the tracker in its moves."""

    move: int = 0
    steps: int = 0
    """Number of steps in this move so far."""


class Tracker:
    """Runs a script: turns its moves into chunks of actions.

    The hand's real state can be read only at the start of a chunk; inside a chunk it is predicted. If the
    caller executed only part of a chunk, the tracker goes back to the end of that part. A chunk never
    goes past the last yielded move: the script continues only when the real hand has finished it. When
    the script ends, the hand opens and holds its place.

    Args:
        scene: the episode's simulator.
        script: the skill.
        speed: factor on the moves' own speeds, at most 1.
    """

    def __init__(self, scene: LiberoScene, script: Script, *, speed: float) -> None:
        self._scene, self._script, self._speed = scene, script, speed
        self._moves: list[Move] = []
        self._places: dict[int, _Cursor] = {}

    def actions(self, step: int, count: int) -> NDArray[np.float32]:
        """Return the next actions, float32 (n, 7) with 1 <= n <= count.

        An action is a displacement of the hand (see :meth:`PandaArm.towards`), then the gripper.

        Args:
            step: number of actions executed so far in this episode, at least one more than at the
                call before.
            count: largest number of actions.
        """
        hand = self._look()
        cursor = self._places.get(step, _Cursor())
        cursor = self._arrive(cursor, hand, real=True)
        if cursor.move >= len(self._moves):
            self._moves, cursor = self._next_moves(), _Cursor()
        self._places = {}
        arm = PandaArm(self._scene.coupling())
        planned: list[NDArray[np.float64]] = []
        while len(planned) < count and cursor.move < len(self._moves):
            move = self._moves[cursor.move]
            if len(planned) >= move.chunk:
                break
            goal = Pose(move.position, move.rotation)
            action = arm.towards(hand, goal, min(1.0, move.speed * self._speed))
            planned.append(np.append(action, move.gripper))
            hand = arm.after(hand, action)
            cursor = replace(cursor, steps=cursor.steps + 1)
            self._places[step + len(planned)] = cursor
            cursor = self._arrive(cursor, hand, real=False)
        return np.array(planned, dtype=np.float32)

    def _look(self) -> PandaHand:
        pose = self._scene.hand()
        return PandaHand(pose, self._scene.hand_velocity())

    def _next_moves(self) -> list[Move]:
        moves = list(next(self._script, ()))
        if moves:
            return moves
        pose = self._scene.hand()
        return [Move(pose.position, pose.rotation, OPEN, min_steps=5, max_steps=5)]

    def _arrive(self, cursor: _Cursor, hand: PandaHand, *, real: bool) -> _Cursor:
        """Advance to the next move while the present move is done."""
        while cursor.move < len(self._moves):
            move = self._moves[cursor.move]
            ended = real and (_stalled(move, cursor.steps, hand) or (move.until and move.until()))
            if not (ended or self._done(move, cursor.steps, hand)):
                break
            cursor = _Cursor(cursor.move + 1)
        return cursor

    @staticmethod
    def _done(move: Move, steps: int, hand: PandaHand) -> bool:
        if steps < move.min_steps:
            return False
        away = float(np.linalg.norm(move.position - hand.pose.position))
        turn = float(np.linalg.norm(turn_between(hand.pose.rotation, move.rotation)))
        return steps >= move.max_steps or (away < move.tolerance_m and turn < move.tolerance_rad)


def _stalled(move: Move, steps: int, hand: PandaHand) -> bool:
    speeds = np.linalg.norm(hand.velocity.reshape(2, 3), axis=1)
    return steps >= max(move.min_steps, _STARTING_STEPS) and bool(np.all(speeds < _STILL))
