"""What every SO-101 task shares: the arm on its table, its actions, its cameras, its life cycle."""

from __future__ import annotations

import os
from abc import abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from vla_eval.environment import Action, EvalEnv, Observation
from vla_eval.errors import InfrastructureError, did_you_mean
from vla_eval_envs.mujoco_warnings import LATEST
from vla_eval_envs.scene import scene_hash
from vla_eval_envs.so101.arm import add_arm
from vla_eval_envs.so101.cameras import Cameras, picture_space
from vla_eval_envs.so101.frozen import FrozenStates
from vla_eval_envs.so101.objects import DISTRACTORS, add_distractor
from vla_eval_envs.so101.room import add_cameras, add_room, set_physics
from vla_eval_envs.so101.shell import add_shell
from vla_eval_envs.so101.simulator import model_digest, mujoco
from vla_eval_envs.so101.units import FEATURE_NAMES, UNIT_SYSTEMS, to_radians
from vla_eval_envs.so101.variations import Levels, Variation

__all__ = ["HOME", "SO101Env"]

CAMERA_NAMES = ("top", "wrist")
SUBSTEPS = 10
"""Physics steps of 1/300 s in one control step: 30 Hz."""
HOME = (0.0, -100.0, 80.0, 88.0, 0.0, 0.0)
"""Where the arm starts, LeRobot's units: folded back, gripper closed, the table in full view."""
_JOINTS = 6


