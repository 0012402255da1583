"""The environment contract: plain Gymnasium, with ``step`` split into advance and observe.

Rendering is the most expensive part of a simulated step, and a policy that executes ten actions per
inference uses one observation in ten. So an :class:`EvalEnv` separates physics
(:meth:`~EvalEnv.advance`) from rendering (:meth:`~EvalEnv.observe`), and the evaluator observes only
before an inference. ``step`` does both in a row, so that ``gym.make``, ``make_vec`` and any training
code see an ordinary environment. In the same way, :meth:`~EvalEnv.start` is ``reset`` for a policy that uses
no observations.

``info`` of ``reset`` and ``advance`` carries these keys; an environment may add others:

================  =====================================================================
key               meaning
================  =====================================================================
``is_success``    bool, the task's success predicate at this moment
``score``         float in [0, 1], partial credit; 1.0 exactly on success
``subgoals``      dict of str to bool, the parts that make up the score; whether they are
                  latched or hold at this moment is the task's definition
``task``          str, the instruction
``scene_hash``    str (after ``reset`` only), sha256 of body and geom poses and qpos
``init_state``    int (after ``reset`` only), the numbered start that was used
``events``        dict of str to int, optional: what was done to the scene so far, by name
                  (a push, a jump of an object), with the control step of the first
                  observation that can show it
``provenance``    dict of str to JSON scalar (after ``reset`` only): simulator version,
                  renderer, assets; ``standins`` true where assets are stand-ins
================  =====================================================================
"""

from __future__ import annotations

import importlib.util
import os
import warnings
from abc import abstractmethod
from collections.abc import Callable, Mapping
from typing import Any, Protocol, runtime_checkable

import gymnasium
import numpy as np
from numpy.typing import NDArray

from vla_eval.errors import UsageError

__all__ = [
    "AbsoluteActions",
    "Action",
    "BenchCameras",
    "BenchPhysics",
    "EvalEnv",
    "HashesState",
    "NewScenes",
    "Observation",
    "Scatters",
    "Stalls",
    "SteppedEnv",
    "make_env",
    "state_hash_of",
]

Observation = dict[str, Any]
"""``{"pixels": {camera: uint8 (H, W, 3)}, "agent_pos": float32 (D,)}``."""

Action = NDArray[np.float32]
"""float32 (A,), inside the environment's ``action_space``."""


class EvalEnv(gymnasium.Env[Observation, Action]):
    """Base of this project's environments.

    Life cycle: ``reset(seed=…, options={"init_state": i})``, then ``step``, or ``advance`` any
    number of times with an ``observe`` whenever an observation is needed, until ``terminated``;
    ``close`` once. The same seed and initial state give the same scene, independent of earlier episodes.

    Subclasses set ``task_description`` (the instruction), ``metadata["render_fps"]`` (equal to the
    control rate in Hz), ``metadata["action_names"]`` and ``metadata["state_names"]``, and implement
    ``reset``, :meth:`advance`, :meth:`observe` and :meth:`hold_action`.

    Everything else is optional and has its own class below: :class:`Stalls`, :class:`NewScenes`,
    :class:`Scatters`, :class:`AbsoluteActions`, :class:`HashesState`, :class:`BenchPhysics`,
    :class:`BenchCameras`.
    """

    task_description: str

    def start(self, *, seed: int, init_state: int) -> dict[str, Any]:
        """Begin an episode exactly as ``reset`` does, and return its info without an observation.

        An environment with expensive observations in ``reset`` overrides this method. This default
        calls ``reset`` and drops the observation.
        """
        return self.reset(seed=seed, options={"init_state": init_state})[1]

    @abstractmethod
    def advance(self, action: Action) -> tuple[float, bool, bool, dict[str, Any]]:
        """Run one control step of physics without rendering.

        Args:
            action: float32 (A,); values outside ``action_space`` are clipped.

        Returns:
            reward, terminated (true on success: the caller must reset), truncated, info.

        Raises:
            ValueError: the action has another shape than (A,) or is not finite.
        """

    @abstractmethod
    def observe(self) -> Observation:
        """Render the cameras and read the robot's state, as freshly allocated arrays."""

    @abstractmethod
    def hold_action(self) -> Action:
        """Return the action, float32 (A,), that keeps the robot where it is now."""

    def step(self, action: Action) -> tuple[Observation, float, bool, bool, dict[str, Any]]:
        """Advance, then observe: Gymnasium's five-tuple."""
        reward, terminated, truncated, info = self.advance(action)
        return self.observe(), reward, terminated, truncated, info


@runtime_checkable
class Stalls(Protocol):
    """An environment that defines what its robot does while no action comes; virtual time needs it.

    ``metadata["switches"]`` may name action dimensions that know two values only (a gripper that opens or
    closes); they are never averaged.
    """

    def stall_action(self, last: Action, ticks: int) -> Action:
        """Return the action, float32 (A,), of a control step for which the policy has none.

        Args:
            last: the last executed action of the policy; at the start of an episode, `hold_action`.
            ticks: number of stalled control steps in a row, this one included; from 1.
        """


@runtime_checkable
class NewScenes(Protocol):
    """An environment with more scenes than its numbered initial states, to train on."""

    def new_scene(self, *, seed: int) -> dict[str, Any]:
        """Begin an episode in the scene of this seed, outside the initial states; return its info."""


