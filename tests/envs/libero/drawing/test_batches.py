"""Triangles that are left out change nothing for the others: batches stay of their kind."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("numba", reason="needs the extra 'libero'")

FACES = 5 * 341 + 100
INSIDE, OUTSIDE, DOUBTFUL = -1.0, 1.0, 1e-5


def arranged(chosen: np.ndarray, amounts: list[list[float]]):
    """Return the order, and which corner is outermost in each image and batch."""
    from vla_eval_envs.libero.drawing.batches import BATCH, arrange

    batches = -(-len(chosen) // BATCH)
    corners = 3 * BATCH * np.arange(batches) + np.arange(len(amounts))[:, None] + 7
    order = np.empty(3 * batches * BATCH, dtype=np.int64)
    return order[: arrange(chosen, np.array(amounts), corners, order)], corners


def outside_in(order: np.ndarray, amounts: list[list[float]], corners: np.ndarray):
    """Return for each new batch in which images it reaches outside, and its triangles."""
    for start in range(0, len(order), 341):
        batch = order[start : start + 341]
        points = {-1 - code for code in batch if code < 0}
        whole = {face // 341 for face in batch if face >= 0}
        out = [
            any(corner in points for corner, amount in zip(row, far, strict=True) if amount > 0)
            for row, far in zip(corners, amounts, strict=True)
        ]
        yield out, whole, batch


@pytest.mark.parametrize("seed", range(4))
def test_triangles_keep_their_kind_and_order(seed: int):
    """Each needed triangle is drawn once, in order, in a batch as its own was in every image."""
    draws = np.random.default_rng(seed)
    chosen = draws.random(FACES) < 0.3
    amounts = draws.choice([INSIDE, OUTSIDE], size=(2, 6)).tolist()
    order, corners = arranged(chosen, amounts)
    np.testing.assert_array_equal(order[order >= 0], np.flatnonzero(chosen))
    for out, whole, _ in outside_in(order, amounts, corners):
        for old in whole:
            assert out == [row[old] > 0 for row in amounts]


def test_what_fills_a_batch_up_is_in_it():
    """Filling changes no kind: the corner that is repeated belongs to a triangle of the batch."""
    chosen = np.zeros(FACES, dtype=bool)
    chosen[[5, 400, 1000]] = True
    order, corners = arranged(chosen, [[INSIDE, OUTSIDE, INSIDE, INSIDE, INSIDE, INSIDE]])
    assert len(order) == 2 * 341 + 1
    assert set(order[:341]) == {5, -1 - 15}
    assert list(order[341:343]) == [-1 - corners[0, 1], 400]
    assert set(order[343:682]) == {-1 - 1200}
    assert order[682] == 1000  # batch 2


def test_a_doubtful_batch_is_kept_whole():
    """Where rounding decides whether a batch reaches outside, it is drawn as it was."""
    chosen = np.zeros(FACES, dtype=bool)
    chosen[[5, 400]] = True
    order, _ = arranged(chosen, [[INSIDE, DOUBTFUL, INSIDE, INSIDE, INSIDE, INSIDE]])
    np.testing.assert_array_equal(order[341:], np.arange(341, 682))


def test_reach_says_how_far_outside():
    """A vertex beside the picture, before the near plane, or on the clipped side is outside."""
    from vla_eval_envs.libero.drawing.batches import reach

    vertices = np.array([[0, 0, -1.0], [0.1, 0, -1], [0.9, 0, -1], [0, 0, -0.05], [0, 0.2, -1]])
    frustum, nothing = np.array([0.5, 0.1, 10.0]), np.array([0, 0, 0, -1.0])
    plane = np.array([0, 1.0, 0, -0.15])
    expected = {(0, 1): (nothing, -0.4, 1), (0, 2): (nothing, 0.4, 1), (0, 3): (nothing, 0.05, 1)}
    expected |= {(0, 4): (plane, 0.05, 1)}
    for (a, b), (clip, amount, corner) in expected.items():
        amounts, corners = np.empty(1), np.empty(1, dtype=np.int64)
        faces = np.array([[a, b, a]], dtype=np.int32)
        reach(vertices, faces, np.eye(3), np.zeros(3), frustum, clip, amounts, corners)
        assert amounts[0] == pytest.approx(amount)
        assert corners[0] == corner
