"""Finds the triangles of a mesh that can change a picture: those that cover a sample of a pixel.

LIBERO's meshes have many more triangles than a picture has pixels: a box of cookies has 18 thousand on
a few hundred pixels. OpenGL processes every triangle, although most fall between the samples of the
pixels. The rule here is conservative: it keeps every triangle that could cover a sample under any
rounding of a driver within ``MARGIN_PX``.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from vla_eval_envs.libero.jit import compiled

__all__ = ["MARGIN_PX", "mark_covering"]

Array = NDArray[np.float64]

MARGIN_PX = 1 / 64
"""Margin for rounding: OpenGL rounds corners to 1/256 pixel or finer; single precision adds less."""
_SMALL_PX2 = 9.0
_BEHIND_M = 1e-3


@compiled
def mark_covering(  # noqa: PLR0913  compiled code takes no structures here
    vertices: Array,
    faces: NDArray[np.int32],
    rotation: Array,
    translation: Array,
    optics: Array,
    window: Array,
    samples: Array,
    lids: Array,
    turned: bool,  # noqa: FBT001  compiled code takes no keywords
    covering: NDArray[np.bool_],
) -> None:
    """Mark triangles that may cover a sample within a window of the picture.

    Args:
        vertices: vertices of the mesh, (n, 3) in its own frame, m.
        faces: vertex numbers of the triangles, (m, 3), counterclockwise when seen from outside.
        rotation: (3, 3), from the mesh's frame to the camera's frame, which looks along -z.
        translation: position of the mesh in the camera's frame, (3,), m.
        optics: focal length in pixels, the picture's middle in pixels, the near plane in m; further entries
            are ignored.
        window: left, right, bottom and top in pixels.
        samples: OpenGL's sample points within a pixel, (k, 2) from its lower left corner.
        lids: rectangles that hide everything beneath, (r, 14) in the camera's frame: centre, normal
            towards the camera, directions of two sides, half lengths of these sides.
        turned: whether the mesh is a mirror image, whose triangles have the opposite orientation.
        covering: marks of the triangles, (m,), changed in place; existing marks stay.
    """
    near = optics[2]
    spots, beneath = _look_at(vertices, rotation, translation, optics, lids)
    side = -1.0 if turned else 1.0
    for face in range(len(faces)):
        a, b, c = faces[face, 0], faces[face, 1], faces[face, 2]
        if covering[face] or beneath[a] & beneath[b] & beneath[c]:
            continue
        da, db, dc = spots[a, 2], spots[b, 2], spots[c, 2]
        if da > near and db > near and dc > near:
            ax, ay, bx, by, cx, cy = (
                spots[a, 0],
                spots[a, 1],
                spots[b, 0],
                spots[b, 1],
                spots[c, 0],
                spots[c, 1],
            )
            covering[face] = _covers(ax, ay, bx, by, cx, cy, side, window, samples)
        else:
            covering[face] = da > 0 or db > 0 or dc > 0


@compiled
def _look_at(
    vertices: Array, rotation: Array, translation: Array, optics: Array, lids: Array
) -> tuple[Array, NDArray[np.uint8]]:
    """Return picture positions and depths of vertices, (n, 3), and the lids above them, as bits."""
    focal, middle, near = optics[0], optics[1], optics[2]
    spots, beneath = np.empty((len(vertices), 3)), np.zeros(len(vertices), dtype=np.uint8)
    for i in range(len(vertices)):
        vx, vy, vz = vertices[i, 0], vertices[i, 1], vertices[i, 2]
        x = rotation[0, 0] * vx + rotation[0, 1] * vy + rotation[0, 2] * vz + translation[0]
        y = rotation[1, 0] * vx + rotation[1, 1] * vy + rotation[1, 2] * vz + translation[1]
        z = rotation[2, 0] * vx + rotation[2, 1] * vy + rotation[2, 2] * vz + translation[2]
        spots[i, 2] = -z
        if -z > near:
            spots[i, 0] = middle - focal / z * x
            spots[i, 1] = middle - focal / z * y
        for k in range(len(lids)):
            if _is_beneath(x, y, z, lids, k, near):
                beneath[i] |= 1 << k
    return spots, beneath


@compiled
def _is_beneath(x: float, y: float, z: float, lids: Array, k: int, near: float) -> bool:
    """Return whether the line of sight to a point crosses a rectangle well before the point."""
    # Height of the plane along its normal; the camera is at 0.
    height = lids[k, 0] * lids[k, 3] + lids[k, 1] * lids[k, 4] + lids[k, 2] * lids[k, 5]
    along = x * lids[k, 3] + y * lids[k, 4] + z * lids[k, 5]
    if along > height - _BEHIND_M or height > -_BEHIND_M:
        return False
    share = height / along
    if -z * share < 2 * near:
        return False
    dx, dy, dz = x * share - lids[k, 0], y * share - lids[k, 1], z * share - lids[k, 2]
    u = dx * lids[k, 6] + dy * lids[k, 7] + dz * lids[k, 8]
    v = dx * lids[k, 9] + dy * lids[k, 10] + dz * lids[k, 11]
    return bool(abs(u) < lids[k, 12] and abs(v) < lids[k, 13])


@compiled
def _covers(  # noqa: PLR0913  slices of arrays would take longer than the work
    ax: float,
    ay: float,
    bx: float,
    by: float,
    cx: float,
    cy: float,
    side: float,
    window: Array,
    samples: Array,
) -> bool:
    """Return whether a triangle, in pixels, may cover a sample and shows its outer side."""
    abx, aby, bcx, bcy, cax, cay = bx - ax, by - ay, cx - bx, cy - by, ax - cx, ay - cy
    area = (cax * aby - abx * cay) * side
    if area < -2 * MARGIN_PX * (abs(abx) + abs(aby) + abs(cax) + abs(cay)):
        return False
    left, right = min(ax, bx, cx) - MARGIN_PX, max(ax, bx, cx) + MARGIN_PX
    low, high = min(ay, by, cy) - MARGIN_PX, max(ay, by, cy) + MARGIN_PX
    if right < window[0] or left > window[1] or high < window[2] or low > window[3]:
        return False
    if (right - left) * (high - low) > _SMALL_PX2:
        return True
    turn = side if area >= 0 else -side
    outside_ab = -MARGIN_PX * (abs(abx) + abs(aby))
    outside_bc = -MARGIN_PX * (abs(bcx) + abs(bcy))
    outside_ca = -MARGIN_PX * (abs(cax) + abs(cay))
    for k in range(len(samples)):
        x = math.ceil(left - samples[k, 0]) + samples[k, 0]
        while x <= right:
            y = math.ceil(low - samples[k, 1]) + samples[k, 1]
            while y <= high:
                if (
                    turn * (abx * (y - ay) - aby * (x - ax)) >= outside_ab
                    and turn * (bcx * (y - by) - bcy * (x - bx)) >= outside_bc
                    and turn * (cax * (y - cy) - cay * (x - cx)) >= outside_ca
                ):
                    return True
                y += 1
            x += 1
    return False
