"""The names, units and ranges of LIBERO's actions and observations."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal

import numpy as np
from gymnasium import Space, spaces
from numpy.typing import ArrayLike, NDArray
from scipy.spatial.transform import Rotation

from vla_eval.environment import Action, Observation
from vla_eval_envs.libero.poses import AxisAngle, axis_angle, matrix_to_quaternion

__all__ = [
    "ACTION_NAMES",
    "STATE_NAMES",
    "ControlMode",
    "GripperRule",
    "action_fields",
    "action_space",
    "clip_action",
    "observation_space",
    "pose_action",
    "state_vector",
]

ControlMode = Literal["relative", "absolute"]
"""``relative``: actions are displacements of the gripper. ``absolute``: they are its poses in the world."""

GripperRule = Literal["sign", "binary"]
"""Meaning of the seventh number of an action, whose sign opens or closes. ``sign``: 0 keeps the fingers'
target, as in robosuite, LeRobot and openpi. ``binary``: 0 closes, as in AllenAI's vla-evaluation-harness."""

ACTION_NAMES: dict[ControlMode, tuple[str, ...]] = {
    "relative": ("dx", "dy", "dz", "drx", "dry", "drz", "gripper"),
    "absolute": ("x", "y", "z", "rx", "ry", "rz", "gripper"),
}
_ACTION_UNITS: dict[ControlMode, tuple[str, ...]] = {
    "relative": ("× 0.05 m",) * 3 + ("× 0.5 rad",) * 3 + ("",),
    "absolute": ("m",) * 3 + ("rad",) * 3 + ("",),
}
STATE_NAMES = (
    "eef_x",
    "eef_y",
    "eef_z",
    "eef_rx",
    "eef_ry",
    "eef_rz",
    "gripper_left",
    "gripper_right",
)

_ACTION_LIMITS: dict[ControlMode, tuple[float, ...]] = {
    # Fractions of the controller's largest displacement in one step: 0.05 m and 0.5 rad.
    "relative": (1, 1, 1, 1, 1, 1, 1),
    # m and rad. The limit is 2 m because tables are 0.9 m high, so the gripper works above 1 m.
    "absolute": (2, 2, 2, 2 * np.pi, 2 * np.pi, 2 * np.pi, 1),
}
# Displacement for a relative action of 1: m, rad.
_DISPLACEMENT = (0.05, 0.5)
# Orientation of the hand of an arm at rest, x y z w: it points down.
_REST = np.array([1.0, 1.0, 0.0, 0.0])
# m, rad, m: finite, and far larger than any possible state.
_STATE_LIMITS = (5, 5, 5, 7, 7, 7, 1, 1)


def action_fields(env_kwargs: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    """Return (name, unit) of the seven actions in an environment with these arguments."""
    mode: ControlMode = env_kwargs.get("control_mode", "relative")
    return tuple(zip(ACTION_NAMES[mode], _ACTION_UNITS[mode], strict=True))


def action_space(mode: ControlMode) -> spaces.Box:
    """Return the space of actions, float32 (7,)."""
    limits = np.array(_ACTION_LIMITS[mode], dtype=np.float32)
    return spaces.Box(-limits, limits, dtype=np.float32)


def observation_space(image_size: int) -> Space[Observation]:
    """Return the space of observations: two square pictures and the robot's state."""
    limits = np.array(_STATE_LIMITS, dtype=np.float32)
    shape = (image_size, image_size, 3)
    pixels: dict[str, Space[Any]] = {
        name: spaces.Box(0, 255, shape, np.uint8) for name in ("agentview", "wrist")
    }
    return spaces.Dict(
        {
            "pixels": spaces.Dict(pixels),
            "agent_pos": spaces.Box(-limits, limits, dtype=np.float32),
        }
    )


def state_vector(
    observed: Callable[[str], NDArray[np.float64]], convention: AxisAngle
) -> NDArray[np.float32]:
    """Return ``agent_pos``, float32 (8,), from robosuite's observations by name."""
    orientation = axis_angle(observed("eef_quat"), convention).astype(np.float64)
    parts = [observed("eef_pos"), orientation, observed("gripper_qpos")]
    return np.concatenate(parts).astype(np.float32)


def clip_action(action: ArrayLike, space: spaces.Box) -> Action:
    """Return the action inside the space, float32 (7,).

    Raises:
        ValueError: the action has another shape or is not finite.
    """
    array: NDArray[np.float32] = np.asarray(action, dtype=np.float32)
    if array.shape != space.shape:
        raise ValueError(f"an action has shape {space.shape}, not {array.shape}")
    if not np.isfinite(array).all():
        raise ValueError(f"an action must be finite, not {array.tolist()}")
    return np.clip(array, space.low, space.high)


def pose_action(
    action: Action, position: NDArray[np.float64], rotation: NDArray[np.float64]
) -> Action:
    """Return the absolute action, float32 (7,), with the same goal as a relative action.

    The rotation vector is continuous within half a turn of the hand at rest.

    Args:
        action: relative action, float32 (7,).
        position: present position of the grasp point, (3,), m.
        rotation: present rotation of the hand, (3, 3).
    """
    shift, turn = action[:3] * _DISPLACEMENT[0], action[3:6] * _DISPLACEMENT[1]
    quaternion = matrix_to_quaternion(Rotation.from_rotvec(turn).as_matrix() @ rotation)
    quaternion = quaternion if quaternion @ _REST >= 0 else -quaternion
    goal = np.concatenate([position + shift, axis_angle(quaternion), action[6:]])
    return np.asarray(goal, dtype=np.float32)
