"""LIBERO as a Gymnasium environment."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, cast, get_args

import gymnasium
import numpy as np
from gymnasium import Space
from numpy.typing import NDArray

from vla_eval.environment import Action, EvalEnv, Observation
from vla_eval.errors import UsageError
from vla_eval_envs.libero.assets import find_assets
from vla_eval_envs.libero.catalog import CONTROL_HZ, instruction_of, task_names
from vla_eval_envs.libero.events import Events
from vla_eval_envs.libero.init_states import read_init_states
from vla_eval_envs.libero.install import load
from vla_eval_envs.libero.options import check_option, choose_init_state
from vla_eval_envs.libero.poses import AxisAngle, axis_angle, matrix_to_quaternion
from vla_eval_envs.libero.scenes import Drawing, Physics, open_simulator
from vla_eval_envs.libero.simulator import CAMERAS, Simulator
from vla_eval_envs.libero.spaces import (
    ACTION_NAMES,
    STATE_NAMES,
    ControlMode,
    GripperRule,
    action_space,
    clip_action,
    observation_space,
    pose_action,
    state_vector,
)
from vla_eval_envs.libero.versions import provenance, versions

__all__ = ["LiberoEnv"]

_SEED_LIMIT = 2**32


class LiberoEnv(EvalEnv):
    """One LIBERO task: a Franka Panda, an instruction, two cameras, 20 control steps a second.

    Description:
        The scene, its 50 initial states and the success predicate are LIBERO's (hf-libero 0.1.4,
        robosuite 1.4.0, MuJoCo 3.3.2). Pixels and states equal those of LIBERO's own
        ``OffScreenRenderEnv`` bit for bit; here they depend only on the seed and the initial
        state.

    Action Space:
        ``Box(-1, 1, (7,), float32)`` when ``control_mode`` is ``relative``:

        =====  ==============  ==========================================================
        index  name            meaning
        =====  ==============  ==========================================================
        0–2    dx dy dz        displacement in the world frame, ±1 is ±0.05 m
        3–5    drx dry drz     rotation vector in the world frame, ±1 is ±0.5 rad
        6      gripper         negative opens, positive closes; 0: see ``gripper``
        =====  ==============  ==========================================================

        With ``absolute`` the first six numbers are the pose of the gripper's grasp point in the
        world frame: position in m (±2) and rotation vector in rad (±2π).

    Observation Space:
        ``pixels``: ``agentview`` and ``wrist``, uint8 (image_size, image_size, 3).
        ``agent_pos``: float32 (8,): position of the grasp point (m), orientation of the hand as a
        rotation vector (rad), positions of the two fingers (m). As in LIBERO, the hand's frame
        is turned by 90° about z relative to the frame of absolute actions.

    Starting State:
        One of the 50 frozen joint configurations, with fixtures placed by the seed, followed by
        ``settle_steps`` steps in which the robot holds still.

    Rewards, Episode End:
        Reward 1 and termination on success by LIBERO's own predicate. Never truncated here.

    ``info["subgoals"]`` gives the parts of the goal that hold at this moment, ``info["score"]`` their
    fraction. Neither latches, because LIBERO requires all parts at the same time. With ``shift_cm`` or ``push_n``,
    ``info["events"]`` holds, from the shift or push on, the control step of the first observation that shows it.

    Arguments (the simulator is built in the first reset, so making an environment is cheap):
        suite: ``libero_spatial``, ``_object``, ``_goal``, ``_10`` or ``_90``.
        task: index in LIBERO's standard order.
        image_size: height and width of both pictures in pixels.
        control_mode: whether actions are displacements or poses, see :data:`ControlMode`.
        settle_steps: control steps before the first observation, in which the robot holds still.
        rotate_180: turn both pictures upright, as the published pipelines do; LIBERO renders them
            turned by 180°.
        axis_angle: sign convention of the orientation, see :data:`AxisAngle`.
        gripper: meaning of a gripper command of exactly 0, see :data:`GripperRule`.
        physics: the loop that runs the physics, see :data:`Physics`.
        drawing: what is drawn of a scene, see :data:`Drawing`.
        shift_cm: largest way in cm, an integer in 0..5, by which the object that the goal names first is shifted,
            once, after 10 to 29 control steps; 0: never. See :mod:`~vla_eval_envs.libero.shift`.
        push_n: force in N, an integer in 0..40, that pushes each finger outwards, once, for 0.1 to 0.3 s, while this
            object is carried; 0: never. See :mod:`~vla_eval_envs.libero.push`.
        assets: folder of LIBERO's assets; without it ``find_assets`` searches for one.
        render_mode: None or ``rgb_array`` (the agentview picture).

    Raises UsageError for an unknown suite, task or option, MissingExtraError without hf-libero, and
    InfrastructureError with another MuJoCo than LIBERO needs.

    Version History:
        v0: first release.
    """

    metadata: dict[str, Any] = {  # noqa: RUF012  Gymnasium declares it so
        "render_modes": ["rgb_array"],
        "render_fps": CONTROL_HZ,
        "state_names": STATE_NAMES,
        "action_names": ACTION_NAMES["relative"],
        "switches": ACTION_NAMES["relative"][-1:],
    }

    def __init__(  # noqa: PLR0913  options of gymnasium.make, all by keyword
        self,
        suite: str,
        task: int,
        *,
        image_size: int = 256,
        control_mode: ControlMode = "relative",
        settle_steps: int = 10,
        rotate_180: bool = True,
        axis_angle: AxisAngle = "lerobot",
        gripper: GripperRule = "sign",
        physics: Physics = "exact",
        drawing: Drawing = "exact",
        shift_cm: int = 0,
        push_n: int = 0,
        assets: str | None = None,
        render_mode: str | None = None,
    ) -> None:
        names = task_names(suite)
        check_option("task", task, range(len(names)))
        check_option("control_mode", control_mode, get_args(ControlMode))
        check_option("axis_angle", axis_angle, get_args(AxisAngle))
        check_option("gripper", gripper, get_args(GripperRule))
        check_option("physics", physics, get_args(Physics))
        check_option("drawing", drawing, get_args(Drawing))
        check_option("render_mode", render_mode, (None, "rgb_array"))
        if image_size < 1 or settle_steps < 0:
            raise UsageError("image_size must be at least 1 and settle_steps at least 0")
        self._versions, self._suite, self._name = versions(), suite, names[task]
        self._image_size, self._rotate_180 = image_size, rotate_180
        self._control_mode, self._settle_steps = control_mode, settle_steps
        self._axis_angle, self._assets, self._physics = axis_angle, assets, physics
        self._gripper_rule, self._drawing = gripper, drawing
        self._events = Events(shift_cm=shift_cm, push_n=push_n)
        self._simulator: Simulator | None = None
        self._init_states: NDArray[np.float64] = np.empty((0, 0))
        self._provenance: dict[str, str | int | bool] = {}
        self._gripper, self.render_mode = -1.0, render_mode
        self.task_description = instruction_of(self._name)
        self.metadata = {**self.metadata, "action_names": ACTION_NAMES[control_mode]}
        self._box = action_space(control_mode)
        self.action_space = cast("Space[Action]", self._box)
        self.observation_space = observation_space(image_size)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Observation, dict[str, Any]]:
        """Start an episode.

        Args:
            seed: places the fixtures, as ``env.seed`` does in LIBERO; None draws one.
            options: ``{"init_state": i}`` with i from 0 to 49; without it i is drawn.

        Raises:
            ValueError: the seed or the initial state is out of range, or an option is unknown.
        """
        info = self._begin(seed, options or {})
        return self.observe(), info

    def new_scene(self, *, seed: int) -> dict[str, Any]:
        """Start an episode in which LIBERO's own rules and this seed place objects and arm.

        The scene is not one of the 50 initial states, so training can use scenes that no evaluation
        uses.
        """
        return self._begin(seed, None)

    def start(self, *, seed: int, init_state: int) -> dict[str, Any]:
        """Start an episode as in :meth:`reset`, without pictures."""
        return self._begin(seed, {"init_state": init_state})

    def _begin(self, seed: int | None, options: dict[str, Any] | None) -> dict[str, Any]:
        """Start an episode; if ``options`` is None, in a new scene."""
        super().reset(seed=seed)
        scene_seed = int(self.np_random.integers(_SEED_LIMIT)) if seed is None else seed
        if scene_seed >= _SEED_LIMIT:
            raise ValueError(f"seed must be below 2**32, not {seed}: LIBERO seeds NumPy with it")
        simulator = self._ensure_simulator()
        init_state = None
        if options is not None:
            init_state = choose_init_state(options, len(self._init_states), self.np_random)
        scene = simulator.reset(
            scene_seed,
            None if init_state is None else self._init_states[init_state],
            self._settle_steps,
            absolute=self._control_mode == "absolute",
            motion=self._events.draw(scene_seed, init_state),
        )
        self._events.begin(simulator.robosuite_env)
        self._gripper = -1.0
        info = self._info(success=simulator.done())
        info |= {"scene_hash": scene}
        info |= {} if init_state is None else {"init_state": init_state}
        info["provenance"] = dict(self._provenance)
        return info

    def advance(self, action: Action) -> tuple[float, bool, bool, dict[str, Any]]:
        """Run one control step of physics without rendering."""
        simulator = self._running()
        clipped = clip_action(action, self._box)
        if self._gripper_rule == "binary":
            clipped[6] = -1 if clipped[6] < 0 else 1
        self._gripper = float(clipped[6]) or self._gripper
        self._events.prepare()
        success = simulator.advance(clipped)
        return float(success), success, False, self._info(success=success)

    def observe(self) -> Observation:
        """Render both cameras and read the robot's state."""
        simulator = self._running()
        pixels = simulator.render(self._image_size)
        if self._rotate_180:
            pixels = {name: _turned(picture) for name, picture in pixels.items()}
        return {"pixels": pixels, "agent_pos": state_vector(simulator.observed, self._axis_angle)}

    def hold_action(self) -> Action:
        """Return the action that keeps arm and gripper as they are; after a reset the gripper is open."""
        action = np.zeros(7, dtype=np.float32)
        if self._control_mode == "absolute":
            position, rotation = self._running().grip_pose()
            action[:3], action[3:6] = position, axis_angle(matrix_to_quaternion(rotation))
        # The last command instead of 0, so that the fingers keep pressing on a held object.
        action[6] = self._gripper
        return action

    def stall_action(self, last: Action, ticks: int) -> Action:
        """Return the last pose, or no displacement with the last command of the gripper.

        A displacement that is repeated runs away; 0 in the gripper would freeze it.
        """
        del ticks
        if self._control_mode == "absolute":
            return last
        return np.append(np.zeros(6), last[6]).astype(np.float32)

    def state_hash(self) -> str:
        """Return the hash of all joint positions now, rounded to 1e-6."""
        return self._running().state_hash()

    def absolute_action(self, action: Action) -> Action:
        """Return the absolute action with the present goal of a relative action, both float32 (7,)."""
        clipped = clip_action(action, action_space("relative"))
        position, rotation = self._running().grip_pose()
        return pose_action(clipped, position, rotation)

    def render(self) -> NDArray[np.uint8] | None:
        """Return the agentview picture, uint8 (image_size, image_size, 3), upright."""
        if self.render_mode is None:
            return None
        return _turned(self._running().render(self._image_size, "agentview")["agentview"])

    def bench_physics(self) -> Callable[[], None] | None:
        """Return a function that runs the physics of one control step on a copy of the present state."""
        return self._running().bare_physics()

    def bench_cameras(self) -> dict[str, Callable[[], object]]:
        """Return a drawing function for each camera."""
        simulator = self._running()
        return {name: partial(simulator.render, self._image_size, name) for name in CAMERAS}

    def close(self) -> None:
        """Free the simulator; a second call has no effect."""
        if self._simulator is not None:
            self._simulator.close()
            self._simulator = None

    @property
    def robosuite_env(self) -> Any:
        """The wrapped LIBERO environment, for scripted experts; raises ResetNeeded before reset."""
        return self._running().robosuite_env

    def _running(self) -> Simulator:
        if self._simulator is None:
            raise gymnasium.error.ResetNeeded("call reset before the first step, and after close")
        return self._simulator

    def _ensure_simulator(self) -> Simulator:
        if self._simulator is None:
            library = load(find_assets(self._assets))
            frozen = self._file(library.root / "init_files", "pruned_init")
            self._init_states = read_init_states(frozen)
            self._provenance = provenance(self._versions, library.gl, library.assets)
            self._provenance["physics"] = self._physics
            if self._drawing != "exact":  # earlier versions did not say it
                self._provenance["drawing"] = self._drawing
            task_file = self._file(library.root / "bddl_files", "bddl")
            self._simulator = open_simulator(
                library, task_file, self._physics, self._drawing, self._image_size
            )
        return self._simulator

    def _file(self, folder: Path, suffix: str) -> Path:
        return folder / self._suite / f"{self._name}.{suffix}"

    def _info(self, *, success: bool) -> dict[str, Any]:
        subgoals = self._running().subgoals()
        info = {
            "is_success": success,
            "score": 1.0 if success else sum(subgoals.values()) / len(subgoals),
            "subgoals": subgoals,
            "task": self.task_description,
        }
        shown = self._events.shown()
        return {**info, "events": shown} if shown else info


def _turned(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return np.ascontiguousarray(picture[::-1, ::-1])
