"""Finds the geoms that can change a pixel, so that the others need not be drawn.

Software OpenGL spends time on every triangle, and again for every mirror, such as the stove of
LIBERO's kitchens. Geoms beside the picture, both directly and in mirrors, change no pixel and are left
out. So are triangles of a mesh that cover no sample of a pixel.
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

from vla_eval_envs.libero.drawing.triangles import Eye, Image, Triangles, draws_in_software

__all__ = ["Drawing", "Visibility"]

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]
Bounds = tuple[float, float, float, float]
Surface = tuple[Array, Array]

_SOLID = (
    "mjGEOM_BOX",
    "mjGEOM_CAPSULE",
    "mjGEOM_CYLINDER",
    "mjGEOM_ELLIPSOID",
    "mjGEOM_MESH",
    "mjGEOM_SPHERE",
)
# A solid may reach this far beyond its box, because of rounding only.
_MARGIN_M = 1e-3
_SIGNS = np.stack(np.meshgrid([-1, 1], [-1, 1], [-1, 1]), axis=-1).reshape(8, 3)


@dataclass(frozen=True)
class Drawing:
    """The parts of a scene that a picture needs."""

    hidden: NDArray[np.intp]
    """Geoms that need not be drawn."""
    mirrors: bool
    """Whether reflections must be drawn."""
    images: tuple[Image, ...]
    """The direct image and the mirror images that must be right; empty: the whole scene."""


class Visibility:
    """Draws square pictures of one scene without its invisible parts.

    Args:
        sim: robosuite's simulation of the scene, with a render context. It is not stored, because a
            stored simulation could not be freed.
    """

    def __init__(self, sim: Any) -> None:
        model, shown = sim.model._model, sim._render_context_offscreen.vopt.geomgroup
        self._hidden_group = int(np.flatnonzero(shown == 0)[0])
        solid = np.isin(model.geom_type, [int(getattr(mujoco.mjtGeom, name)) for name in _SOLID])
        drawn = np.asarray(shown, dtype=bool)[model.geom_group] & (model.geom_rgba[:, 3] > 0)
        self._solids = np.flatnonzero(drawn & solid)
        self._center = model.geom_aabb[self._solids, :3]
        self._half = model.geom_aabb[self._solids, 3:] + _MARGIN_M
        self._mirrors = _mirrors(model, np.flatnonzero(drawn))
        # Geoms beside the picture can cast shadows into it, and an infinite mirror fills the picture.
        self._all_needed = bool(model.light_castshadow.any()) or any(
            model.geom_type[geom] != mujoco.mjtGeom.mjGEOM_BOX for geom in self._mirrors
        )
        self._cutter: Triangles | None = None
        if not self._all_needed and draws_in_software():
            self._cutter = Triangles(model, sim._render_context_offscreen.con)

    def draw(self, sim: Any, camera: str, size: int) -> NDArray[np.uint8]:
        """Return the same picture as robosuite's ``sim.render`` of the whole scene.

        Args:
            sim: the simulation.
            camera: MuJoCo's name of the camera.
            size: height and width in pixels.

        Returns:
            uint8 (size, size, 3), first row at the bottom.
        """
        drawing = self.drawing(sim, camera, size)
        with self._only(drawing, sim):
            if self._cutter is None:
                whole: NDArray[np.uint8] = sim.render(camera_name=camera, width=size, height=size)
                return whole
            return _draw_cut(sim, camera, size, drawing.images, self._cutter)

    @contextlib.contextmanager
    def _only(self, drawing: Drawing, sim: Any) -> Iterator[None]:
        """Let MuJoCo draw only the needed parts."""
        model, flags = sim.model._model, sim._render_context_offscreen.scn.flags
        mirrors = int(mujoco.mjtRndFlag.mjRND_REFLECTION)
        groups, before = model.geom_group.copy(), flags[mirrors]
        try:
            model.geom_group[drawing.hidden] = self._hidden_group
            flags[mirrors] = drawing.mirrors
            yield
        finally:
            model.geom_group[:] = groups
            flags[mirrors] = before

    def drawing(self, sim: Any, camera: str, size: int) -> Drawing:
        """Return the parts that a picture needs; arguments as in :meth:`draw`."""
        if self._all_needed:
            return Drawing(np.empty(0, dtype=np.intp), mirrors=True, images=())
        model, data = sim.model._model, sim.data._data
        eye = sim.model.camera_name2id(camera)
        slope = _slope(model, eye)
        world = self._corners(data)
        corners = _seen_from(data, eye, world)
        seen = _meets(corners, (-slope, slope, -slope, slope))
        images = [self._image(model, seen, np.array([0.0, size, 0.0, size]))]
        for geom in self._mirrors:
            if not seen[self._solids == geom].all():
                continue
            window = self._window(corners[self._solids == geom], slope, size)
            if window[0] >= window[1] or window[2] >= window[3]:
                continue
            mirror = _surface(data, geom, float(model.geom_size[geom, 2]))
            left, right, bottom, top = (2 * window / size - 1) * slope
            reflected = _seen_from(data, eye, _mirrored(world, *mirror))
            met = _meets(reflected, (left, right, bottom, top))
            images.append(self._image(model, met, window, mirror))
        needed = np.any([image.geoms[self._solids] for image in images], axis=0)
        return Drawing(self._solids[~needed], mirrors=len(images) > 1, images=tuple(images))

    def _image(self, model: Any, met: Mask, window: Array, mirror: Surface | None = None) -> Image:
        """Return the image in a part of the picture: it shows the solids in ``met``."""
        geoms = np.ones(model.ngeom, dtype=bool)
        geoms[self._solids[~met]] = False
        return Image(window, geoms, mirror)

    def _corners(self, data: Any) -> Array:
        """Return the corners of the solids' boxes in the world, (solids, 8, 3) in m."""
        rotation = data.geom_xmat[self._solids].reshape(-1, 3, 3)
        local = self._center[:, None] + self._half[:, None] * _SIGNS
        corners: Array = local @ rotation.transpose(0, 2, 1) + data.geom_xpos[self._solids][:, None]
        return corners

    def _window(self, corners: Array, slope: float, size: int) -> Array:
        """Return left, right, bottom and top of the area of a box's upper side, in pixels."""
        points = corners[:, _SIGNS[:, 2] > 0].reshape(-1, 3)
        if (points[:, 2] >= 0).any():  # reaches behind the camera
            return np.array([0.0, size, 0.0, size])
        flat = points[:, :2] / -points[:, 2:] / slope  # -1 to 1 over the picture
        low = np.clip(np.floor((flat.min(axis=0) + 1) / 2 * size) - 1, 0, size)
        high = np.clip(np.ceil((flat.max(axis=0) + 1) / 2 * size) + 1, 0, size)
        return np.array([low[0], high[0], low[1], high[1]])


