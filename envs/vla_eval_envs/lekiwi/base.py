"""What a LeKiwi task needs whatever its goal: the robot, its actions, its cameras, its life cycle."""

from __future__ import annotations

import hashlib
import os
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from vla_eval.environment import Action, EvalEnv, Observation
from vla_eval.errors import InfrastructureError, did_you_mean
from vla_eval_envs.lekiwi.chassis import CAMERA_NAMES, DRIVE_JOINTS
from vla_eval_envs.lekiwi.features import ARM_JOINTS, FEATURE_NAMES, UNIT_SYSTEMS, LeKiwiUnits
from vla_eval_envs.lekiwi.wheels import from_ticks, to_ticks
from vla_eval_envs.mujoco_warnings import LATEST
from vla_eval_envs.scene import scene_hash
from vla_eval_envs.so101.cameras import Cameras
from vla_eval_envs.so101.simulator import mujoco
from vla_eval_envs.so101.units import JOINT_NAMES, to_radians

__all__ = ["HOME", "LeKiwiEnv"]

SUBSTEPS = 10
"""Physics steps of 1/300 s in one control step: 30 Hz."""
HOME = (0.0, -100.0, 80.0, 88.0, 0.0, 0.0)
"""Where the arm starts, LeRobot's units: folded back over the base, gripper closed."""
_MAX_IMAGE_SIZE = 2048


