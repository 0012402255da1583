"""Draws meshes without the triangles that cover no sample, because software OpenGL is slow.

MuJoCo draws a mesh by calling an OpenGL display list. Here every mesh has its own list for every
picture: the same triangles in the same order with the same normals, without the triangles that cannot
cover a sample. A mesh that did not move relative to the camera keeps its list.
"""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import mujoco
import numpy as np
from numpy.typing import NDArray

from vla_eval_envs.libero.drawing.batches import BATCH, arrange, gather, reach
from vla_eval_envs.libero.drawing.coverage import mark_covering

__all__ = ["Eye", "Image", "Triangles", "draws_in_software"]

Array = NDArray[np.float64]

_SOFTWARE = ("llvmpipe", "softpipe", "swrast")
# Poses that differ by less, in m and in entries of a rotation, agree to a thousandth of a pixel.
_SAME_POSE = 1e-6
# Lids are tops of large boxes: smallest half of their shorter side, and largest number of lids.
_LID_M, _MOST_LIDS = 0.2, 4
# Margin by which a lid is smaller than its box on all sides, for rounding.
_RIM_M = 2e-3
# Smallest cosine between the normals of vertex and triangle for which MuJoCo uses the vertex's normal.
_SMOOTH = 0.8
_NO_AREA = np.float32(1e-10)
_MIX = np.uint64(0x9E3779B97F4A7C15)
"""A large odd number, which spreads the bits of three coordinates over a key."""


@dataclass(frozen=True)
class Eye:
    """Pose and optics of a camera."""

    rotation: Array
    """Rotation, (3, 3): its columns are the camera's axes in the world; the camera looks along its -z."""
    position: Array
    """Position in the world, (3,), m."""
    optics: Array
    """Focal length in pixels, the picture's middle in pixels, the near and the far plane in m."""


@dataclass(frozen=True)
class Image:
    """The part of the scene that is visible directly, or in one mirror."""

    window: Array
    """Bounds in the picture: left, right, bottom, top in pixels."""
    geoms: NDArray[np.bool_]
    """Mask of the geoms that may be in the image, (geoms of the model,)."""
    mirror: tuple[Array, Array] | None = None
    """A point (3,) and the normal (3,) of the mirror in the world."""


@dataclass
class _Cut:
    """The display list of a mesh, and the view that it was made for."""

    seen: Array
    list_id: int
    empty: bool


def draws_in_software() -> bool:
    """Return whether the current OpenGL context draws on the CPU."""
    gl = importlib.import_module("OpenGL.GL")
    name = (gl.glGetString(gl.GL_RENDERER) or b"").decode(errors="replace").lower()
    return any(renderer in name for renderer in _SOFTWARE)


