"""The life cycle of an episode: build, reset to a frozen state, advance, observe, show."""

from __future__ import annotations

import copy
import os
from abc import abstractmethod
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from vla_eval.environment import Action, EvalEnv, Observation
from vla_eval.errors import InfrastructureError, did_you_mean
from vla_eval_envs.manipulation.cameras import Cameras, picture_space
from vla_eval_envs.manipulation.distractors import Distractors
from vla_eval_envs.manipulation.simulator import model_digest, mujoco
from vla_eval_envs.manipulation.units import Units
from vla_eval_envs.manipulation.variations import Levels, Variation
from vla_eval_envs.manipulation.viewer import Viewer
from vla_eval_envs.mujoco_warnings import LATEST
from vla_eval_envs.scene import scene_hash, state_hash

__all__ = ["SUBSTEPS", "ManipulationEnv", "render_metadata"]

SUBSTEPS = 10
"""Physics steps of 1/300 s in one control step: 30 Hz."""


def render_metadata(feature_names: Sequence[str]) -> dict[str, Any]:
    """Return an environment's ``metadata``; actions and states have the same names."""
    return {
        "render_modes": ["human", "rgb_array"],
        "render_fps": 30,
        "action_names": list(feature_names),
        "state_names": list(feature_names),
    }


class ManipulationEnv[U: Units](EvalEnv):
    """Base of the SO-101 and LeKiwi environments: a robot, a scene, numbered starts, subgoals.

    Args:
        states: the frozen initial states.
        units: units of actions and of ``agent_pos``.
        image_size: edge of the pictures, pixels.
        shadows: whether the policy's pictures have shadows.
        render_mode: None, ``"rgb_array"`` or ``"human"``.
        levels: levels of the robustness options.

    Attributes:
        model: the compiled MuJoCo model.
        data: its state; for tests and for policies that are ``privileged``.
        units: units of actions and of ``agent_pos``.
        subgoals: whether each part of the task is done, by name.
        events: what was done to the scene so far in this episode, by name; see `vla_eval.environment`.
    """

    camera_names: ClassVar[tuple[str, ...]]
    """The policy's cameras; ``side`` is for ``render``."""
    distractors: ClassVar[Distractors]
    gripping_geoms: ClassVar[Collection[str]]
    """Names of the robot's geoms that touch a gripped object; ``mass_friction`` changes their friction."""
    reading_noise: ClassVar[NDArray[np.float64]]
    """Standard deviations (A,) of the readings at level 1 of ``observation_noise``, in SI."""

    def __init__(
        self,
        states: Sequence[Mapping[str, float]],
        units: U,
        *,
        image_size: int,
        shadows: bool,
        render_mode: str | None,
        levels: Mapping[str, int],
    ) -> None:
        self._levels = Levels(**levels)
        if render_mode not in (None, *self.metadata["render_modes"]):
            raise ValueError(
                f"render_mode must be None, 'rgb_array' or 'human', not {render_mode!r}"
            )
        self.render_mode = render_mode
        self.units = units
        self._low, self._high = units.action_low, units.action_high
        self.action_space = spaces.Box(self._low, self._high)
        self.observation_space = spaces.Dict(
            {
                "pixels": spaces.Dict(dict.fromkeys(self.camera_names, picture_space(image_size))),
                "agent_pos": spaces.Box(units.state_low, units.state_high),
            }
        )
        self._states = states
        self.model = self._compile()
        self.data = mujoco.MjData(self.model)
        self._warnings = self.data.warning.number  # a view, (8,): number of warnings of each kind
        self._provenance: dict[str, str] = {
            "mujoco": mujoco.__version__,
            "gl": os.environ.get("MUJOCO_GL", "none"),
            "model": model_digest(self.model),
        }
        self._variation = Variation(
            self.model,
            self._levels,
            self.camera_names,
            self.distractors,
            self.reading_noise,
            self.gripping_geoms,
        )
        self._cameras = Cameras(self.model, image_size, shadows=shadows)
        self._viewer = Viewer(self.model, self.data) if render_mode == "human" else None
        self.subgoals: dict[str, bool] = {}
        self.events: dict[str, int] = {}
        self._bind()

    def _compile(self) -> mujoco.MjModel:
        spec = mujoco.MjSpec()
        self._build(spec)
        self.distractors.add(spec, self._levels.distractors)
        return spec.compile()

    @abstractmethod
    def _build(self, spec: mujoco.MjSpec) -> None:
        """Add robot, room and objects to the model."""

    def _bind(self) -> None:
        """Look up the task's parts in the compiled model; the base class needs none."""

    def _motion(self) -> dict[str, float]:
        """Return what decides the motion of driven parts, by name; part of the scene's hash."""
        return {}

    def _move_parts(self) -> None:
        """Move driven parts on, before the physics of each control step; the base class has none."""

    @abstractmethod
    def _arrange(self, state: Mapping[str, float]) -> None:
        """Move robot and objects to an initial state."""

    @abstractmethod
    def _watch(self, *, fresh: bool) -> dict[str, bool]:
        """Return the subgoals after a control step, or after a reset (``fresh``)."""

    @abstractmethod
    def _control(self, action: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the servos' targets (nu,) for an action (A,) that lies inside its bounds."""

    @abstractmethod
    def _readings(self) -> NDArray[np.float64]:
        """Return the readings of the robot's sensors, (A,), in SI."""

    @abstractmethod
    def hold_action(self) -> Action:
        """Return the action, float32 (A,), that keeps the robot where it is now."""

    @property
    def score(self) -> float:
        """Partial credit in [0, 1]: the share of reached subgoals; 1 is success."""
        return sum(self.subgoals.values()) / len(self.subgoals)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Observation, dict[str, Any]]:
        """Start an episode.

        Args:
            seed: seed of ``np_random``, which draws the initial state if ``options`` has none. Seed and
                initial state also decide the draws of the robustness options, and nothing else.
            options: ``{"init_state": i}`` chooses the frozen initial state.

        Raises:
            ValueError: an option is unknown, or the initial state does not exist.
        """
        super().reset(seed=seed)
        index = self._choose_state(options or {})
        drawn = int(self.np_random.integers(2**32)) if seed is None else seed
        self._variation.draw(self.data, drawn, index)
        mujoco.mj_resetData(self.model, self.data)
        self.events = {}
        self._arrange(self._states[index])
        for name, place, yaw in self._variation.distractor_places():
            self._put(name, place, yaw)
        mujoco.mj_forward(self.model, self.data)
        self.subgoals = self._watch(fresh=True)
        info = self._info()
        info["init_state"] = index
        info["scene_hash"] = scene_hash(self.model, self.data, self._motion())
        info["provenance"] = dict(self._provenance)
        if self._viewer is not None:
            self._viewer.show()
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
        """Run one control step (1/30 s) with joint targets and, for a mobile robot, a base velocity.

        The reward is the change of the score.
        """
        before = self.score
        clipped = np.minimum(np.maximum(self._checked(action), self._low), self._high)
        self.data.ctrl[:] = self._variation.delayed(self._control(clipped), self.data.ctrl)
        self._move_parts()
        mujoco.mj_step(self.model, self.data, SUBSTEPS)
        self._refuse_warnings()
        self.subgoals = self._watch(fresh=False)
        info = self._info()
        if self._viewer is not None:
            self._viewer.show()
        return info["score"] - before, info["is_success"], False, info

    def _checked(self, action: Action) -> NDArray[np.float64]:
        targets = np.asarray(action, dtype=np.float64)
        if targets.shape != self._low.shape:
            raise ValueError(f"the action must have shape ({self._low.size},), not {targets.shape}")
        if not np.isfinite(targets).all():
            raise ValueError(f"the action must be finite, not {targets.tolist()}")
        return targets

    def _refuse_warnings(self) -> None:
        """Raise if the simulation diverged: MuJoCo then resets the scene, and the episode is invalid."""
        if self._warnings.any():
            warning = LATEST[-1] if LATEST else "nothing"
            raise InfrastructureError(
                f"the simulation is invalid at {self.data.time:.3f} s, MuJoCo warned: {warning}"
            )

    def _info(self) -> dict[str, Any]:
        score = self.score
        info = {
            "is_success": score == 1.0,
            "score": score,
            "subgoals": dict(self.subgoals),
            "task": self.task_description,
        }
        return {**info, "events": dict(self.events)} if self.events else info

    def observe(self) -> Observation:
        """Render the cameras and read the robot's sensors."""
        pixels = {name: self._cameras.picture(self.data, name) for name in self.camera_names}
        pixels, readings = self._variation.disturb(pixels, self._readings(), self.data.time)
        return {"pixels": pixels, "agent_pos": self.units.state(readings)}

    def state_hash(self) -> str:
        """Return the hash of all joint positions now, rounded to 1e-6."""
        return state_hash(self.data)

    def render(self) -> NDArray[np.uint8] | None:
        """Return a view from the side, uint8 (480, 640, 3), in render mode ``rgb_array``.

        In render mode ``human`` it returns None: the window shows the scene and updates by itself.
        """
        if self.render_mode != "rgb_array":
            return None
        return self._cameras.nice_picture(self.data, "side")

    def close(self) -> None:
        """Free the GL contexts and close the window; a second call has no effect."""
        self._cameras.close()
        if self._viewer is not None:
            self._viewer.close()

    def object_pose(self, name: str) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return an object's origin (3,), m, and rotation (3, 3) in the world frame."""
        body = self.data.body(name)
        return np.array(body.xpos), np.array(body.xmat).reshape(3, 3)

    def _put(self, name: str, place: tuple[float, float, float], yaw: float) -> None:
        """Put a free object upright, with its origin at a place (m) and turned by a yaw (rad)."""
        start = int(self.model.joint(name).qposadr[0])
        turn = (np.cos(yaw / 2), 0.0, 0.0, np.sin(yaw / 2))
        self.data.qpos[start : start + 7] = (*place, *turn)

    @property
    def tick(self) -> int:
        """Control steps since the reset."""
        ticks: int = round(self.data.time * self.metadata["render_fps"])
        return ticks

    def scatter(self, reach_m: float, generator: np.random.Generator) -> None:
        """Move the task's objects by up to ``reach_m`` along x and y, and turn them at random."""
        for joint in self._carried():
            start = int(self.model.jnt_qposadr[joint])
            turn = self.data.qpos[start + 3 : start + 7]
            self.data.qpos[start : start + 2] += generator.uniform(-reach_m, reach_m, 2)
            half = generator.uniform(-np.pi, np.pi) / 2
            mujoco.mju_mulQuat(turn, np.array([np.cos(half), 0, 0, np.sin(half)]), turn.copy())
        mujoco.mj_forward(self.model, self.data)

    def _carried(self) -> Sequence[int]:
        """Return the free joints of the objects that the task moves; here, all free joints."""
        return [
            int(joint)
            for joint in np.flatnonzero(self.model.jnt_type == mujoco.mjtJoint.mjJNT_FREE)
        ]

    def bench_physics(self) -> Callable[[], None]:
        """Return a function that runs the physics of a control step on a copy; for ``vlaeval bench``."""
        data = copy.copy(self.data)
        return lambda: mujoco.mj_step(self.model, data, SUBSTEPS)

    def bench_cameras(self) -> dict[str, Callable[[], object]]:
        """Return a drawing function for each camera; for ``vlaeval bench``."""
        return {
            name: lambda name=name: self._cameras.picture(self.data, name)  # type: ignore[misc]
            for name in self.camera_names
        }