class LeKiwiEnv(EvalEnv):
    """Base of the LeKiwi tasks; a task implements the abstract methods.

    Attributes:
        model: the compiled MuJoCo model.
        data: its state; for tests and for policies that are ``privileged``.
        units: what the numbers of actions and of ``agent_pos`` mean.
        subgoals: which parts of the task are done.
    """

    metadata: dict[str, Any] = {  # noqa: RUF012  (Gymnasium's own convention)
        "render_modes": ["rgb_array"],
        "render_fps": 30,
        "action_names": list(FEATURE_NAMES),
        "state_names": list(FEATURE_NAMES),
    }

    def __init__(
        self,
        states: Sequence[Mapping[str, float]],
        *,
        image_size: int,
        shadows: bool,
        units: str,
        render_mode: str | None,
    ) -> None:
        if not 1 <= image_size <= _MAX_IMAGE_SIZE:
            raise ValueError(f"image_size must be in 1..{_MAX_IMAGE_SIZE}, not {image_size}")
        if render_mode not in (None, *self.metadata["render_modes"]):
            raise ValueError(f"render_mode must be None or 'rgb_array', not {render_mode!r}")
        if units not in UNIT_SYSTEMS:
            raise ValueError(f"units must be one of {', '.join(UNIT_SYSTEMS)}, not {units!r}")
        self.render_mode = render_mode
        self.units = UNIT_SYSTEMS[units]
        self._bounds = self.units.action_low, self.units.action_high
        self.action_space = spaces.Box(*self._bounds)
        self.observation_space = _observation_space(image_size, self.units)
        self._states = states
        self.model = self._build()
        self.data = mujoco.MjData(self.model)
        self._drive = [int(self.model.joint(name).qposadr[0]) for name in DRIVE_JOINTS]
        self._arm = [int(self.model.joint(name).qposadr[0]) for name in JOINT_NAMES]
        self._arm_servos = [self.model.actuator(name).id for name in JOINT_NAMES]
        self._drive_servos = [self.model.actuator(name).id for name in DRIVE_JOINTS]
        self._warnings = self.data.warning.number  # a view, (8,): how often each kind came
        self._provenance: dict[str, str] = {
            "mujoco": mujoco.__version__,
            "gl": os.environ.get("MUJOCO_GL", "none"),
            "model": _model_digest(self.model),
        }
        self._cameras = Cameras(self.model, image_size, shadows=shadows)
        self.subgoals: dict[str, bool] = {}

    @abstractmethod
    def _build(self) -> mujoco.MjModel:
        """Compile robot and scene."""

    @abstractmethod
    def _arrange(self, state: Mapping[str, float]) -> None:
        """Put robot and objects where an initial state says."""

    @abstractmethod
    def _watch(self, *, fresh: bool) -> dict[str, bool]:
        """Return the subgoals after a control step, or after a reset (``fresh``)."""

    @property
    @abstractmethod
    def score(self) -> float:
        """Partial credit in [0, 1]; 1 is success."""

    def _put(self, name: str, place: tuple[float, float, float], yaw: float) -> None:
        """Put a free object's origin (m) somewhere, upright, turned by a yaw (rad)."""
        start = int(self.model.joint(name).qposadr[0])
        turn = (np.cos(yaw / 2), 0.0, 0.0, np.sin(yaw / 2))
        self.data.qpos[start : start + 7] = (*place, *turn)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Observation, dict[str, Any]]:
        """Start an episode.

        Args:
            seed: of ``np_random``, whose only use is to draw the initial state where none is given.
            options: ``{"init_state": i}`` chooses the frozen initial state.

        Raises:
            ValueError: an unknown option, or an initial state that does not exist.
        """
        super().reset(seed=seed)
        index = self._choose_state(options or {})
        mujoco.mj_resetData(self.model, self.data)
        home = to_radians(HOME)
        self.data.qpos[self._arm] = home
        self.data.ctrl[self._arm_servos] = home
        self._arrange(self._states[index])
        mujoco.mj_forward(self.model, self.data)
        self.subgoals = self._watch(fresh=True)
        info = self._info()
        info["init_state"] = index
        info["scene_hash"] = scene_hash(self.model, self.data)
        info["provenance"] = dict(self._provenance)
        return self.observe(), info

    def _choose_state(self, options: Mapping[str, Any]) -> int:
        for name in options:
            if name != "init_state":
                raise ValueError(
                    f"unknown reset option '{name}'{did_you_mean(name, ['init_state'])}"
                )
        count = len(self._states)
        index = options.get("init_state")
        if index is None:
            return int(self.np_random.integers(count))
        is_integer = isinstance(index, int | np.integer) and not isinstance(index, bool)
        if not is_integer or not 0 <= index < count:
            raise ValueError(f"init_state must be an integer in 0..{count - 1}, not {index!r}")
        return int(index)

    def advance(self, action: Action) -> tuple[float, bool, bool, dict[str, Any]]:
        """Run one control step (1/30 s): arm to absolute targets, base at a velocity.

        The reward is the change of the score.
        """
        targets = np.asarray(action, dtype=np.float64)
        if targets.shape != (len(FEATURE_NAMES),):
            raise ValueError(
                f"the action must have shape ({len(FEATURE_NAMES)},), not {targets.shape}"
            )
        if not np.isfinite(targets).all():
            raise ValueError(f"the action must be finite, not {targets.tolist()}")
        before = self.score
        values = self.units.to_si(np.clip(targets, *self._bounds))
        self.data.ctrl[self._arm_servos] = values[:ARM_JOINTS]
        self.data.ctrl[self._drive_servos] = from_ticks(to_ticks(values[ARM_JOINTS:]))
        mujoco.mj_step(self.model, self.data, SUBSTEPS)
        self._refuse_warnings()
        self.subgoals = self._watch(fresh=False)
        info = self._info()
        return info["score"] - before, info["is_success"], False, info

    def _refuse_warnings(self) -> None:
        """MuJoCo restarts a scene whose numbers exploded; that must not pass for an episode."""
        if self._warnings.any():
            said = LATEST[-1] if LATEST else "nothing"
            raise InfrastructureError(
                f"the simulation is invalid at {self.data.time:.3f} s, MuJoCo warned: {said}"
            )

    def _info(self) -> dict[str, Any]:
        score = self.score
        return {
            "is_success": score == 1.0,
            "score": score,
            "subgoals": dict(self.subgoals),
            "task": self.task_description,
        }

    def observe(self) -> Observation:
        """Render the cameras, read the joints, and read the wheels as LeRobot does."""
        pixels = {name: self._cameras.picture(self.data, name) for name in CAMERA_NAMES}
        wheels = from_ticks(to_ticks(self._base_velocity(), limit=None))
        return {
            "pixels": pixels,
            "agent_pos": self.units.state(np.append(self.joint_angles(), wheels)),
        }

    def hold_action(self) -> Action:
        """Return the action, float32 (9,), that keeps the arm where it is and the base at rest."""
        return self.units.action(np.append(self.joint_angles(), np.zeros(3)))

    def render(self) -> NDArray[np.uint8] | None:
        """Return a view from the side, uint8 (480, 640, 3), in render mode ``rgb_array``."""
        if self.render_mode is None:
            return None
        return self._cameras.nice_picture(self.data, "side")

    def close(self) -> None:
        """Free the GL contexts. Twice does no harm."""
        self._cameras.close()

    def joint_angles(self) -> NDArray[np.float64]:
        """Return the arm's joint positions (6,), rad."""
        return np.array(self.data.qpos[self._arm])

    def base_pose(self) -> NDArray[np.float64]:
        """Return where the base is: x, y (m), yaw (rad), world frame."""
        return np.array(self.data.qpos[self._drive])

    def _base_velocity(self) -> NDArray[np.float64]:
        """Return how the base moves in its own frame: x, y (m/s), turning (rad/s)."""
        x, y, turning = self.data.qvel[self._drive]  # slides and hinge: qvel and qpos run parallel
        yaw = self.data.qpos[self._drive[2]]
        cos, sin = np.cos(yaw), np.sin(yaw)
        return np.array([cos * x + sin * y, cos * y - sin * x, turning])

    def object_pose(self, name: str) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return an object's origin (3,), m, and rotation (3, 3) in the world frame."""
        body = self.data.body(name)
        return np.array(body.xpos), np.array(body.xmat).reshape(3, 3)


def _observation_space(image_size: int, units: LeKiwiUnits) -> spaces.Dict:
    picture = spaces.Box(0, 255, (image_size, image_size, 3), np.uint8)
    return spaces.Dict(
        {
            "pixels": spaces.Dict(dict.fromkeys(CAMERA_NAMES, picture)),
            "agent_pos": spaces.Box(units.state_low, units.state_high),
        }
    )


def _model_digest(model: mujoco.MjModel) -> str:
    """Return 16 hex digits of the sha256 of the compiled model: every number in it."""
    buffer = np.zeros(mujoco.mj_sizeModel(model), dtype=np.uint8)
    mujoco.mj_saveModel(model, None, buffer)
    return hashlib.sha256(buffer.tobytes()).hexdigest()[:16]
