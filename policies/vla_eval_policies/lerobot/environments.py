"""The environment type ``vla_eval`` of ``lerobot-eval``: every task of every installed suite.

::

    lerobot-eval --env.discover_packages_path=vla_eval_policies.lerobot \
        --env.type=vla_eval --env.task=so101/PickPlace \
        --policy.path=checkpoint --eval.n_episodes=10
"""

from __future__ import annotations

import functools
from dataclasses import dataclass, field
from typing import Any

import gymnasium
from gymnasium.spaces import Dict
from lerobot.configs import FeatureType, PolicyFeature
from lerobot.envs.configs import EnvConfig
from lerobot.envs.utils import _LazyAsyncVectorEnv, freeze_after_episode_end

from vla_eval.catalog import Suite, Task, find_suite
from vla_eval.errors import UsageError
from vla_eval_policies.lerobot.episodes import Job, SpacesOf, TaskEnv, probe

__all__ = ["VlaEvalEnv"]


@EnvConfig.register_subclass("vla_eval")
@dataclass
class VlaEvalEnv(EnvConfig):  # type: ignore[misc]  # LeRobot is not followed: its classes are Any
    """Tasks of vla_eval; episode i of a task starts from its frozen initial state i."""

    task: str | None = "so101/PickPlace"
    """``SUITE/TASK``, or ``SUITE`` for all of its tasks; several are joined by commas."""
    env_kwargs: dict[str, Any] = field(default_factory=dict)
    """Arguments of the environment, as in a protocol: ``'{"image_size": 96}'``."""
    first_init_state: int = 0
    """Number of the first initial state. In our own suites 0 to 99 are for development, 100 to 199
    for certificates."""
    env_seed: int = 0
    """Seed of the environment, as in a protocol; ``--seed`` does not change the scenes."""
    episode_length: int | None = None
    """Time limit in steps; None leaves it to each task."""

    def __post_init__(self) -> None:
        """Probe the first task: LeRobot asks for features before it makes an environment."""
        self._tasks = _tasks(self.task or "")
        self._scene = probe(self._tasks[0][1], self.env_kwargs)
        self.fps = int(self._scene.metadata["render_fps"])
        self.features = _features(self._scene)
        self.features_map = {
            key: "observation.state" if key == "agent_pos" else key for key in self.features
        }

    @property
    def gym_kwargs(self) -> dict[str, Any]:
        """Arguments of the environment."""
        return dict(self.env_kwargs)

    def create_envs(
        self,
        n_envs: int,
        use_async_envs: bool = False,  # noqa: FBT001, FBT002 - LeRobot's signature
    ) -> dict[str, dict[int, gymnasium.vector.VectorEnv]]:
        """Return ``{suite: {number of the task: n_envs copies of it}}``."""
        made: dict[str, dict[int, gymnasium.vector.VectorEnv]] = {}
        for suite, task in self._tasks:
            job = Job(
                suite.name,
                task,
                self._scene,
                max_steps=self.episode_length or task.max_steps,
                env_seed=self.env_seed,
                env_kwargs=self.env_kwargs,
            )
            factories = [
                functools.partial(TaskEnv, job, start=self.first_init_state + i, stride=n_envs)
                for i in range(n_envs)
            ]
            number = suite.tasks.index(task)
            made.setdefault(suite.name, {})[number] = (
                _LazyAsyncVectorEnv(
                    factories,
                    self._scene.observation_space,
                    self._scene.action_space,
                    self._scene.metadata,
                )
                if use_async_envs and n_envs > 1
                # LeRobot freezes asynchronous copies only. Without freezing, a copy that ended early
                # would start another episode, and the next states would depend on the policy.
                else gymnasium.vector.SyncVectorEnv(
                    [freeze_after_episode_end(factory) for factory in factories],
                    autoreset_mode=gymnasium.vector.AutoresetMode.NEXT_STEP,
                )
            )
        return made


def _tasks(names: str) -> list[tuple[Suite, Task]]:
    pairs: list[tuple[Suite, Task]] = []
    for name in names.split(","):
        suite_name, _, task_name = name.strip().partition("/")
        suite = find_suite(suite_name)
        tasks = (suite.task(task_name),) if task_name else suite.tasks
        pairs += [(suite, task) for task in tasks]
    if len(pairs) != len({task.env_id for _, task in pairs}):
        raise UsageError(f"--env.task={names}: a task is named twice")
    return pairs


def _features(scene: SpacesOf) -> dict[str, PolicyFeature]:
    space = scene.observation_space
    if not (isinstance(space, Dict) and isinstance(pixels := space["pixels"], Dict)):
        raise UsageError("the environment's observations are no dict of pixels and agent_pos")
    # LeRobot's recorder looks for the state under the observation's own key.
    features = {
        "action": PolicyFeature(type=FeatureType.ACTION, shape=scene.action_space.shape),
        "agent_pos": PolicyFeature(type=FeatureType.STATE, shape=space["agent_pos"].shape),
    }
    for name, box in pixels.items():
        key = f"observation.images.{name}"
        features[key] = PolicyFeature(type=FeatureType.VISUAL, shape=box.shape)
    return features