class SO101Env(EvalEnv):
    """Base of the SO-101 tasks.

    A task sets ``task_description`` and ``frozen`` and implements :meth:`_add_objects`,
    :meth:`_bind`, :meth:`_arrange` and :meth:`_watch`.

    Attributes:
        model: the compiled MuJoCo model.
        data: its state; for tests and for policies that are ``privileged``.
        units: what the numbers of actions and of ``agent_pos`` mean.
        subgoals: which parts of the task are done; their mean is the score.
    """

    frozen: ClassVar[FrozenStates]
    """The initial states."""

    metadata: dict[str, Any] = {  # noqa: RUF012  (Gymnasium's own convention)
        "render_modes": ["rgb_array"],
        "render_fps": 30,
        "action_names": list(FEATURE_NAMES),
        "state_names": list(FEATURE_NAMES),
    }

    def __init__(
        self,
        *,
        image_size: int = 256,
        shadows: bool = False,
        units: str = "degrees",
        render_mode: str | None = None,
        **levels: int,
    ) -> None:
        self._levels = Levels(**levels)
        if render_mode not in (None, *self.metadata["render_modes"]):
            raise ValueError(f"render_mode must be None or 'rgb_array', not {render_mode!r}")
        if units not in UNIT_SYSTEMS:
            raise ValueError(f"units must be one of {', '.join(UNIT_SYSTEMS)}, not {units!r}")
        self.render_mode = render_mode
        self.units = UNIT_SYSTEMS[units]
        self.action_space = spaces.Box(self.units.action_low, self.units.action_high)
        self.observation_space = spaces.Dict(
            {
                "pixels": spaces.Dict(dict.fromkeys(CAMERA_NAMES, picture_space(image_size))),
                "agent_pos": spaces.Box(self.units.state_low, self.units.state_high),
            }
        )
        self._states = self.frozen.load()
        self.model = self._build()
        self.data = mujoco.MjData(self.model)
        self._warnings = self.data.warning.number  # a view, (8,): how often each kind came
        self._provenance: dict[str, str] = {
            "mujoco": mujoco.__version__,
            "gl": os.environ.get("MUJOCO_GL", "none"),
            "model": model_digest(self.model),
        }
        self._variation = Variation(self.model, self._levels)
        self._cameras = Cameras(self.model, image_size, shadows=shadows)
        self.subgoals: dict[str, bool] = {}
        self._bind()

    def _build(self) -> mujoco.MjModel:
        spec = mujoco.MjSpec()
        set_physics(spec)
        add_room(spec)
        add_arm(spec)
        add_shell(spec)
        add_cameras(spec)
        self._add_objects(spec)
        for name in list(DISTRACTORS)[: self._levels.distractors]:
            add_distractor(spec, name)
        return spec.compile()

    @abstractmethod
    def _add_objects(self, spec: mujoco.MjSpec) -> None:
        """Add what stands on the table."""

    @abstractmethod
    def _bind(self) -> None:
        """Make the detectors for the compiled model."""

    @abstractmethod
    def _arrange(self, state: Mapping[str, float]) -> None:
        """Put the objects where an initial state says."""

    def _put(self, name: str, place: tuple[float, float, float], yaw: float) -> None:
        """Put a free object's centre (m) somewhere, upright, turned by a yaw (rad)."""
        start = int(self.model.joint(name).qposadr[0])
        turn = (np.cos(yaw / 2), 0.0, 0.0, np.sin(yaw / 2))
        self.data.qpos[start : start + 7] = (*place, *turn)

    @abstractmethod
    def _watch(self, *, fresh: bool) -> dict[str, bool]:
        """Return the subgoals after a control step, or after a reset (``fresh``)."""

    @property
    def score(self) -> float:
        """Partial credit in [0, 1]: the share of the subgoals that are reached; 1 is success."""
        return sum(self.subgoals.values()) / len(self.subgoals)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Observation, dict[str, Any]]:
        """Start an episode.

        Args:
            seed: of ``np_random``, which draws the initial state where none is given; with the state
                it decides what the robustness options draw, and nothing else.
            options: ``{"init_state": i}`` chooses the frozen initial state.

        Raises:
            ValueError: an unknown option, or an initial state that does not exist.
        """
        super().reset(seed=seed)
        index = self._choose_state(options or {})
        drawn = int(self.np_random.integers(2**32)) if seed is None else seed
        self._variation.draw(self.data, drawn, index)
        mujoco.mj_resetData(self.model, self.data)
        home = to_radians(HOME)
        self.data.qpos[:_JOINTS] = home
        self.data.ctrl[:] = home
        self._arrange(self._states[index])
        for name, place, yaw in self._variation.distractor_places():
            self._put(name, place, yaw)
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
        """Run one control step (1/30 s) towards absolute joint targets; see :class:`EvalEnv`.

        The reward is the increase of the score.
        """
        targets = np.asarray(action, dtype=np.float64)
        if targets.shape != (_JOINTS,):
            raise ValueError(f"the action must have shape ({_JOINTS},), not {targets.shape}")
        if not np.isfinite(targets).all():
            raise ValueError(f"the action must be finite, not {targets.tolist()}")
        before = self.score
        low, high = self.units.action_low, self.units.action_high
        commanded = self.units.to_radians(np.clip(targets, low, high))
        self.data.ctrl[:] = self._variation.delayed(commanded, self.data.ctrl)
        mujoco.mj_step(self.model, self.data, SUBSTEPS)
        self._refuse_warnings()
        self.subgoals = self._watch(fresh=False)
        info = self._info()
        return info["score"] - before, info["is_success"], False, info

    def _refuse_warnings(self) -> None:
        """MuJoCo restarts a scene whose numbers exploded; that must not pass for an episode."""
        if self._warnings.any():
            said = LATEST[-1] if LATEST else "see MUJOCO_LOG.TXT"
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
        """Render both cameras and read the joints."""
        pixels = {name: self._cameras.picture(self.data, name) for name in CAMERA_NAMES}
        pixels, joints = self._variation.disturb(pixels, self.joint_angles(), self.data.time)
        return {"pixels": pixels, "agent_pos": self.units.state(joints)}

    def hold_action(self) -> Action:
        """Return the joints' positions as targets, float32 (6,), inside the action space."""
        return self.units.action(self.joint_angles())

    def render(self) -> NDArray[np.uint8] | None:
        """Return a view from the side, uint8 (480, 640, 3), in render mode ``rgb_array``."""
        if self.render_mode is None:
            return None
        return self._cameras.nice_picture(self.data, "side")

    def close(self) -> None:
        """Free the GL contexts. Twice does no harm."""
        self._cameras.close()

    def joint_angles(self) -> NDArray[np.float64]:
        """Return the joints' positions (6,), rad."""
        return np.array(self.data.qpos[:_JOINTS])

    def object_pose(self, name: str) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return an object's centre (3,), m, and rotation (3, 3) in the world frame."""
        body = self.data.body(name)
        return np.array(body.xpos), np.array(body.xmat).reshape(3, 3)
