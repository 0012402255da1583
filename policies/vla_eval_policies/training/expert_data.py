"""Demonstrations generated during training: experts act under noise, with displaced objects.

This is the second source of data, beside ``vlaeval record``. It observes once every few steps, keeps
pictures at the network's size, and stores with each observation the next actions of the expert. No
video is encoded, so an episode costs little more than rendering its pictures.

Clean demonstrations contain only the expert's own path, so a policy never learns to return to it.
Here the robot executes the expert's actions plus correlated noise, and the policy learns the expert's
actions without the noise (DART, Laskey et al., arXiv 1703.09327). The objects are displaced a little
before each episode, so that one frozen state gives many scenes. Evaluation uses neither noise nor
displacement.
"""

from __future__ import annotations

import hashlib
import json
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, JsonValue
from pydantic import Field as Option

from vla_eval.catalog import find_suite
from vla_eval.environment import (
    AbsoluteActions,
    EvalEnv,
    NewScenes,
    Observation,
    Scatters,
    make_env,
)
from vla_eval.errors import MissingExtraError, UsageError
from vla_eval.files.atomic import write_atomically
from vla_eval.trainedon import shorten
from vla_eval_policies.experts import begin_episode
from vla_eval_policies.experts.motion import PACES
from vla_eval_policies.flow.inputs import shrink, stacked
from vla_eval_policies.training.data import Frames, chunks_of

__all__ = ["Demonstration", "ExpertData", "OnEpisode", "generate", "generated_cameras"]

_ARRAYS = ("pictures", "states", "chunks", "lengths", "episode", "instruction")
_WANDER = 0.9
"""Correlation of the noise of two consecutive control steps."""

OnEpisode = Callable[[int, int], None]
"""Called after every episode with the number of episodes so far and the total number."""


class ExpertData(BaseModel):
    """The section ``[data.expert]``: tasks and conditions of the experts' demonstrations."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    tasks: tuple[str, ...] = Option(min_length=1)
    """Tasks, each as ``suite/task``."""
    init_states: int = Option(default=100, ge=1, le=1_000_000)
    """Number n of initial states: the first n are used; from 100 on they are for certificates. For
    LIBERO, n new scenes are generated instead."""
    repeats: int = Option(default=1, ge=1, le=1_000_000)
    """Episodes for each initial state, with different noise and displacements."""
    look_every: int = Option(default=3, ge=1)
    """Largest number of control steps between two observations."""
    action_noise: float = Option(default=0.0, ge=0.0)
    """Standard deviation of the noise on executed actions, as a share of each dimension's range."""
    scatter_m: float = Option(default=0.0, ge=0.0)
    """Largest displacement of the objects to carry along x and y, in m; they are also turned by a
    random angle."""
    env_kwargs: Mapping[str, JsonValue] = Option(
        default_factory=dict, exclude_if=lambda options: not options
    )
    """Options of the environments, such as image_size, as in a protocol."""
    absolute: bool = Option(default=False, exclude_if=lambda chosen: not chosen)
    """For LIBERO: learn the target poses of the hand, for control_mode absolute. An expert's actions
    as displacements would react to the noise of each step, which no picture shows."""
    seed: int = Option(default=0, ge=0, lt=2**63)
    cache: str | None = None
    """Folder that keeps the demonstrations for other recipes with the same section."""

    def folder(self, size: int, chunk_size: int, n_obs_steps: int = 1) -> Path | None:
        """Return the folder that keeps these demonstrations; None without a cache."""
        if self.cache is None:
            return None
        parts = {**self.model_dump(exclude={"cache"}), "size": size, "chunk_size": chunk_size}
        if n_obs_steps > 1:
            parts["n_obs_steps"] = n_obs_steps
        name = hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:12]
        return Path(self.cache) / f"expert-{name}"