def _draw_cut(
    sim: Any, camera: str, size: int, images: tuple[Image, ...], cutter: Triangles
) -> NDArray[np.uint8]:
    """Do the same as robosuite's ``sim.render``, but cut the meshes down before drawing."""
    context, model, data = sim._render_context_offscreen, sim.model._model, sim.data._data
    if size > min(context.con.offWidth, context.con.offHeight):
        context.update_offscreen_size(
            max(size, context.con.offWidth), max(size, context.con.offHeight)
        )
    eye = sim.model.camera_name2id(camera)
    context.cam.type, context.cam.fixedcamid = mujoco.mjtCamera.mjCAMERA_FIXED, eye
    everything, options = mujoco.mjtCatBit.mjCAT_ALL, (context.vopt, context.pert, context.cam)
    mujoco.mjv_updateScene(model, data, *options, everything, context.scn)
    focal = size / 2 / _slope(model, eye)
    depths = np.array([model.vis.map.znear, model.vis.map.zfar]) * model.stat.extent
    optics = np.array([focal, size / 2, *depths])
    view = Eye(data.cam_xmat[eye].reshape(3, 3).copy(), data.cam_xpos[eye].copy(), optics)
    cutter.cut(context, data, (camera, size), view, images)
    mujoco.mjr_render(mujoco.MjrRect(0, 0, size, size), context.scn, context.con)
    pixels: NDArray[np.uint8] = context.read_pixels(size, size)
    return pixels


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


def _slope(model: Any, camera: int) -> float:
    """Return half of the picture's height at distance 1 from the camera."""
    return float(np.tan(np.deg2rad(model.cam_fovy[camera]) / 2))


def _surface(data: Any, geom: int, half_height_m: float) -> Surface:
    """Return a point and the normal of a mirror: MuJoCo's boxes reflect in their upper side."""
    normal = data.geom_xmat[geom].reshape(3, 3)[:, 2].copy()
    return data.geom_xpos[geom] + half_height_m * normal, normal


def _mirrored(points: Array, point: Array, normal: Array) -> Array:
    """Return the mirror images of points (..., 3)."""
    image: Array = points - 2 * ((points - point) @ normal)[..., None] * normal
    return image


def _meets(corners: Array, bounds: Bounds) -> Mask:
    """Return which boxes may be visible: those that no side of the window excludes.

    Args:
        corners: corners of boxes in the camera's frame, (boxes, 8, 3).
        bounds: left, right, bottom and top of the window as x / depth and y / depth.
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
