"""Orientation conventions of LIBERO's state vector."""

from __future__ import annotations

import numpy as np
import pytest

from vla_eval_envs.libero.poses import axis_angle, matrix_to_quaternion


def quaternion(axis, angle: float):
    axis = np.asarray(axis, dtype=float)
    return np.array([*(axis / np.linalg.norm(axis) * np.sin(angle / 2)), np.cos(angle / 2)])


def rotation(vector):
    """Rodrigues' formula, float64 (3, 3)."""
    angle = np.linalg.norm(vector)
    x, y, z = np.asarray(vector) / angle
    skew = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    return np.eye(3) + np.sin(angle) * skew + (1 - np.cos(angle)) * skew @ skew


@pytest.mark.parametrize("angle", [1e-3, 0.5, 3.0, 3.5, 6.0])
def test_lerobot_convention_keeps_the_angle(angle: float):
    """Without folding the angle is 2·acos(w), in [0, 2π], along the quaternion's own axis."""
    vector = axis_angle(quaternion([1, 2, 3], angle))
    assert vector.dtype == np.float32
    np.testing.assert_allclose(
        vector, np.array([1, 2, 3]) / np.sqrt(14) * angle, rtol=2e-3, atol=1e-6
    )


def test_folded_convention_takes_the_short_way():
    """Folding turns an angle above π into the same rotation below π; both signs of q agree."""
    q = quaternion([0, 0, 1], 3.5)
    np.testing.assert_allclose(axis_angle(q, "folded"), [0, 0, 3.5 - 2 * np.pi], rtol=1e-5)
    np.testing.assert_array_equal(axis_angle(q, "folded"), axis_angle(-q, "folded"))
    assert not np.allclose(axis_angle(q), axis_angle(-q))


def test_no_rotation_is_zero():
    """The identity gives zeros and no division by zero, for either sign."""
    np.testing.assert_array_equal(axis_angle([0, 0, 0, 1]), np.zeros(3))
    np.testing.assert_array_equal(axis_angle([0, 0, 0, -1]), np.zeros(3))


@pytest.mark.slow
def test_equals_lerobot_s_processor():
    """The vector equals that of LeRobot's LiberoProcessorStep, to the last bits of float32."""
    torch = pytest.importorskip("torch")
    processor = pytest.importorskip("lerobot.processor.env_processor").LiberoProcessorStep()
    quaternions = np.random.default_rng(0).normal(size=(200, 4))
    quaternions /= np.linalg.norm(quaternions, axis=1, keepdims=True)
    theirs = processor._quat2axisangle(torch.as_tensor(quaternions)).numpy()
    ours = np.stack([axis_angle(q) for q in quaternions])
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=2e-6)


@pytest.mark.parametrize("angle", [1e-6, 1.0, 3.0, np.pi, 3.3])
@pytest.mark.parametrize("axis", [[1, 0, 0], [0, 1, 0], [0, 0, 1], [1, -2, 3]])
def test_matrix_to_quaternion(axis, angle: float):
    """A rotation matrix gives its quaternion, also at half a turn, with w not negative."""
    unit = np.asarray(axis, dtype=float) / np.linalg.norm(axis)
    found = matrix_to_quaternion(rotation(unit * angle))
    assert found[3] >= 0
    assert abs(found @ quaternion(axis, angle)) == pytest.approx(1, abs=1e-12)