@dataclass
class Demonstration:
    """Observations and actions of an episode so far."""

    pictures: list[NDArray[np.uint8]] = field(default_factory=list)
    states: list[NDArray[np.float32]] = field(default_factory=list)
    chunks: list[NDArray[np.float32]] = field(default_factory=list)
    """The expert's next actions at each observation, (n, A); n may be less than a chunk's size."""
    steps: list[int] = field(default_factory=list)
    """Control step of each observation."""
    meant: list[NDArray[np.float32]] = field(default_factory=list)
    """The expert's action at each step, (A,), without noise."""
    scene_hash: str = ""
    """Hash of the scene in which the episode began, before objects were displaced."""

    def targets(self, size: int) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """Return the chunk of each observation, (N, size, A), and its number of actions, (N,)."""
        if all(len(chunk) == size for chunk in self.chunks):
            return np.stack(self.chunks), np.full(len(self.chunks), size, np.int64)
        ends = np.full(len(self.meant), len(self.meant), np.int64)
        chunks, lengths = chunks_of(np.stack(self.meant), ends, size)
        return chunks[self.steps], lengths[self.steps]


def generated_cameras(plan: ExpertData) -> tuple[str, ...]:
    """Return the cameras of the first task; raises UsageError."""
    env = _make(plan.tasks[0], plan.env_kwargs)
    try:
        space: Any = env.observation_space
        return tuple(space["pixels"].spaces)
    finally:
        env.close()


def generate(
    plan: ExpertData,
    cameras: Sequence[str],
    size: int,
    chunk_size: int,
    *,
    n_obs_steps: int = 1,
    on_episode: OnEpisode = lambda _done, _total: None,
) -> Frames:
    """Let the experts act, or read their demonstrations from the cache; drops failed episodes.

    Args:
        plan: tasks and conditions.
        cameras: cameras whose pictures are kept.
        size: edge length of the pictures, in pixels.
        chunk_size: number of actions kept with each observation.
        n_obs_steps: number of consecutive control steps whose pictures are kept with each observation.
        on_episode: called after every episode, to show progress.

    Raises:
        UsageError: a task, camera or expert does not exist, or no episode succeeded.
    """
    folder = plan.folder(size, chunk_size, n_obs_steps)
    if folder is not None and (folder / "meta.json").exists():
        return _load(folder)
    parts, total = [], len(plan.tasks) * plan.repeats * plan.init_states
    for number, task in enumerate(plan.tasks):
        stage = _Simulation(task, plan, cameras, size, chunk_size, n_obs_steps)
        for i, (repeat, state) in enumerate(np.ndindex(plan.repeats, plan.init_states)):
            generator = np.random.default_rng((plan.seed, number, state, repeat))
            looks = stage.episode(state, generator)
            parts += [] if looks is None else [stage.frames(looks)]
            on_episode(number * plan.repeats * plan.init_states + i + 1, total)
        stage.env.close()
    if not parts:
        raise UsageError(
            "[data.expert]: no episode succeeded; action_noise or scatter_m may be too large"
        )
    frames = Frames.joined(parts)
    if folder is not None:
        _save(folder, frames)
    return frames


