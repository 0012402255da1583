"""Demonstrations on the spot: experts act in their tasks, pushed and with the objects elsewhere.

A second way to data, beside ``vlaeval record``. It looks every so many steps, keeps pictures at the
network's size, and stores for each look the actions that the expert is about to take: no video is
encoded, and an episode costs about as much as its pictures.

Clean demonstrations show a policy the expert's own path alone, so it never learns to come back to
it. Here the robot executes the expert's actions with noise that wanders, while the expert's own are
what is learned (DART, Laskey et al., arXiv 1703.09327); and the objects are moved a little before an
episode, so that one frozen state gives many scenes. Evaluation does neither.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, JsonValue
from pydantic import Field as Option

from vla_eval.catalog import find_suite
from vla_eval.environment import AbsoluteActions, EvalEnv, NewScenes, Scatters, make_env
from vla_eval.errors import MissingExtraError, UsageError
from vla_eval.files.atomic import write_atomically
from vla_eval.trainedon import shorten
from vla_eval_policies.experts import begin_episode
from vla_eval_policies.experts.motion import PACES
from vla_eval_policies.flow.inputs import shrink
from vla_eval_policies.training.data import Frames, chunks_of

__all__ = ["Demonstration", "ExpertData", "OnEpisode", "generate", "generated_cameras"]

_ARRAYS = ("pictures", "states", "chunks", "lengths", "episode", "instruction")
_WANDER = 0.9
"""Correlation of the noise of two control steps in a row."""

OnEpisode = Callable[[int, int], None]
"""Called after every episode with the numbers of those tried and to try."""


class ExpertData(BaseModel):
    """The section ``[data.expert]``: what the experts do."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    tasks: tuple[str, ...] = Option(min_length=1)
    """``suite/task``."""
    init_states: int = Option(default=100, ge=1, le=1_000_000)
    """The first so many; from 100 on they are for certification. Of LIBERO so many new scenes."""
    repeats: int = Option(default=1, ge=1, le=1_000_000)
    """Episodes of each initial state, each with pushes and places of its own."""
    look_every: int = Option(default=3, ge=1)
    """Control steps between two looks, at most."""
    action_noise: float = Option(default=0.0, ge=0.0)
    """Standard deviation of the noise on executed actions, as a share of each dimension's range."""
    scatter_m: float = Option(default=0.0, ge=0.0)
    """How far the objects to carry are moved along x and y at most, and then turned at random."""
    env_kwargs: Mapping[str, JsonValue] = Option(
        default_factory=dict, exclude_if=lambda options: not options
    )
    """Options of the environments, such as image_size, as in a protocol."""
    absolute: bool = Option(default=False, exclude_if=lambda chosen: not chosen)
    """Of LIBERO: learn the poses that the hand is sent to, for control_mode absolute. As displacements
    an expert's actions answer to every push, which no picture shows."""
    seed: int = Option(default=0, ge=0, lt=2**63)
    cache: str | None = None
    """A folder that keeps the demonstrations for further recipes with the same section."""

    def folder(self, size: int, chunk_size: int) -> Path | None:
        """Return where these demonstrations are kept."""
        if self.cache is None:
            return None
        parts = {**self.model_dump(exclude={"cache"}), "size": size, "chunk_size": chunk_size}
        name = hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:12]
        return Path(self.cache) / f"expert-{name}"


