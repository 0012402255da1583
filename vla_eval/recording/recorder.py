"""Recording demonstrations: the loop behind ``vlaeval record``.

Episodes run exactly as in an evaluation (:func:`~vla_eval.episode.run_episode`), with one
difference: with a listener, every step is observed. A frame holds the observation before a step, which
the policy saw or would have seen, the executed action, and its result.

A tool decides the form of a dataset on disk, see :mod:`vla_eval.tools`.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from gymnasium.spaces import Box, Dict

from vla_eval.environment import Action, EvalEnv, Observation, Stalls, make_env
from vla_eval.episode import EpisodeResult, Phase, PhaseClock, run_episode
from vla_eval.errors import UsageError
from vla_eval.keys import EpisodeKey
from vla_eval.plan import PlannedEpisode
from vla_eval.policy import (
    ActionChunk,
    Context,
    Policy,
    PolicyMetadata,
    WarmsUp,
    WarmUps,
    ability,
    is_blind,
)
from vla_eval.realtime.latency import VirtualTime

__all__ = ["DatasetLayout", "Evaluated", "Executed", "Frame", "Recorder"]


@dataclass(frozen=True)
class Evaluated:
    """What a run knows of a frame beyond a recording."""

    arm: str
    outcome: str
    """Outcome of the frame's episode: ``success`` or ``failure``."""
    reason: str
    """Reason of its failure; empty after a success."""
    inference: int
    """Inference that the action came from, from 0; -1 if the robot stalled."""
    subgoals: Mapping[str, bool]
    """Parts of the task that are done after the action."""


@dataclass(frozen=True)
class Frame:
    """One control step of an episode."""

    key: EpisodeKey
    instruction: str
    observation: Observation
    """Observation before the action."""
    action: Action
    """Executed action, float32 (A,), inside the action space."""
    reward: float
    success: bool
    """Whether the task is solved after the action."""
    score: float
    """Partial credit after the action."""
    done: bool
    """Whether the environment ended the episode here; reaching the time limit does not count."""
    is_stalled: bool = False
    """Whether the robot had no action of the policy, in virtual time."""
    evaluated: Evaluated | None = None
    """None: the frame is of a recording, and of no run."""


@dataclass(frozen=True)
class DatasetLayout:
    """Layout that all frames of a dataset share."""

    robot: str
    fps: int
    cameras: tuple[tuple[str, tuple[int, int, int]], ...]
    """Names and image shapes (H, W, 3) of the cameras."""
    state_names: tuple[str, ...]
    action_names: tuple[str, ...]
    stalls: bool = False
    """Whether the robot can stall: the episodes run in virtual time."""
    evaluation: bool = False
    """Whether the frames are of a run: they know the arm and the outcome, and no reward."""

    @classmethod
    def of(
        cls, env: EvalEnv, suite: str, *, stalls: bool = False, evaluation: bool = False
    ) -> Self:
        """Return an environment's layout; raise UsageError if the environment cannot be recorded."""
        space, actions = env.observation_space, env.action_space
        if not (
            isinstance(space, Dict)
            and isinstance(pixels := space.spaces.get("pixels"), Dict)
            and isinstance(state := space.spaces.get("agent_pos"), Box)
            and isinstance(actions, Box)
        ):
            raise UsageError(
                f"suite '{suite}' cannot be recorded: its observations must be "
                "{'pixels': {camera: image}, 'agent_pos': vector} and its actions a vector"
            )
        return cls(
            robot=suite.partition("_")[0],
            fps=int(env.metadata["render_fps"]),
            cameras=tuple((name, _image_shape(box)) for name, box in pixels.spaces.items()),
            state_names=_names(env, "state_names", state.shape),
            action_names=_names(env, "action_names", actions.shape),
            stalls=stalls,
            evaluation=evaluation,
        )


def _image_shape(space: Any) -> tuple[int, int, int]:
    height, width, channels = space.shape
    return int(height), int(width), int(channels)


def _names(env: EvalEnv, name: str, shape: tuple[int, ...]) -> tuple[str, ...]:
    (size,) = shape
    return tuple(env.metadata.get(name) or (f"{name.partition('_')[0]}_{i}" for i in range(size)))


@dataclass(frozen=True)
class Executed:
    """State of an episode at its end, or at an exception."""

    scene_hash: str = ""
    steps: int = 0
    actions_sha256: str = ""
    """Hash of the executed actions, float32, in order."""
    phase: Phase = "idle"
    """Phase that raised the exception."""


