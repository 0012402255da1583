"""Which geoms can leave a mark in a picture; MuJoCo draws all others too, and does not show them.

Software OpenGL pays for every triangle, and for all of them once more for every mirror: the stove of
LIBERO's kitchens is one. Leaving out what lies beside the picture changes no pixel. Neither does
drawing the mirror's part of the picture apart, without what cannot be seen in that part, neither
directly nor in the mirror.
"""

# ruff: noqa: SLF001  robosuite hides the MuJoCo objects behind an underscore

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import mujoco
import numpy as np
from numpy.typing import NDArray

__all__ = ["Drawing", "Visibility"]

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]
Bounds = tuple[float, float, float, float]

_SOLID = (
    "mjGEOM_BOX",
    "mjGEOM_CAPSULE",
    "mjGEOM_CYLINDER",
    "mjGEOM_ELLIPSOID",
    "mjGEOM_MESH",
    "mjGEOM_SPHERE",
)
# A solid reaches this far beyond its box: nothing but rounding does.
_MARGIN_M = 1e-3
# What a simple shape costs, in triangles of a mesh.
_SHAPE_TRIANGLES = 200
_SIGNS = np.stack(np.meshgrid([-1, 1], [-1, 1], [-1, 1]), axis=-1).reshape(8, 3)


@dataclass(frozen=True)
class Drawing:
    """A part of a picture, and what it takes to draw it."""

    rows: slice
    """In OpenGL's order, bottom first."""
    columns: slice
    hidden: NDArray[np.intp]
    """Geoms that need not be drawn."""
    mirrors: bool
    """Whether mirrors have to be drawn as mirrors."""


class Visibility:
    """What square pictures of one scene need.

    Args:
        sim: robosuite's simulation of it, with a render context. It is not kept: it could not be freed.
    """

    def __init__(self, sim: Any) -> None:
        model, shown = sim.model._model, sim._render_context_offscreen.vopt.geomgroup
        self._hidden_group = int(np.flatnonzero(shown == 0)[0])
        solid = np.isin(model.geom_type, [int(getattr(mujoco.mjtGeom, name)) for name in _SOLID])
        drawn = np.asarray(shown, dtype=bool)[model.geom_group] & (model.geom_rgba[:, 3] > 0)
        self._solids = np.flatnonzero(drawn & solid)
        self._center = model.geom_aabb[self._solids, :3]
        self._half = model.geom_aabb[self._solids, 3:] + _MARGIN_M
        self._triangles = np.array([_triangles(model, geom) for geom in self._solids])
        self._mirrors = _mirrors(model, np.flatnonzero(drawn))
        # Shadows fall into the picture from beside it, and a mirror without end fills the picture.
        self._all_needed = bool(model.light_castshadow.any()) or any(
            model.geom_type[geom] != mujoco.mjtGeom.mjGEOM_BOX for geom in self._mirrors
        )

    def draw(self, sim: Any, camera: str, size: int) -> NDArray[np.uint8]:
        """Return what robosuite's ``sim.render`` gives for the whole scene, drawn in parts.

        Args:
            sim: the simulation.
            camera: MuJoCo's name of the camera.
            size: height and width in pixels.

        Returns:
            uint8 (size, size, 3), first row at the bottom.
        """
        picture = np.empty((size, size, 3), dtype=np.uint8)
        for part in self.drawings(sim, camera, size):
            with self._only(part, sim):
                drawn = sim.render(camera_name=camera, width=size, height=size)
            picture[part.rows, part.columns] = drawn[part.rows, part.columns]
        return picture

    @contextlib.contextmanager
    def _only(self, part: Drawing, sim: Any) -> Iterator[None]:
        """Let MuJoCo draw nothing but what a part needs."""
        model, flags = sim.model._model, sim._render_context_offscreen.scn.flags
        mirrors = int(mujoco.mjtRndFlag.mjRND_REFLECTION)
        groups, before = model.geom_group.copy(), flags[mirrors]
        try:
            model.geom_group[part.hidden] = self._hidden_group
            flags[mirrors] = part.mirrors
            yield
        finally:
            model.geom_group[:] = groups
            flags[mirrors] = before

    def drawings(self, sim: Any, camera: str, size: int) -> list[Drawing]:
        """Return the parts that make a picture, later ones on top; arguments as of :meth:`draw`."""
        whole = slice(0, size)
        if self._all_needed:
            return [Drawing(whole, whole, np.empty(0, dtype=np.intp), mirrors=True)]
        model, data = sim.model._model, sim.data._data
        eye = sim.model.camera_name2id(camera)
        slope = float(np.tan(np.deg2rad(model.cam_fovy[eye]) / 2))
        world = self._corners(data)
        corners = _seen_from(data, eye, world)
        direct = _meets(corners, (-slope, slope, -slope, slope))
        everything_else = Drawing(whole, whole, self._solids[~direct], mirrors=False)
        mirrors = [geom for geom in self._mirrors if direct[self._solids == geom].all()]
        if not mirrors:
            return [everything_else]
        rows, columns, bounds = self._window(corners, mirrors, slope, size)
        if rows.start == rows.stop or columns.start == columns.stop:
            return [everything_else]
        reflected = np.zeros_like(direct)
        for geom in mirrors:
            image = _mirrored(world, data, geom, float(model.geom_size[geom, 2]))
            reflected |= _meets(_seen_from(data, eye, image), bounds)
        needed = reflected | _meets(corners, bounds)
        together, passes = direct | reflected, 1 + len(mirrors)
        if passes * self._cost(together) <= self._cost(direct) + passes * self._cost(needed):
            return [Drawing(whole, whole, self._solids[~together], mirrors=True)]
        return [everything_else, Drawing(rows, columns, self._solids[~needed], mirrors=True)]

    def _cost(self, drawn: Mask) -> int:
        return int(self._triangles[drawn].sum())

    def _corners(self, data: Any) -> Array:
        """Return the corners of the solids' boxes in the world, (solids, 8, 3) in m."""
        rotation = data.geom_xmat[self._solids].reshape(-1, 3, 3)
        local = self._center[:, None] + self._half[:, None] * _SIGNS
        corners: Array = local @ rotation.transpose(0, 2, 1) + data.geom_xpos[self._solids][:, None]
        return corners

    def _window(
        self, corners: Array, mirrors: list[int], slope: float, size: int
    ) -> tuple[slice, slice, Bounds]:
        """Return rows, columns and bounds of the part of the picture where mirrors may show."""
        upper = _SIGNS[:, 2] > 0
        points = corners[np.isin(self._solids, mirrors)][:, upper].reshape(-1, 3)
        if (points[:, 2] >= 0).any():  # reaches behind the camera
            return slice(0, size), slice(0, size), (-slope, slope, -slope, slope)
        flat = points[:, :2] / -points[:, 2:] / slope  # -1 to 1 over the picture
        low = np.clip(np.floor((flat.min(axis=0) + 1) / 2 * size) - 1, 0, size).astype(int)
        high = np.clip(np.ceil((flat.max(axis=0) + 1) / 2 * size) + 1, 0, size).astype(int)
        left, bottom = (2 * low / size - 1) * slope
        right, top = (2 * high / size - 1) * slope
        bounds = (float(left), float(right), float(bottom), float(top))
        return slice(int(low[1]), int(high[1])), slice(int(low[0]), int(high[0])), bounds