@dataclass
class Demonstration:
    """What was seen and done in an episode so far."""

    pictures: list[NDArray[np.uint8]] = field(default_factory=list)
    states: list[NDArray[np.float32]] = field(default_factory=list)
    chunks: list[NDArray[np.float32]] = field(default_factory=list)
    """What the expert was about to do at each look, (n, A); n may be less than a chunk's size."""
    steps: list[int] = field(default_factory=list)
    """When each look was."""
    meant: list[NDArray[np.float32]] = field(default_factory=list)
    """The expert's own action, (A,), of each step."""
    scene_hash: str = ""
    """Of the state that the episode began in, before things were moved a little."""

    def targets(self, size: int) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """Return each look's chunk, (N, size, A), and how many actions it has, (N,)."""
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
    on_episode: OnEpisode = lambda _done, _total: None,
) -> Frames:
    """Let the experts act, or read what they did from the cache; failed episodes are left out.

    Args:
        plan: what they do.
        cameras: whose pictures to keep.
        size: of the pictures.
        chunk_size: how many of the next actions to keep with each look.
        on_episode: told about the progress.

    Raises:
        UsageError: no such task, camera or expert, or not a single success.
    """
    folder = plan.folder(size, chunk_size)
    if folder is not None and (folder / "meta.json").exists():
        return _load(folder)
    parts, total = [], len(plan.tasks) * plan.repeats * plan.init_states
    for number, task in enumerate(plan.tasks):
        stage = _Simulation(task, plan, cameras, size, chunk_size)
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
    """One task, where its expert acts."""

    def __init__(
        self, task: str, plan: ExpertData, cameras: Sequence[str], size: int, chunk_size: int
    ) -> None:
        self.suite, _, self.name = task.partition("/")
        self.env = _make(task, plan.env_kwargs)
        self._limit = find_suite(self.suite).task(self.name).max_steps
        self._plan = plan
        self._cameras = cameras
        self._size = size
        self._chunk_size = chunk_size
        space: Any = self.env.action_space
        self._noise = plan.action_noise * (space.high - space.low)
        missing = set(cameras) - set(self.env.observation_space["pixels"].spaces)  # type: ignore[index]
        if missing:
            raise UsageError(f"[data.expert]: task '{task}' has no camera '{missing.pop()}'")

    def episode(self, state: int, generator: np.random.Generator) -> Demonstration | None:
        """Return what was seen in one episode, or None if it failed."""
        scene_hash = self._reset(state, generator)
        if self._plan.scatter_m:
            self._scatter(generator)
        expert = begin_episode(
            self.suite, self.name, self.env, pace=PACES["normal"], generator=generator
        )
        looks, step, noise = Demonstration(scene_hash=scene_hash), 0, np.zeros(self._noise.shape)
        while step < self._limit:
            chunk = expert.actions(step, self._chunk_size)
            self._observe(looks, step, chunk)
            for action in chunk[: self._plan.look_every]:
                looks.meant.append(self._scaled(action))
                fresh = generator.normal(0.0, 1.0, noise.shape)
                noise = _WANDER * noise + np.sqrt(1 - _WANDER**2) * fresh
                executed = np.asarray(action + noise * self._noise, np.float32)
                _, terminated, _, _ = self.env.advance(executed)
                step += 1
                if terminated:
                    return looks
        return None

    def _reset(self, state: int, generator: np.random.Generator) -> str:
        """Begin an episode; return the scene's hash."""
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
        """Return what is learned of the expert's action at this moment."""
        if not self._plan.absolute:
            return action
        if not isinstance(self.env, AbsoluteActions):
            raise UsageError("[data.expert]: absolute is for tasks of LIBERO")
        return self.env.absolute_action(action)

    def _observe(self, looks: Demonstration, step: int, chunk: NDArray[np.float32]) -> None:
        seen = self.env.observe()
        pictures = [shrink(seen["pixels"][name], self._size) for name in self._cameras]
        looks.pictures.append(np.stack([each.transpose(2, 0, 1) for each in pictures]))
        looks.states.append(np.asarray(seen["agent_pos"], np.float32))
        looks.chunks.append(chunk)
        looks.steps.append(step)

    def frames(self, looks: Demonstration) -> Frames:
        """Return an episode's looks as arrays."""
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
    found = find_suite(suite).task(name)
    try:
        return make_env(found.env_id, {**found.kwargs, **options})
    except ModuleNotFoundError:
        raise MissingExtraError(f"task '{task}'", find_suite(suite).extra) from None


def _save(folder: Path, frames: Frames) -> None:
    """Write one array a file, so that several trainings can share them in memory."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in _ARRAYS:
        np.save(folder / f"{name}.npy", getattr(frames, name))
    meta = {"instructions": frames.instructions, "scenes": frames.scenes}
    write_atomically(folder / "meta.json", json.dumps(meta) + "\n")


def _load(folder: Path) -> Frames:
    arrays = {name: np.load(folder / f"{name}.npy", mmap_mode="r") for name in _ARRAYS}
    meta = json.loads((folder / "meta.json").read_text(encoding="utf-8"))
    said = meta.get("scenes")  # caches of before there was this entry do not know
    scenes = None if said is None else tuple(said)
    return Frames(**arrays, instructions=tuple(meta["instructions"]), scenes=scenes)
