"""A linear model of one control step of the arm under its controller, and a feedback law for it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import expm, solve_discrete_are
from scipy.spatial.transform import Rotation

from vla_eval_policies.experts.libero.scene import Pose

__all__ = ["PandaArm", "PandaHand", "turn_between"]

_STEP_S = 0.05
# robosuite's OSC_POSE: a critically damped spring towards the goal of the action. The action is the
# displacement of the goal from the present hand.
_STIFFNESS = 150.0
_DAMPING = 2.0 * np.sqrt(_STIFFNESS)
_SCALE = np.repeat([0.05, 0.5], 3)
"""Displacement for an action of 1, m and rad."""

# Scales of the feedback's weights: errors, speeds, actions.
_ERROR = np.repeat([0.01, 0.08], 3)
_SPEED = np.repeat([0.25, 2.0], 3)
_ACTION = 0.7
# Larger errors do not make the hand faster.
_FAR = (0.09, 0.7)
# Smallest stiffness; it keeps the model solvable for a fully stretched arm.
_SOFTEST = 0.03


@dataclass(frozen=True)
class PandaHand:
    """The hand's state, real or predicted."""

    pose: Pose
    velocity: NDArray[np.float64]
    """Velocity in the world, (6,), m/s and rad/s."""


class PandaArm:
    """Predicts a control step, and computes the action that leads towards a pose.

    The model is valid near the joint configuration in which it is made.
    """

    def __init__(self, coupling: NDArray[np.float64]) -> None:
        """Compute the step's matrices.

        Args:
            coupling: result of :meth:`LiberoScene.coupling`, (6, 6).
        """
        coupling = coupling + _SOFTEST * np.eye(6)
        rates = np.zeros((18, 18))
        rates[:6, 6:12] = np.eye(6)
        rates[6:12, :6] = -_STIFFNESS * coupling
        rates[6:12, 6:12] = -_DAMPING * coupling
        rates[6:12, 12:] = _STIFFNESS * coupling * _SCALE
        step = expm(rates * _STEP_S)
        self._glide, self._moved = step[:6, 6:12], step[:6, 12:]
        self._slowed, self._pushed = step[6:12, 6:12], step[6:12, 12:]
        state = np.block([[np.eye(6), -self._glide], [np.zeros((6, 6)), self._slowed]])
        action = np.vstack([-self._moved, self._pushed])
        weights = np.diag(1.0 / np.concatenate([_ERROR, _SPEED]) ** 2)
        costs = np.eye(6) / _ACTION**2 / _ERROR[0] ** 2 * 1e-4
        value = solve_discrete_are(state, action, weights, costs)
        self._gain = np.linalg.solve(costs + action.T @ value @ action, action.T @ value @ state)

    def after(self, hand: PandaHand, action: NDArray[np.float64]) -> PandaHand:
        """Return the state of the hand after an action, (6,), in free space."""
        moved = self._glide @ hand.velocity + self._moved @ action
        rotation = Rotation.from_rotvec(moved[3:]).as_matrix() @ hand.pose.rotation
        velocity = self._slowed @ hand.velocity + self._pushed @ action
        return PandaHand(Pose(hand.pose.position + moved[:3], rotation), velocity)

    def towards(self, hand: PandaHand, goal: Pose, limit: float) -> NDArray[np.float64]:
        """Return the action, (6,), that brings the hand nearer to a pose.

        Args:
            hand: present state of the hand.
            goal: target pose.
            limit: largest action, at most 1; a smaller limit makes the hand slower.
        """
        shift = goal.position - hand.pose.position
        turn = turn_between(hand.pose.rotation, goal.rotation)
        far = np.concatenate([_within(shift, _FAR[0] * limit), _within(turn, _FAR[1] * limit)])
        action = -self._gain @ np.concatenate([far, hand.velocity])
        return np.asarray(action / max(1.0, float(np.abs(action).max())))


def turn_between(start: NDArray[np.float64], end: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the rotation vector, (3,) in rad in the world, that turns one orientation to another."""
    turn: NDArray[np.float64] = Rotation.from_matrix(end @ start.T).as_rotvec()
    return turn


def _within(vector: NDArray[np.float64], length: float) -> NDArray[np.float64]:
    """Return the vector, shortened to at most a length; its direction stays."""
    return vector / max(1.0, float(np.linalg.norm(vector)) / length)
