"""Actions and states of LIBERO: limits, orders and poses by hand."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from vla_eval_envs.libero.spaces import (
    action_fields,
    action_space,
    clip_action,
    observation_space,
    pose_action,
    state_vector,
)

DOWN = np.diag([1.0, -1.0, -1.0])
"""Rotation of a hand that points down: half a turn about x."""


def test_limits_of_actions():
    """Fractions of one step, or 2 m and a turn."""
    relative, absolute = action_space("relative"), action_space("absolute")
    assert relative.high.tolist() == [1] * 7
    np.testing.assert_allclose(absolute.high, [2, 2, 2, *[2 * np.pi] * 3, 1], rtol=1e-7)
    for space in (relative, absolute):
        assert space.dtype == np.float32
        np.testing.assert_array_equal(space.low, -space.high)


def test_names_and_units_of_actions():
    """Relative unless an environment says otherwise."""
    relative = action_fields({})
    assert relative == action_fields({"control_mode": "relative"})
    assert relative[0] == ("dx", "× 0.05 m")
    assert relative[5] == ("drz", "× 0.5 rad")
    absolute = action_fields({"control_mode": "absolute"})
    assert [unit for _, unit in absolute] == ["m"] * 3 + ["rad"] * 3 + [""]
    assert [name for name, _ in absolute] == ["x", "y", "z", "rx", "ry", "rz", "gripper"]


def test_observations():
    """Two square pictures, and eight finite numbers that no robot reaches."""
    space = observation_space(48)
    for name in ("agentview", "wrist"):
        box = space["pixels"][name]
        assert (box.shape, box.dtype) == ((48, 48, 3), np.uint8)
        assert (box.low.min(), box.low.max(), box.high.min(), box.high.max()) == (0, 0, 255, 255)
    state = space["agent_pos"]
    assert state.high.tolist() == [5, 5, 5, 7, 7, 7, 1, 1]
    assert state.low.tolist() == [-5, -5, -5, -7, -7, -7, -1, -1]


def test_a_state_is_position_orientation_and_fingers():
    """In this order; the orientation as a rotation vector."""
    turned = Rotation.from_rotvec([0, 0, 0.5]).as_quat()
    observed = {"eef_pos": [1, 2, 3], "eef_quat": turned, "gripper_qpos": [0.04, -0.04]}
    state = state_vector(lambda name: np.array(observed[name], np.float64), "robosuite")
    assert state.dtype == np.float32
    np.testing.assert_allclose(state, [1, 2, 3, 0, 0, 0.5, 0.04, -0.04], atol=1e-6)


def test_an_action_is_clipped_into_its_space():
    """Each number alone; what has another shape or is not finite is refused."""
    space = action_space("relative")
    found = clip_action([-2, 0.5, 3, 0, -0.25, 1, -1.5], space)
    assert found.tolist() == [-1, 0.5, 1, 0, -0.25, 1, -1]
    assert found.dtype == np.float32
    with pytest.raises(ValueError, match="has shape"):
        clip_action(np.zeros(6), space)
    for odd in (np.nan, np.inf, -np.inf):
        with pytest.raises(ValueError, match="finite"):
            clip_action([0, 0, 0, 0, odd, 0, 0], space)


def test_the_pose_of_a_displacement():
    """A step is 5 cm or half a radian about an axis of the world; the hand stays within half a turn."""
    position = np.array([0.1, 0.2, 1.0])
    rest = pose_action(np.array([1, -1, 0.5, 0, 0, 0, -1], np.float32), position, DOWN)
    np.testing.assert_allclose(rest[:3], [0.15, 0.15, 1.025], atol=1e-6)
    np.testing.assert_allclose(np.abs(rest[3:6]), [np.pi, 0, 0], atol=1e-6)
    assert rest[6] == -1
    assert rest.dtype == np.float32
    for axis in range(3):
        for size in (-1.0, 1.0):
            action = np.zeros(7, np.float32)
            action[3 + axis] = size
            goal = pose_action(action, position, DOWN)
            np.testing.assert_allclose(goal[:3], position, atol=1e-6)
            turned = Rotation.from_rotvec(0.5 * size * np.eye(3)[axis]).as_matrix() @ DOWN
            found = Rotation.from_rotvec(goal[3:6]).as_matrix()
            np.testing.assert_allclose(found, turned, atol=1e-6)
            assert goal[3] > 0  # near half a turn about x, never its opposite
