"""Our tasks in the form that ``lerobot-eval``'s loop expects; does not import LeRobot."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import gymnasium
import numpy as np
from gymnasium.spaces import Space
from numpy.typing import NDArray

from vla_eval.catalog import Task
from vla_eval.environment import Action, EvalEnv, Observation, make_env
from vla_eval.errors import UsageError

__all__ = ["Job", "SpacesOf", "TaskEnv", "probe"]


@dataclass(frozen=True)
class SpacesOf:
    """Spaces and metadata of an environment, read once for all of its copies."""

    observation_space: Space[Any]
    action_space: Space[Any]
    metadata: dict[str, Any] = field(hash=False)


@dataclass(frozen=True)
class Job:
    """A task under fixed conditions."""

    suite: str
    task: Task
    scene: SpacesOf
    max_steps: int
    env_seed: int = 0
    """Seed of every reset. It replaces LeRobot's seeds, so that an episode equals the one with the
    same key in ``vlaeval run``."""
    env_kwargs: dict[str, Any] = field(default_factory=dict, hash=False)


def probe(task: Task, env_kwargs: dict[str, Any]) -> SpacesOf:
    """Build a task's environment once to learn its spaces."""
    env = make_env(task.env_id, env_kwargs)
    try:
        return SpacesOf(env.observation_space, env.action_space, dict(env.metadata))
    finally:
        env.close()


class TaskEnv(gymnasium.Env[Observation, Action]):
    """Runs a task's frozen initial states in order; the policy cannot change the order.

    The k-th reset starts from initial state ``start + k * stride``, modulo their number. The first
    reset builds the simulator: LeRobot makes the environments of all tasks before it runs one.

    Args:
        job: the task and its conditions.
        start: number of the first initial state.
        stride: number of copies that run side by side.
    """

    def __init__(self, job: Job, *, start: int, stride: int) -> None:
        self.observation_space = job.scene.observation_space
        self.action_space = job.scene.action_space
        self.metadata = job.scene.metadata
        self.render_mode = "rgb_array"
        self.task = f"{job.suite}/{job.task.name}"
        self.task_description = job.task.instruction
        self._max_episode_steps = job.max_steps
        self._job = job
        self._next = start
        self._stride = stride
        self._steps = 0
        self._env: EvalEnv | None = None
        self._seen: Observation = {}

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Observation, dict[str, Any]]:
        """Start from the next initial state; both arguments are ignored."""
        del seed, options
        env = self._running()
        state = self._next % self._job.task.init_states
        self._next += self._stride
        self._steps = 0
        self._seen, info = env.reset(seed=self._job.env_seed, options={"init_state": state})
        self.task_description = env.task_description
        return self._seen, {**_brief(info), "init_state": state}

    def step(self, action: Action) -> tuple[Observation, float, bool, bool, dict[str, Any]]:
        """Take a step; truncate the episode at the time limit."""
        self._seen, reward, terminated, truncated, info = self._running().step(action)
        self._steps += 1
        over = truncated or (self._steps >= self._max_episode_steps and not terminated)
        return self._seen, reward, terminated, over, _brief(info)

    def render(self) -> NDArray[np.uint8]:
        """Return the policy's pictures side by side; those of another height are left out."""
        pictures = list(self._seen["pixels"].values())
        height = pictures[0].shape[0]
        fitting: NDArray[np.uint8] = np.hstack([p for p in pictures if p.shape[0] == height])
        return fitting

    def close(self) -> None:
        """Close the simulator, if it was built."""
        if self._env is not None:
            self._env.close()
            self._env = None

    def _running(self) -> EvalEnv:
        if self._env is None:
            env = make_env(self._job.task.env_id, self._job.env_kwargs)
            if env.observation_space != self.observation_space:
                raise UsageError(
                    f"{self.task}: its cameras or state are not those of the first task; "
                    "evaluate it in a command of its own"
                )
            self._env = env
        return self._env


def _brief(info: dict[str, Any]) -> dict[str, Any]:
    """Return the entries that LeRobot's loop reads, as plain values that can be stacked."""
    success = bool(info.get("is_success", False))
    return {"is_success": success, "score": float(info.get("score", success))}
