"""Vertices that MuJoCo keeps several times are kept once, and no triangle changes."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("numba", reason="needs the extra 'libero'")


@pytest.fixture
def triangles():
    from vla_eval_envs.libero.drawing import triangles

    return triangles


@pytest.fixture
def mesh() -> tuple[np.ndarray, np.ndarray]:
    """Three vertices of its own for each of 500 triangles, at 100 places."""
    rng = np.random.default_rng(0)
    places = rng.normal(size=(100, 3)).astype(np.float32)
    return places[rng.integers(100, size=1500)], np.arange(1500, dtype=np.int32).reshape(500, 3)


def test_equal_vertices_become_one(triangles, mesh):
    """Every corner of every triangle stays where it was, to the last bit."""
    vertices, faces = mesh
    merged, renamed = triangles._merged(vertices, faces)
    assert len(merged) == 100
    np.testing.assert_array_equal(merged[renamed], vertices[faces])


def test_two_places_with_one_key_are_noticed(triangles, mesh, monkeypatch):
    """Then the mesh stays as it was: here the key is the third coordinate alone."""
    monkeypatch.setattr(triangles, "_MIX", np.uint64(0))
    vertices, faces = mesh
    vertices[:, 2] = 0
    merged, renamed = triangles._merged(vertices, faces)
    np.testing.assert_array_equal(merged, vertices)
    np.testing.assert_array_equal(renamed, faces)
