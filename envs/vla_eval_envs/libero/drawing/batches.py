"""Groups triangles of a mesh in batches, so that leaving some out does not change how others are drawn.

llvmpipe, Mesa's software OpenGL, processes triangles in batches of 341. If any vertex of a batch is
outside the camera's view, all triangles of the batch are clipped, and back faces are found from corners
in single precision. Otherwise back faces are found from corners rounded to 1/256 pixel. The two methods
can disagree on slivers at the edge of an object. So a triangle may only move to a batch of the same
kind. A new batch holds either triangles from batches with a vertex outside, and then has such a vertex
too, or triangles from batches without one.

A triangle with three times the same vertex draws nothing. Such triangles bring outside vertices into a
batch, and fill batches up.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vla_eval_envs.libero.jit import compiled

__all__ = ["BATCH", "arrange", "gather", "reach"]

Array = NDArray[np.float64]

BATCH = 341
"""Number of triangles in a batch: llvmpipe's segments have up to 1024 corners."""
_ROUNDING_M = 1e-4
_DOUBTFUL = -1


@compiled
def reach(
    vertices: Array,
    faces: NDArray[np.int32],
    rotation: Array,
    translation: Array,
    frustum: Array,
    plane: Array,
    amount: Array,
    corner: NDArray[np.int64],
) -> None:
    """Compute how far each batch of triangles reaches outside the camera's view.

    Args:
        vertices: vertices of the mesh, (n, 3) in its own frame, m.
        faces: vertex numbers of the triangles, (m, 3).
        rotation: (3, 3), from the mesh's frame to the camera's frame, which looks along -z.
        translation: position of the mesh in the camera's frame, (3,), m.
        frustum: half of the picture's height at a distance of 1, the near and the far plane in m.
        plane: additional clipping plane, (4,): points whose product with (x, y, z, 1) is positive are
            clipped.
        amount: (batches,), filled with the distance of the outermost vertex outside the view, in m;
            negative: inside.
        corner: (batches,), filled with the number of that corner, counted over all triangles.
    """
    slope, near, far = frustum[0], frustum[1], frustum[2]
    outside = np.empty(len(vertices))
    for i in range(len(vertices)):
        vx, vy, vz = vertices[i, 0], vertices[i, 1], vertices[i, 2]
        x = rotation[0, 0] * vx + rotation[0, 1] * vy + rotation[0, 2] * vz + translation[0]
        y = rotation[1, 0] * vx + rotation[1, 1] * vy + rotation[1, 2] * vz + translation[1]
        z = rotation[2, 0] * vx + rotation[2, 1] * vy + rotation[2, 2] * vz + translation[2]
        beside = max(abs(x), abs(y)) + slope * z
        clipped = plane[0] * x + plane[1] * y + plane[2] * z + plane[3]
        outside[i] = max(beside, near + z, -z - far, clipped)
    amount[:] = -np.inf
    for face in range(len(faces)):
        batch = face // BATCH
        for k in range(3):
            if outside[faces[face, k]] > amount[batch]:
                amount[batch] = outside[faces[face, k]]
                corner[batch] = 3 * face + k


@compiled
def arrange(
    chosen: NDArray[np.bool_],
    amounts: Array,
    corners: NDArray[np.int64],
    order: NDArray[np.int64],
) -> int:
    """Put chosen triangles into batches of their former kinds.

    A batch is kept whole if rounding decides whether it reaches outside.

    Args:
        chosen: whether each triangle is needed, (m,).
        amounts: results of :func:`reach` for the direct image and the mirrors, (images, batches).
        corners: the corners from :func:`reach`, (images, batches).
        order: filled with triangle numbers, and with -1 - c for a triangle of three times corner c; its
            length is three times the number of triangles in full batches.

    Returns:
        The number of filled entries.
    """
    count = last = 0
    kind = _DOUBTFUL
    for batch in range(amounts.shape[1]):
        start, end = batch * BATCH, min((batch + 1) * BATCH, len(chosen))
        if not chosen[start:end].any():
            continue
        now = _kind(amounts[:, batch])
        while count % BATCH != 0 and (now != kind or now == _DOUBTFUL):
            order[count] = -1 - last
            count += 1
        kind = now
        for face in range(start, end):
            if not chosen[face] and kind != _DOUBTFUL:
                continue
            if count % BATCH == 0 and kind > 0:
                count = _add_outside(kind, corners[:, batch], order, count)
            order[count] = face
            count, last = count + 1, 3 * face
    return count


@compiled
def _kind(amounts: Array) -> int:
    """Return the images in which a batch reaches outside, as bits."""
    kind = 0
    for image in range(len(amounts)):
        if abs(amounts[image]) <= _ROUNDING_M:
            return _DOUBTFUL
        kind |= (amounts[image] > 0) << image
    return kind


@compiled
def _add_outside(
    kind: int, corners: NDArray[np.int64], order: NDArray[np.int64], count: int
) -> int:
    """Begin a batch with corners that are outside in the required images."""
    for image in range(len(corners)):
        if kind >> image & 1:
            order[count] = -1 - corners[image]
            count += 1
    return count


@compiled
def gather(
    corners: NDArray[np.float32], order: NDArray[np.int64], out: NDArray[np.float32], start: int
) -> int:
    """Copy corners, (m, 3, 8), in an order to ``out`` (n, 8) from ``start`` on; return the end."""
    for i in range(len(order)):
        for k in range(3):
            face, which = order[i], k
            if face < 0:
                face, which = (-1 - order[i]) // 3, (-1 - order[i]) % 3
            for j in range(8):
                out[start + k, j] = corners[face, which, j]
        start += 3
    return start