class _Simulation:
    """The environment of a task, in which its expert acts."""

    def __init__(
        self,
        task: str,
        plan: ExpertData,
        cameras: Sequence[str],
        size: int,
        chunk_size: int,
        n_obs_steps: int,
    ) -> None:
        self.suite, _, self.name = task.partition("/")
        self.env = _make(task, plan.env_kwargs)
        self._limit = find_suite(self.suite).task(self.name).max_steps
        self._plan = plan
        self._cameras = cameras
        self._size = size
        self._chunk_size = chunk_size
        self._n_obs_steps = n_obs_steps
        self._recent: deque[NDArray[np.uint8]] = deque(maxlen=n_obs_steps)
        space: Any = self.env.action_space
        self._noise = plan.action_noise * (space.high - space.low)
        missing = set(cameras) - set(self.env.observation_space["pixels"].spaces)  # type: ignore[index]
        if missing:
            raise UsageError(f"[data.expert]: task '{task}' has no camera '{missing.pop()}'")

    def episode(self, state: int, generator: np.random.Generator) -> Demonstration | None:
        """Return the demonstration of an episode, or None if it failed."""
        scene_hash = self._reset(state, generator)
        self._recent.clear()
        if self._plan.scatter_m:
            self._scatter(generator)
        expert = begin_episode(
            self.suite, self.name, self.env, pace=PACES["normal"], generator=generator
        )
        looks, step, noise = Demonstration(scene_hash=scene_hash), 0, np.zeros(self._noise.shape)
        while step < self._limit:
            chunk = expert.actions(step, self._chunk_size)
            self._observe(looks, step, chunk)
            for before_look, action in zip(
                range(self._plan.look_every - 1, -1, -1), chunk, strict=False
            ):
                looks.meant.append(self._scaled(action))
                fresh = generator.normal(0.0, 1.0, noise.shape)
                noise = _WANDER * noise + np.sqrt(1 - _WANDER**2) * fresh
                executed = np.asarray(action + noise * self._noise, np.float32)
                _, terminated, _, _ = self.env.advance(executed)
                step += 1
                if terminated:
                    return looks
                if 0 < before_look < self._n_obs_steps:
                    self._recent.append(self._pictures(self.env.observe()))
        return None

    def _reset(self, state: int, generator: np.random.Generator) -> str:
        """Begin an episode and return the scene's hash."""
        if isinstance(self.env, NewScenes):
            info = self.env.new_scene(seed=int(generator.integers(2**32)))
        else:
            _, info = self.env.reset(seed=0, options={"init_state": state})
        return str(info.get("scene_hash", ""))

    def _scatter(self, generator: np.random.Generator) -> None:
        if not isinstance(self.env, Scatters):
            raise UsageError("[data.expert]: scatter_m needs a task of so101 or lekiwi")
        self.env.scatter(self._plan.scatter_m, generator)

    def _scaled(self, action: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the learning target for the expert's action at this step."""
        if not self._plan.absolute:
            return action
        if not isinstance(self.env, AbsoluteActions):
            raise UsageError("[data.expert]: absolute is for tasks of LIBERO")
        return self.env.absolute_action(action)

    def _observe(self, looks: Demonstration, step: int, chunk: NDArray[np.float32]) -> None:
        seen = self.env.observe()
        self._recent.append(self._pictures(seen))
        looks.pictures.append(stacked(list(self._recent), self._n_obs_steps))
        looks.states.append(np.asarray(seen["agent_pos"], np.float32))
        looks.chunks.append(chunk)
        looks.steps.append(step)

    def _pictures(self, seen: Observation) -> NDArray[np.uint8]:
        """Return the cameras' pictures, (cameras, 3, size, size)."""
        pictures = [shrink(seen["pixels"][name], self._size) for name in self._cameras]
        return np.stack([picture.transpose(2, 0, 1) for picture in pictures])

    def frames(self, looks: Demonstration) -> Frames:
        """Return a demonstration as arrays."""
        count = len(looks.states)
        chunks, lengths = looks.targets(self._chunk_size)
        return Frames(
            pictures=np.stack(looks.pictures),
            states=np.stack(looks.states),
            chunks=chunks,
            lengths=lengths,
            episode=np.zeros(count, np.int64),
            instructions=(self.env.task_description,),
            instruction=np.zeros(count, np.int64),
            scenes=shorten([looks.scene_hash]),
        )


def _make(task: str, options: Mapping[str, Any]) -> EvalEnv:
    suite, slash, name = task.partition("/")
    if not slash:
        raise UsageError(
            f"[data.expert]: task '{task}' must be suite/task, such as so101/PickPlace"
        )
    row = find_suite(suite).task(name)
    try:
        return make_env(row.env_id, {**row.kwargs, **options})
    except ModuleNotFoundError:
        raise MissingExtraError(f"task '{task}'", find_suite(suite).extra) from None


def _save(folder: Path, frames: Frames) -> None:
    """Write each array into its own file, so that several trainings can share them in memory."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in _ARRAYS:
        np.save(folder / f"{name}.npy", getattr(frames, name))
    meta = {"instructions": frames.instructions, "scenes": frames.scenes}
    write_atomically(folder / "meta.json", json.dumps(meta) + "\n")


def _load(folder: Path) -> Frames:
    arrays = {name: np.load(folder / f"{name}.npy", mmap_mode="r") for name in _ARRAYS}
    meta = json.loads((folder / "meta.json").read_text(encoding="utf-8"))
    stored = meta.get("scenes")  # older caches lack this entry
    scenes = None if stored is None else tuple(stored)
    return Frames(**arrays, instructions=tuple(meta["instructions"]), scenes=scenes)