@runtime_checkable
class Scatters(Protocol):
    """An environment whose objects can be moved after ``reset``, to train on more scenes."""

    def scatter(self, reach_m: float, generator: np.random.Generator) -> None:
        """Move the objects to be carried by up to ``reach_m`` along x and y; rotate them at random."""


@runtime_checkable
class AbsoluteActions(Protocol):
    """An environment whose actions are displacements, and that can convert them to poses."""

    def absolute_action(self, action: Action) -> Action:
        """Return the pose, as an action, that this displacement reaches from the current pose."""


@runtime_checkable
class HashesState(Protocol):
    """An environment that can say in one hash which state it is in: records hold it for an episode's end.

    With it a replay of the actions shows that it ended in the same state, and not only with the same result.
    """

    def state_hash(self) -> str:
        """Return a hash of all that moves; a difference in the last bits of a number must not change it."""


@runtime_checkable
class BenchPhysics(Protocol):
    """An environment that can run its bare physics, for ``vlaeval bench sim``."""

    def bench_physics(self) -> Callable[[], None] | None:
        """Return a function that runs one control step's physics on a copy of the state, or None."""


@runtime_checkable
class BenchCameras(Protocol):
    """An environment that can draw its cameras one by one, for ``vlaeval bench sim``."""

    def bench_cameras(self) -> Mapping[str, Callable[[], object]]:
        """Return a drawing function for each camera, by name."""


def state_hash_of(env: EvalEnv) -> str | None:
    """Return the hash of an environment's state; None if it gives none."""
    inner = getattr(env, "inner", env)  # a wrapper has every ability, and asks the one inside
    return inner.state_hash() if isinstance(inner, HashesState) else None


class SteppedEnv(EvalEnv):
    """Any Gymnasium environment under the :class:`EvalEnv` interface.

    Such an environment renders in every step; its last observation is kept for :meth:`observe`.
    Success is ``info["is_success"]``. Without that key an episode can only fail, so the first
    ``info`` without it causes a warning.
    """

    def __init__(self, env: gymnasium.Env[Any, Any]) -> None:
        self._env = env
        self._observation: Any = None
        self._warned = False
        self.action_space = env.action_space
        self.observation_space = env.observation_space
        self.metadata = env.metadata
        instruction = getattr(env.unwrapped, "task_description", None)
        self.task_description = str(instruction or getattr(env.unwrapped, "task", ""))

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Observation, dict[str, Any]]:
        """Reset the environment and keep its observation."""
        try:
            self._observation, info = self._env.reset(seed=seed, options=options)
        except Exception as error:
            _refuse_without_gl(_name_of(self._env), error)
            raise
        return self._observation, info

    def advance(self, action: Action) -> tuple[float, bool, bool, dict[str, Any]]:
        """Step the environment and keep its observation."""
        self._observation, reward, terminated, truncated, info = self._env.step(action)
        if "is_success" not in info and not self._warned:
            self._warned = True
            warnings.warn(
                f"environment '{_name_of(self._env)}': its info has no 'is_success' (it has: "
                f"{', '.join(map(str, info)) or 'nothing'}), so no episode can succeed; see "
                "docs/bring-your-environment.md",
                stacklevel=2,
            )
        return float(reward), bool(terminated), bool(truncated), info

    def observe(self) -> Observation:
        """Return the observation of the last step."""
        observation: Observation = self._observation
        return observation

    def hold_action(self) -> Action:
        """Refuse, with UsageError: only the environment's author knows which action holds still."""
        raise UsageError(
            f"environment '{_name_of(self._env)}' has no hold_action(), which this policy needs: "
            "make it an EvalEnv (docs/bring-your-environment.md), or choose another policy"
        )

    def close(self) -> None:
        """Close the environment."""
        self._env.close()


def _name_of(env: gymnasium.Env[Any, Any]) -> str:
    return env.spec.id if env.spec is not None else type(env.unwrapped).__name__


def _refuse_without_gl(name: str, error: Exception) -> None:
    """Raise UsageError where MuJoCo cannot draw because no one has said with what."""
    if "OpenGL" in str(error) and not os.environ.get("MUJOCO_GL"):
        raise UsageError(
            f"environment '{name}' cannot draw ({error}): MuJoCo reads MUJOCO_GL when it is imported; "
            "run again after: export MUJOCO_GL=egl (or osmesa)"
        ) from error


def make_env(env_id: str, env_kwargs: Mapping[str, Any]) -> EvalEnv:
    """Build an environment without Gymnasium's time limit: the protocol sets the limit.

    Raises:
        UsageError: unknown id, or an argument that the environment does not accept.
    """
    module = env_id.partition(":")[0]
    if importlib.util.find_spec(module) is None:
        raise UsageError(
            f"environment '{env_id}': the package '{module}' that should offer it is not installed"
        )
    try:
        env = gymnasium.make(
            env_id, max_episode_steps=-1, disable_env_checker=True, **dict(env_kwargs)
        )
    except gymnasium.error.UnregisteredEnv as error:
        raise UsageError(f"environment '{env_id}': {error}") from None
    except TypeError as error:
        if "unexpected keyword argument" not in str(error):
            raise
        raise UsageError(f"environment '{env_id}', env_kwargs: {error}") from None
    except Exception as error:
        _refuse_without_gl(env_id, error)
        raise
    inner = env.unwrapped
    return inner if isinstance(inner, EvalEnv) else SteppedEnv(env)
