"""Open-loop replay: an episode is shown again from its key and its executed actions alone.

No policy, no weights and no GPU are needed. A key and its actions decide an episode, and everything that a
record says of it is compared on the way: the scene, when each part of the task was done, the end. A difference
is an error that says where it begins, so steps that were played to the end are steps of that very episode.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Any, NoReturn, Self

import numpy as np
from numpy.typing import NDArray

from vla_eval.environment import Action, EvalEnv, Observation, make_env, state_hash_of
from vla_eval.errors import NotReproducedError, UsageError
from vla_eval.plan import PlannedEpisode, expand
from vla_eval.record import EpisodeRecord
from vla_eval.runs.folder import RunFolder
from vla_eval.trace import Trace
from vla_eval.trust import foreign_code, need_trust

__all__ = ["PlayedStep", "Player", "play"]

_LARGEST_PX = 2048
_RENDERER = "gl"
"""The entry of a provenance that decides pictures only, and them only in a few of their last bits."""


@dataclass(frozen=True)
class PlayedStep:
    """A moment of a played episode: what holds, what is seen, and what is executed from here.

    An episode of n actions has n + 1 moments. The one after action k, with its result, is number k + 1.
    """

    step: int
    """Number of actions executed before, from 0."""
    observation: Observation
    """Freshly rendered observation; empty if no pictures were asked for."""
    action: Action | None
    """Action that is executed from here, float32 (A,); None at the end."""
    subgoals: Mapping[str, bool]
    """Whether each part of the task is done."""
    score: float
    """Partial credit so far, in [0, 1]."""
    success: bool
    """Whether the task is done."""

    @property
    def frames(self) -> Mapping[str, NDArray[np.uint8]]:
        """The pictures of all cameras by name, uint8 (H, W, 3)."""
        seen: object = self.observation  # a plain environment may return an array
        pixels = seen.get("pixels", {}) if isinstance(seen, Mapping) else None
        if not isinstance(pixels, Mapping):
            raise UsageError(
                "the environment's observations are no {'pixels': {camera: image}}, so there are no "
                "pictures to show"
            )
        return pixels


class Player:
    """Plays episodes of a run, and keeps the environment while the scene is the same.

    Args:
        folder: the run; its protocol names the environments.
        size: height and width of the pictures in px, for environments with the option ``image_size``;
            None: as the policy saw them.
        pictures: whether to render; without pictures an episode is only checked.
        trust: whether to import an environment that no installed package provides.

    Raises:
        UsageError: the size is out of range, or the environment's code is not trusted.
    """

    def __init__(
        self,
        folder: RunFolder,
        *,
        size: int | None = None,
        pictures: bool = True,
        trust: bool = False,
    ) -> None:
        if size is not None and not 1 <= size <= _LARGEST_PX:
            raise UsageError(f"a size of {size} px: pictures have 1 to {_LARGEST_PX} px")
        protocol = folder.header.protocol
        need_trust(str(folder.path / "run.json"), foreign_code(protocol, []), trust=trust)
        self._planned = {episode.key: episode for episode in expand(protocol)}
        self._options = {} if size is None else {"image_size": size}
        self._pictures = pictures
        self._env: EvalEnv | None = None
        self._scene: object = None

    def play(self, record: EpisodeRecord, trace: Trace) -> Iterator[PlayedStep]:
        """Play one episode; yield each moment from the reset to the end.

        The last moment, whose action is None, comes only if the episode was the same to its end.

        Args:
            record: record of the attempt.
            trace: what that attempt did, as :meth:`~vla_eval.runs.traces.Traces.get` returns it.

        Raises:
            UsageError: the run does not have the episode, the record holds no end of it, or this machine
                has another simulator or other assets.
            NotReproducedError: something differs from the record; the message says where it begins.
        """
        env = self.env_of(record)
        if trace.actions_sha256 != record.actions_sha256:
            raise NotReproducedError(f"{_name(record)}: these are the actions of another episode")
        if trace.actions.shape[1:] != env.action_space.shape:
            raise NotReproducedError(
                f"{_name(record)}: its actions have the shape {trace.actions.shape[1:]}, those of this "
                f"robot {env.action_space.shape}"
            )
        info = self._begin(env, record)
        check = _Check(record, trace)
        check.begin(info)
        stopped = False
        for step, action in enumerate(trace.actions):
            yield self._moment(env, step, action, info)
            _, terminated, truncated, info = env.advance(action)
            stopped = terminated or truncated
            check.step(step + 1, info, stopped=stopped)
        check.end(info, state_hash_of(env), stopped=stopped)
        yield self._moment(env, len(trace.actions), None, info)

    def env_of(self, record: EpisodeRecord) -> EvalEnv:
        """Return the environment of an episode; its metadata hold the rate and the names of the actions."""
        if record.key not in self._planned:
            raise UsageError(f"the run has no episode '{record.key}'")
        episode = self._planned[record.key]
        if self._env is None or self._scene != episode.scene:
            self.close()
            self._env = self._made(episode)
            self._scene = episode.scene
        return self._env

    def _made(self, episode: PlannedEpisode) -> EvalEnv:
        try:
            return make_env(episode.env_id, {**episode.env_kwargs, **self._options})
        except UsageError as error:
            if not self._options:
                raise
            raise UsageError(
                f"{error}; without a size its pictures are as the policy saw them"
            ) from None

    def _begin(self, env: EvalEnv, record: EpisodeRecord) -> dict[str, Any]:
        key = record.key
        if self._pictures:
            return env.reset(seed=key.env_seed, options={"init_state": key.init_state})[1]
        return env.start(seed=key.env_seed, init_state=key.init_state)

    def _moment(
        self, env: EvalEnv, step: int, action: Action | None, info: Mapping[str, Any]
    ) -> PlayedStep:
        return PlayedStep(
            step=step,
            observation=env.observe() if self._pictures else {},
            action=action,
            subgoals=_subgoals(info),
            score=_score(info),
            success=_success(info),
        )

    def close(self) -> None:
        """Close the environment, if there is one."""
        if self._env is not None:
            self._env.close()
            self._env = None

    def __enter__(self) -> Self:
        """Use the player in a ``with`` statement."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close the environment."""
        self.close()


