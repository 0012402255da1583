"""The inputs of the expert from a LIBERO scene: goal, poses, collision shapes, gripper."""

# ruff: noqa: SLF001  robosuite names nearly all of its interface with an underscore

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import mujoco
import numpy as np
from numpy.typing import NDArray

from vla_eval.environment import EvalEnv
from vla_eval.errors import UsageError
from vla_eval_envs.libero.env import LiberoEnv

__all__ = ["Joint", "LiberoScene", "Pose", "Site"]

# Grid on the faces of the collision boxes, fine enough to leave no gap for a finger. On faces larger
# than _LARGE_M (tables, floors) a coarser grid is enough.
_GRID_M = 0.005
_COARSE_GRID_M = 0.012
_LARGE_M = 0.15
# Walls and floors of the room are larger than this; the expert ignores them.
_ROOM_M = 1.5
# The Panda: height of the shoulder over the base, upper arm and forearm, from the wrist's centre to
# the grasp point along the hand, and across it.
_SHOULDER_M = 0.333
_ARM_M = 0.316 + 0.384
_WRIST_M = 0.210
_WRIST_OFFSET_M = 0.088


@dataclass(frozen=True)
class Pose:
    """A frame in the world."""

    position: NDArray[np.float64]
    """Position of the origin, (3,), m."""
    rotation: NDArray[np.float64]
    """Rotation matrix, (3, 3); its columns are the frame's axes."""


@dataclass(frozen=True)
class Joint:
    """A hinge or slide of a fixture in its present state."""

    value: float
    """Joint position, rad or m."""
    axis: NDArray[np.float64]
    """Unit vector of the axis in the world, (3,)."""
    anchor: NDArray[np.float64]
    """Position of the joint in the world, (3,), m."""
    sliding: bool
    body: int
    low: float
    high: float


@dataclass(frozen=True)
class Site:
    """A goal region: a box in which, or on which, an object must be."""

    position: NDArray[np.float64]
    """Position of the centre in the world, (3,), m."""
    rotation: NDArray[np.float64]
    """Rotation matrix in the world, (3, 3)."""
    size: NDArray[np.float64]
    """Half extents, (3,), m."""