def _triangles(model: Any, geom: int) -> int:
    if model.geom_type[geom] != mujoco.mjtGeom.mjGEOM_MESH:
        return _SHAPE_TRIANGLES
    return int(model.mesh_facenum[model.geom_dataid[geom]])


def _mirrors(model: Any, geoms: NDArray[np.intp]) -> list[int]:
    """Return the geoms that MuJoCo draws as mirrors: opaque planes and boxes that reflect."""
    kinds = (mujoco.mjtGeom.mjGEOM_PLANE, mujoco.mjtGeom.mjGEOM_BOX)
    return [
        int(geom)
        for geom in geoms
        if model.geom_type[geom] in kinds
        and model.geom_matid[geom] >= 0
        and model.mat_reflectance[model.geom_matid[geom]] > 0
    ]


def _seen_from(data: Any, camera: int, points: Array) -> Array:
    """Return points (..., 3) in the camera's frame, which looks along -z."""
    rotation = data.cam_xmat[camera].reshape(3, 3)
    seen: Array = (points - data.cam_xpos[camera]) @ rotation
    return seen


def _mirrored(points: Array, data: Any, geom: int, half_height_m: float) -> Array:
    """Return the mirror images of points (..., 3): MuJoCo's boxes reflect in their upper side."""
    normal = data.geom_xmat[geom].reshape(3, 3)[:, 2]
    height = (points - data.geom_xpos[geom]) @ normal - half_height_m
    image: Array = points - 2 * height[..., None] * normal
    return image


def _meets(corners: Array, bounds: Bounds) -> Mask:
    """Return which boxes may be seen between bounds: those that no side of the window excludes.

    Args:
        corners: of boxes in the camera's frame, (boxes, 8, 3).
        bounds: left, right, bottom and top as x / depth and y / depth.
    """
    left, right, bottom, top = bounds
    x, y, depth = corners[..., 0], corners[..., 1], -corners[..., 2]
    beside = (
        depth < 0,
        x < left * depth,
        x > right * depth,
        y < bottom * depth,
        y > top * depth,
    )
    inside: Mask = ~np.any([out.all(axis=1) for out in beside], axis=0)
    return inside