class _WatchedEnv(EvalEnv):
    """Forwards all calls, keeps track of the executed steps, and gives each to a listener as a frame."""

    def __init__(
        self, env: EvalEnv, key: EpisodeKey, listen: Callable[[Frame], None] | None
    ) -> None:
        self.action_space = env.action_space
        self.observation_space = env.observation_space
        self.metadata = env.metadata
        self.inner = env
        self._key = key
        self._listen = listen
        self._seen: Observation | None = None
        self._stalled = False
        self.task_description = env.task_description
        self._scene_hash = ""
        self._steps = 0
        self._actions = hashlib.sha256()

    def executed(self, phase: Phase) -> Executed:
        """Return the state of the episode so far."""
        return Executed(self._scene_hash, self._steps, self._actions.hexdigest(), phase)

    def start(self, *, seed: int, init_state: int) -> dict[str, Any]:
        """Start an episode without an observation."""
        info = self.inner.start(seed=seed, init_state=init_state)
        self._begun(info)
        return info

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Observation, dict[str, Any]]:
        """Reset the environment, and keep its observation."""
        self._seen, info = self.inner.reset(seed=seed, options=options)
        self._begun(info)
        return self._seen, info

    def _begun(self, info: dict[str, Any]) -> None:
        self.task_description = self.inner.task_description
        self._scene_hash = str(info.get("scene_hash", ""))

    def advance(self, action: Action) -> tuple[float, bool, bool, dict[str, Any]]:
        """Advance by one step, and give its frame to the listener."""
        before = self.observe() if self._listen is not None else {}
        self._seen = None
        reward, terminated, truncated, info = self.inner.advance(action)
        self._actions.update(action.tobytes())
        self._steps += 1
        if self._listen is not None:
            success = bool(info.get("is_success", False))
            self._listen(
                Frame(
                    key=self._key,
                    instruction=self.task_description,
                    observation=before,
                    action=np.array(action, dtype=np.float32),
                    reward=float(reward),
                    success=success,
                    score=float(info.get("score", success)),
                    done=terminated or truncated,
                    is_stalled=self._stalled,
                )
            )
        self._stalled = False
        return reward, terminated, truncated, info

    def observe(self) -> Observation:
        """Return the observation, which is made once a step."""
        if self._seen is None:
            self._seen = self.inner.observe()
        return self._seen

    def hold_action(self) -> Action:
        """Return the environment's hold action; the loop asks where it executes none of the policy."""
        self._stalled = True
        return self.inner.hold_action()

    def stall_action(self, last: Action, ticks: int) -> Action:
        """Return the environment's stall action; the loop asks only where it has one."""
        assert isinstance(self.inner, Stalls)  # noqa: S101 - see vla_eval.body
        self._stalled = True
        return self.inner.stall_action(last, ticks)


class _InnerPolicy:
    """Gives a privileged policy the environment itself instead of the watching wrapper."""

    def __init__(self, policy: Policy, *, watched: bool) -> None:
        self.inner = policy
        self.blind = not watched and is_blind(policy)
        """Whether the policy gets no observations; a watched policy always gets them."""

    @property
    def metadata(self) -> PolicyMetadata:
        """The policy's own metadata."""
        return self.inner.metadata

    def warm_up(self, observations: Sequence[Observation], contexts: Sequence[Context]) -> None:
        """Warm the policy up, if it has that ability."""
        if (warmable := ability(self.inner, WarmsUp)) is not None:
            warmable.warm_up(observations, [_inside(context) for context in contexts])

    def infer(
        self, observations: Sequence[Observation], contexts: Sequence[Context]
    ) -> Sequence[ActionChunk]:
        """Ask the policy."""
        return self.inner.infer(observations, [_inside(context) for context in contexts])


def _inside(context: Context) -> Context:
    env = context.env
    return dataclasses.replace(context, env=env.inner) if isinstance(env, _WatchedEnv) else context


class Recorder:
    """Runs episodes one after the other, and keeps the environment while the scene is the same.

    Args:
        policy: the demonstrating policy.
        n_action_steps: execution horizon; None leaves it to the policy.
        virtual: the arm's virtual time; None: time stands still while the policy thinks.
    """

    def __init__(
        self,
        policy: Policy,
        *,
        n_action_steps: int | None = None,
        virtual: VirtualTime | None = None,
    ) -> None:
        self._policy, self._virtual = policy, virtual
        self._horizon = n_action_steps or policy.metadata.n_action_steps
        self._warm_ups = WarmUps()
        self._env: EvalEnv | None = None
        self._scene: object = None
        self.executed = Executed()
        """State of the last episode, also after an exception in it."""

    def layout(self, episode: PlannedEpisode) -> DatasetLayout:
        """Return the layout of an episode's frames."""
        env, stalls = self._env_of(episode), self._virtual is not None
        return DatasetLayout.of(env, episode.key.suite, stalls=stalls)

    def run(
        self, episode: PlannedEpisode, listen: Callable[[Frame], None] | None = None
    ) -> EpisodeResult:
        """Run one episode; the listener gets every step.

        Without a listener only the policy's observations are rendered, since rendering is expensive.
        """
        self.executed = Executed(phase="build")
        env = _WatchedEnv(self._env_of(episode), episode.key, listen)
        clock = PhaseClock()
        try:
            return run_episode(
                env,
                _InnerPolicy(self._policy, watched=listen is not None),
                episode,
                n_action_steps=self._horizon,
                clock=clock,
                virtual=self._virtual,
                warm_ups=self._warm_ups,
            )
        finally:
            self.executed = env.executed(clock.raised_in)

    def _env_of(self, episode: PlannedEpisode) -> EvalEnv:
        if self._env is None or self._scene != episode.scene:
            self.close()
            self._env = make_env(episode.env_id, episode.env_kwargs)
            self._scene = episode.scene
        return self._env

    def close(self) -> None:
        """Close the environment, if there is one."""
        if self._env is not None:
            self._env.close()
            self._env = None