class LiberoScene:
    """Reads the simulator of one episode. All poses are in the world, in m, at the time of the call."""

    def __init__(self, env: EvalEnv) -> None:
        if not isinstance(env, LiberoEnv):
            raise UsageError("the LIBERO expert needs a LIBERO environment")
        self._env: Any = env.robosuite_env
        self._model, self._data = self._env.sim.model._model, self._env.sim.data._data
        robot = self._env.robots[0]
        self._grip_site = int(robot.eef_site_id)
        parts = robot.gripper.important_geoms
        self._sides = [
            [self._env.sim.model.geom_name2id(geom) for geom in parts[f"{side}_finger"]]
            for side in ("left", "right")
        ]
        self._root = np.array(self._model.body_rootid)
        self._robot_roots = {int(self._root[self._model.site_bodyid[self._grip_site]])}
        self._robot_roots |= {
            self._root[self._body(f"{name}_base")] for name in ("robot0", "mount0")
        }
        self._base = self._body("robot0_base")
        self._geoms, self._local = self._sample()

    @property
    def goals(self) -> list[tuple[str, ...]]:
        """The goal's predicates, such as ``("on", "bowl_1", "plate_1")``."""
        return [tuple(goal) for goal in self._env.parsed_problem["goal_state"]]

    def holds(self, goal: tuple[str, ...]) -> bool:
        """Return whether a predicate holds at this moment."""
        return bool(self._env._eval_predicate(list(goal)))

    def hand(self) -> Pose:
        """Return the pose of the grasp point: x is the closing axis, z points out of the hand."""
        return Pose(
            self._data.site_xpos[self._grip_site].copy(),
            self._data.site_xmat[self._grip_site].reshape(3, 3).copy(),
        )

    def hand_velocity(self) -> NDArray[np.float64]:
        """Return the hand's velocity in the world, (6,): m/s, then rad/s."""
        jacobian = np.zeros((6, self._model.nv))
        mujoco.mj_jacSite(self._model, self._data, jacobian[:3], jacobian[3:], self._grip_site)
        return np.asarray(jacobian @ self._data.qvel)

    def coupling(self) -> NDArray[np.float64]:
        """Return the matrix, (6, 6), from accelerations wanted by the controller to those of the arm.

        robosuite's controller treats position and orientation as independent. If they are coupled,
        the arm is stiff in some directions and soft in others.
        """
        model, data = self._model, self._data
        jacobian = np.zeros((6, model.nv))
        mujoco.mj_jacSite(model, data, jacobian[:3], jacobian[3:], self._grip_site)
        arm = np.array(self._env.robots[0]._ref_joint_vel_indexes)
        inertia = np.zeros((model.nv, model.nv))
        mujoco.mj_fullM(model, inertia, data.qM)
        jacobian = jacobian[:, arm]
        mobility = jacobian @ np.linalg.solve(inertia[np.ix_(arm, arm)], jacobian.T)
        blocks = np.zeros((6, 6))
        blocks[:3, :3] = np.linalg.inv(mobility[:3, :3])
        blocks[3:, 3:] = np.linalg.inv(mobility[3:, 3:])
        return np.asarray(mobility @ blocks)

    def spare_reach(self, position: NDArray[np.float64], rotation: NDArray[np.float64]) -> float:
        """Return the distance, in m, by which the stretched arm could reach beyond a pose of the hand."""
        wrist = position - rotation[:, 2] * _WRIST_M - self._data.xpos[self._base]
        wrist[2] -= _SHOULDER_M
        flat = max(float(np.hypot(wrist[0], wrist[1])) - _WRIST_OFFSET_M, 0.0)
        return _ARM_M - float(np.hypot(flat, wrist[2]))

    def grasped(self, name: str) -> bool:
        """Return whether both fingers touch an object."""
        geoms, root = self._data.contact.geom, self._root[self._env.obj_body_id[name]]
        touched = self._root[self._model.geom_bodyid[geoms]] == root
        return all(
            bool(np.any(np.isin(geoms, side).any(axis=1) & touched.any(axis=1)))
            for side in self._sides
        )

    def is_site(self, name: str) -> bool:
        """Return whether a name of the goal is a region rather than an object."""
        return name in self._env.object_sites_dict

    def site(self, name: str) -> Site:
        """Return the region of a name."""
        data = self._env.sim.data
        return Site(
            np.array(data.get_site_xpos(name)),
            np.array(data.get_site_xmat(name)),
            np.abs(np.array(self._env.object_sites_dict[name].size, dtype=float)),
        )

    def parent(self, name: str) -> str | None:
        """Return the fixture or object that a region belongs to, if any."""
        parent = self._env.object_sites_dict[name].parent_name
        return None if parent is None else str(parent)

    def pose(self, name: str) -> Pose:
        """Return the pose of an object's or fixture's main body."""
        body = int(self._env.obj_body_id[name])
        return Pose(self._data.xpos[body].copy(), self._data.xmat[body].reshape(3, 3).copy())

    def joint(self, name: str) -> Joint | None:
        """Return the joint that opens, closes or turns a region or fixture; None if it has no joint."""
        sites = self._env.object_sites_dict
        names = sites[name].joints if name in sites else self._env.get_object(name).joints
        if not names:
            return None
        number = mujoco.mj_name2id(self._model, mujoco.mjtObj.mjOBJ_JOINT, names[0])
        return Joint(
            value=float(self._data.qpos[self._model.jnt_qposadr[number]]),
            axis=self._data.xaxis[number].copy(),
            anchor=self._data.xanchor[number].copy(),
            sliding=bool(self._model.jnt_type[number] == mujoco.mjtJoint.mjJNT_SLIDE),
            body=int(self._model.jnt_bodyid[number]),
            low=float(self._model.jnt_range[number][0]),
            high=float(self._model.jnt_range[number][1]),
        )

    def articulation(self, name: str) -> dict[str, list[float]]:
        """Return the joint ranges that count as open, closed or turned on, by LIBERO's names."""
        owner = name
        if self.is_site(name):
            owner = self.parent(name) or name
        properties = self._env.get_object(owner).object_properties
        return dict(properties["articulation"])

    def points(self, name: str) -> NDArray[np.float64]:
        """Return points on an object's or fixture's collision shapes, (n, 3)."""
        return self._world(self._root[self._geom_body()] == self._root[self._env.obj_body_id[name]])

    def body_points(self, body: int) -> NDArray[np.float64]:
        """Return points on the collision shapes of one body, (n, 3)."""
        return self._world(self._geom_body() == body)

    def surroundings(self, *without: str) -> NDArray[np.float64]:
        """Return points on everything but the robot and the named objects, (n, 3)."""
        roots = {int(self._root[self._env.obj_body_id[name]]) for name in without}
        return self._world(~np.isin(self._root[self._geom_body()], list(roots)))

    def _body(self, name: str) -> int:
        return int(mujoco.mj_name2id(self._model, mujoco.mjtObj.mjOBJ_BODY, name))

    def _geom_body(self) -> NDArray[np.int64]:
        return np.asarray(self._model.geom_bodyid[self._geoms], dtype=np.int64)

    def _world(self, chosen: NDArray[np.bool_]) -> NDArray[np.float64]:
        parts = [
            self._data.geom_xpos[geom] + local @ self._data.geom_xmat[geom].reshape(3, 3).T
            for geom, local, take in zip(self._geoms, self._local, chosen, strict=True)
            if take
        ]
        return np.concatenate(parts) if parts else np.empty((0, 3))

    def _sample(self) -> tuple[list[int], list[NDArray[np.float64]]]:
        """Return all collision shapes except the robot's, and points on every shape in its frame."""
        model = self._model
        geoms, points = [], []
        for geom in range(model.ngeom):
            body = model.geom_bodyid[geom]
            solid = model.geom_contype[geom] or model.geom_conaffinity[geom]
            if not solid or self._root[body] in self._robot_roots:
                continue
            centre, half = model.geom_aabb[geom][:3], model.geom_aabb[geom][3:]
            if model.geom_type[geom] == mujoco.mjtGeom.mjGEOM_PLANE:
                centre, half = np.zeros(3), np.array([0.6, 0.6, 0.0])
            if half.max() > _ROOM_M:
                continue
            geoms.append(geom)
            points.append(centre + _box_surface(half))
        return geoms, points


def _box_surface(half: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return a grid on the faces of a box, (n, 3), given its half extents in m."""
    faces = []
    for axis in range(3):
        others = [i for i in range(3) if i != axis]
        grids = []
        for i in others:
            step = _COARSE_GRID_M if half[i] > _LARGE_M else _GRID_M
            grids.append(np.linspace(-half[i], half[i], max(2, int(2 * half[i] / step) + 2)))
        u, v = (g.ravel() for g in np.meshgrid(*grids))
        for sign in (-1, 1):
            face = np.empty((len(u), 3))
            face[:, others[0]], face[:, others[1]], face[:, axis] = u, v, sign * half[axis]
            faces.append(face)
    return np.concatenate(faces)