class Triangles:
    """The meshes of a scene, cut down to the visible triangles of a picture.

    Args:
        model: MuJoCo's model; its meshes must stay as they are.
        drawing: MuJoCo's drawing context, current in OpenGL.
    """

    def __init__(self, model: Any, drawing: Any) -> None:
        self._gl = importlib.import_module("OpenGL.GL")
        self._model = model
        self._samples = self._where_samples_are(drawing)
        self._meshes: dict[int, _Mesh] = {}
        self._cuts: dict[tuple[object, int], _Cut] = {}
        self._first_list = -1

    def _where_samples_are(self, drawing: Any) -> Array:
        """Return OpenGL's sample points in a pixel, (samples, 2) from its lower left corner."""
        count = drawing.offSamples
        if count == 0:
            return np.full((1, 2), 0.5)
        mujoco.mjr_setBuffer(mujoco.mjtFramebuffer.mjFB_OFFSCREEN, drawing)
        points = [
            np.array(self._gl.glGetMultisamplefv(self._gl.GL_SAMPLE_POSITION, k), dtype=float)
            for k in range(count)
        ]
        return np.array(points).reshape(count, 2)

    def cut(
        self, context: Any, data: Any, picture: object, eye: Eye, images: Sequence[Image]
    ) -> None:
        """Let MuJoCo draw the meshes of a scene by lists of their visible triangles.

        Args:
            context: robosuite's render context with an up-to-date scene, whose mesh geoms are changed
                to use these lists.
            data: MuJoCo's data, with the same poses as the scene.
            picture: name of the picture, among the pictures that are drawn in turn.
            eye: the camera.
            images: the images that must be right.
        """
        scene, first_list = context.scn, context.con.baseMesh
        if first_list != self._first_list:
            self._cuts, self._first_list = {}, first_list
        geoms = [
            geom for geom in map(scene.geoms.__getitem__, range(scene.ngeom)) if _is_geom(geom)
        ]
        lids = _lids(geoms, eye)
        stale: list[tuple[_Cut, int, NDArray[np.int64]]] = []
        for geom in geoms:
            if geom.type != mujoco.mjtGeom.mjGEOM_MESH:
                continue
            number = geom.objid
            cut = self._cut_of(picture, number)
            poses = [_before(eye, data, number, image) for image in images if image.geoms[number]]
            seen = np.concatenate([lids, *poses], axis=None)
            if cut.seen.shape != seen.shape or np.abs(cut.seen - seen).max() > _SAME_POSE:
                cut.seen = seen
                stale.append((cut, number, self._order(number, poses, eye, lids)))
            geom.dataid = cut.list_id - first_list
        self._compile(stale)

    def _cut_of(self, picture: object, geom: int) -> _Cut:
        key = (picture, geom)
        if key not in self._cuts:
            number = -1
            while number < self._first_list:  # MuJoCo counts from its first list upwards
                number = int(self._gl.glGenLists(1))
            self._cuts[key] = _Cut(np.empty(0), number, empty=True)
        return self._cuts[key]

    def _mesh(self, geom: int) -> _Mesh:
        mesh = int(self._model.geom_dataid[geom])
        if mesh not in self._meshes:
            self._meshes[mesh] = _mesh(self._model, mesh)
        return self._meshes[mesh]

    def _order(self, geom: int, poses: Sequence[Array], eye: Eye, lids: Array) -> NDArray[np.int64]:
        """Return the triangles to draw, in the order of :func:`.batches.arrange`."""
        mesh = self._mesh(geom)
        batches = -(-len(mesh.faces) // BATCH)
        amounts = np.empty((len(poses), batches))
        corners = np.zeros((len(poses), batches), dtype=np.int64)
        frustum = np.array([eye.optics[1] / eye.optics[0], *eye.optics[2:]])
        for pose, amount, corner in zip(poses, amounts, corners, strict=True):
            rotation, translation, plane = pose[:9].reshape(3, 3), pose[9:12], pose[16:]
            reach(mesh.vertices, mesh.faces, rotation, translation, frustum, plane, amount, corner)
        order = np.empty(3 * batches * BATCH, dtype=np.int64)
        return order[: arrange(self._marks(geom, poses, eye, lids), amounts, corners, order)]

    def _marks(self, geom: int, poses: Sequence[Array], eye: Eye, lids: Array) -> NDArray[np.bool_]:
        """Return which triangles of a geom's mesh may be visible."""
        mesh = self._mesh(geom)
        marks = np.zeros(len(mesh.faces), dtype=bool)
        for pose in poses:
            rotation, translation, window = pose[:9].reshape(3, 3), pose[9:12], pose[12:16]
            turned = bool(np.linalg.det(rotation) < 0)
            mark_covering(
                mesh.vertices,
                mesh.faces,
                rotation,
                translation,
                eye.optics,
                window,
                self._samples,
                lids[:0] if turned else self._lids_above(geom, translation, lids),
                turned,
                marks,
            )
        return marks

    def _lids_above(self, geom: int, center: Array, lids: Array) -> Array:
        """Return the lids except those that a geom is entirely above."""
        height = ((center - lids[:, :3]) * lids[:, 3:6]).sum(axis=1)
        above: Array = lids[height < self._model.geom_rbound[geom]]
        return above

    def _compile(self, stale: Sequence[tuple[_Cut, int, NDArray[np.int64]]]) -> None:
        """Rebuild the lists whose visible triangles changed."""
        gl = self._gl
        total = 3 * sum(len(order) for _, _, order in stale)
        corners, start = np.empty((total + 1, 8), dtype=np.float32), 0
        gl.glInterleavedArrays(gl.GL_T2F_N3F_V3F, 0, corners)
        for cut, geom, order in stale:
            end = gather(self._mesh(geom).corners, order, corners, start)
            if end > start or not cut.empty:
                gl.glNewList(cut.list_id, gl.GL_COMPILE)
                gl.glDrawArrays(gl.GL_TRIANGLES, start, end - start)
                gl.glEndList()
            cut.empty, start = end == start, end
        for state in (gl.GL_TEXTURE_COORD_ARRAY, gl.GL_NORMAL_ARRAY, gl.GL_VERTEX_ARRAY):
            gl.glDisableClientState(state)


@dataclass(frozen=True)
class _Mesh:
    """A mesh in the form that OpenGL draws."""

    vertices: Array
    """Positions of the vertices, (n, 3) in m."""
    faces: NDArray[np.int32]
    """Vertex numbers of the triangles, (m, 3)."""
    corners: NDArray[np.float32]
    """Texture coordinates, normal and position of every corner, (m, 3, 8)."""


def _mesh(model: Any, mesh: int) -> _Mesh:
    def part(values: Any, first: Any, count: Any) -> Any:
        return values[first[mesh] : first[mesh] + count[mesh]]

    def of_faces(values: Any) -> Any:
        return part(values, model.mesh_faceadr, model.mesh_facenum)

    vertices = part(model.mesh_vert, model.mesh_vertadr, model.mesh_vertnum)
    normals = part(model.mesh_normal, model.mesh_normaladr, model.mesh_normalnum)
    faces = of_faces(model.mesh_face).astype(np.int32)
    corners = np.zeros((len(faces), 3, 8), dtype=np.float32)
    corners[..., 5:] = vertices[faces]
    corners[..., 2:5] = normals[of_faces(model.mesh_facenormal)]
    if model.mesh_texcoordadr[mesh] >= 0:
        texture = part(model.mesh_texcoord, model.mesh_texcoordadr, model.mesh_texcoordnum)
        corners[..., :2] = texture[of_faces(model.mesh_facetexcoord)]
    else:
        _flatten(corners)
    return _Mesh(*_merged(vertices, faces), corners)


def _merged(vertices: NDArray[np.float32], faces: NDArray[np.int32]) -> tuple[Array, Any]:
    """Return the vertices, each place once, and the faces that use them.

    MuJoCo keeps a vertex for every corner of some meshes: three times as many as it has triangles.
    """
    bits = np.ascontiguousarray(vertices).view(np.uint32).astype(np.uint64)
    key = (bits[:, 0] * _MIX + bits[:, 1]) * _MIX + bits[:, 2]
    _, first, which = np.unique(key, return_index=True, return_inverse=True)
    merged = vertices[first]
    if not np.array_equal(merged[which], vertices):  # two places have one key
        return vertices.astype(np.float64), faces
    return merged.astype(np.float64), which[faces].astype(np.int32)


def _flatten(corners: NDArray[np.float32]) -> None:
    """Replace the normals of corners that are far from the triangle's normal by the triangle's normal.

    This equals MuJoCo's renderer, in single precision and in the same order of operations: a different
    last bit of a normal changes one level of one pixel in some hundred pictures.
    """
    a, b, c = (corners[:, k, 5:] for k in range(3))
    across = np.cross(b - a, c - a)
    length = np.sqrt(_dot(across, across))[:, None]
    scaled = across * (np.float32(1) / np.where(length < _NO_AREA, np.float32(1), length))
    up = np.array([0, 0, 1], dtype=np.float32)
    flat: NDArray[np.float32] = np.where(length < _NO_AREA, up, scaled)[:, None]
    normals = corners[..., 2:5]
    far = _dot(normals, flat).astype(np.float64) < _SMOOTH
    corners[..., 2:5] = np.where(far[..., None], flat, normals)


def _dot(one: NDArray[np.float32], other: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the dot products of vectors (..., 3), summed from the first component to the last."""
    x, y, z = (one[..., k] * other[..., k] for k in range(3))
    total: NDArray[np.float32] = x + y + z
    return total


def _is_geom(geom: Any) -> bool:
    return bool(geom.objtype == mujoco.mjtObj.mjOBJ_GEOM)


def _before(eye: Eye, data: Any, geom: int, image: Image) -> Array:
    """Return the pose of a geom, or of its mirror image, in the camera's frame, with window and plane.

    The (20,) entries are rotation, position, window, and the plane beyond which OpenGL clips a mirror
    image, in the form for :func:`.batches.reach`.
    """
    rotation, position = data.geom_xmat[geom].reshape(3, 3), data.geom_xpos[geom]
    plane = np.array([0.0, 0.0, 0.0, -1.0])
    if image.mirror is not None:
        point, normal = image.mirror
        rotation = rotation - 2 * np.outer(normal, normal @ rotation)
        position = position - 2 * ((position - point) @ normal) * normal
        plane = np.array([*(eye.rotation.T @ normal), normal @ (eye.position - point)])
    turned = eye.rotation.T @ rotation
    return np.concatenate(
        [turned.ravel(), eye.rotation.T @ (position - eye.position), image.window, plane]
    )


def _lids(geoms: Sequence[Any], eye: Eye) -> Array:
    """Return the tops of large opaque boxes in the form for :func:`.coverage.mark_covering`."""
    lids = []
    for geom in geoms:
        if geom.type != mujoco.mjtGeom.mjGEOM_BOX or geom.transparent:
            continue
        size = np.array(geom.size, dtype=float)
        if size[:2].min() < _LID_M:
            continue
        frame = eye.rotation.T @ np.array(geom.mat, dtype=float).reshape(3, 3)
        center = eye.rotation.T @ (np.array(geom.pos, dtype=float) - eye.position)
        top = center + size[2] * frame[:, 2]
        lids.append([*top, *frame[:, 2], *frame[:, 0], *frame[:, 1], *(size[:2] - _RIM_M)])
    return np.array(lids[:_MOST_LIDS]).reshape(-1, 14)