def play(
    folder: RunFolder,
    record: EpisodeRecord,
    trace: Trace,
    *,
    size: int | None = None,
    trust: bool = False,
) -> Iterator[PlayedStep]:
    """Play one episode of a run; for several, a :class:`Player` builds their scene once."""
    with Player(folder, size=size, trust=trust) as player:
        yield from player.play(record, trace)


class _Check:
    """Compares a played episode with its record, step by step."""

    def __init__(self, record: EpisodeRecord, trace: Trace) -> None:
        self._record = record
        self._steps = len(trace.actions)
        self._first: dict[str, int] = {}
        """Steps after which each part of the task was done for the first time."""

    def begin(self, info: Mapping[str, Any]) -> None:
        """Compare simulator and scene; from here on, both episodes are the same so far."""
        record, here = self._record, info.get("provenance", {})
        changed = [
            f"{name} {value} then, {here.get(name)} now"
            for name, value in record.provenance.items()
            if name != _RENDERER and here.get(name) != value
        ]
        if changed:
            raise UsageError(
                f"{_name(record)} ran on another simulator or with other assets "
                f"({'; '.join(changed)}), so its actions would show something else here; install what "
                "it ran with"
            )
        if info.get("scene_hash", "") != record.scene_hash:
            self._refuse("it begins in another scene")
        if self._steps != record.steps:
            self._refuse(f"there are {self._steps} actions, and the record has {record.steps}")
        self._note(0, info)

    def step(self, step: int, info: Mapping[str, Any], *, stopped: bool) -> None:
        """Compare what holds after an action."""
        if step < self._steps and (stopped or _success(info)):
            self._refuse(f"it is over after step {step} of {self._steps}")
        self._note(step, info)

    def _note(self, step: int, info: Mapping[str, Any]) -> None:
        then = self._record.subgoal_steps
        done = {name for name, on in _subgoals(info).items() if on and name not in self._first}
        self._first |= dict.fromkeys(done, step)
        if then is None:  # an earlier version did not write them
            return
        for name in sorted(done ^ {name for name, first in then.items() if first == step}):
            if name in done:
                was = f"after step {then[name]}" if name in then else "never"
                self._refuse(f"'{name}' is done after step {step}, and in the record {was}")
            self._refuse(f"'{name}' is not done after step {step}, as it is in the record")

    def end(self, info: Mapping[str, Any], state_hash: str | None, *, stopped: bool) -> None:
        """Compare result and state at the end."""
        record = self._record
        success = _success(info)
        if record.outcome != "error" and success != (record.outcome == "success"):
            self._refuse(f"after the last step it {'succeeds' if success else 'has not succeeded'}")
        if record.reason in ("time_limit", "truncated") and stopped != (
            record.reason == "truncated"
        ):
            self._refuse("only one of the two was ended by the environment")
        for what, then, now in (
            ("the score", record.score, min(1.0, max(0.0, _score(info)))),
            ("the parts that are done", dict(record.subgoals), _subgoals(info)),
        ):
            if self._steps and then != now:
                self._refuse(f"after the last step {what} is {now}, and in the record {then}")
        if record.end_hash is not None and state_hash != record.end_hash:
            agreed = max((step for step in self._first.values() if step < self._steps), default=0)
            self._refuse(
                f"it ends in another state; the difference begins between steps {agreed} and "
                f"{self._steps}"
            )

    def _refuse(self, what: str) -> NoReturn:
        raise NotReproducedError(
            f"{_name(self._record)} is another episode here: {what}; run it with its policy to see what "
            "this machine makes of it"
        )


def _name(record: EpisodeRecord) -> str:
    return f"{record.key} of arm '{record.arm}'"


def _success(info: Mapping[str, Any]) -> bool:
    return bool(info.get("is_success", False))


def _score(info: Mapping[str, Any]) -> float:
    return float(info.get("score", _success(info)))


def _subgoals(info: Mapping[str, Any]) -> dict[str, bool]:
    return {str(name): bool(on) for name, on in info.get("subgoals", {}).items()}
