"""The episode loop: reset; then in every control step: take a chunk, ask for the next one, act.

One loop serves all modes. Paused evaluation is the schedule whose inferences take no time, see
:mod:`vla_eval.realtime.schedule`.
"""

from __future__ import annotations

import hashlib
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from math import isfinite
from time import perf_counter
from typing import Any, Literal

import numpy as np

from vla_eval.body import Body
from vla_eval.chunks import check_chunk, check_reply
from vla_eval.environment import Action, EvalEnv, Observation, state_hash_of
from vla_eval.errors import InvalidActionError
from vla_eval.keys import PlannedEpisode
from vla_eval.policy import (
    ActionChunk,
    AnswersLater,
    Context,
    Policy,
    WarmUps,
    end_episode,
    is_blind,
)
from vla_eval.realtime.latency import VirtualTime
from vla_eval.realtime.record import RealtimeRecord
from vla_eval.record import Outcome, Reason
from vla_eval.trace import STALLED, Tracer

__all__ = ["EpisodeResult", "Phase", "PhaseClock", "run_episode"]

_ROUNDING = 1e-6

Phase = Literal[
    "idle", "setup", "build", "reset", "warm_up", "advance", "observe", "infer", "end_episode"
]


class PhaseClock:
    """Sums wall time by phase. A subclass reports the worker's current phase to a supervisor."""

    def __init__(self) -> None:
        self.seconds: dict[Phase, float] = {}
        self.raised_in: Phase = "idle"
        """The innermost phase that raised an exception."""

    @contextmanager
    def phase(self, name: Phase) -> Iterator[None]:
        """Attribute the block's wall time to a phase."""
        self.entered(name)
        start = perf_counter()
        try:
            yield
        except BaseException:
            self.raised_in = name
            raise
        finally:
            self.seconds[name] = self.seconds.get(name, 0.0) + perf_counter() - start
            self.entered("idle")

    def entered(self, name: Phase) -> None:
        """Handle the beginning of a phase; this default does nothing."""


@dataclass
class EpisodeResult:
    """The result of one attempt; becomes an EpisodeRecord."""

    outcome: Outcome = "failure"
    reason: Reason | None = "time_limit"
    detail: str = ""
    instruction: str = ""
    score: float = 0.0
    subgoals: dict[str, bool] = field(default_factory=dict)
    subgoal_steps: dict[str, int] = field(default_factory=dict)
    events: dict[str, int] = field(default_factory=dict)
    """What was done to the scene, with the control step of the first observation that can show it."""
    steps: int = 0
    nfe: int = 0
    clipped_actions: int = 0
    counts: Counter[str] = field(default_factory=Counter)
    scene_hash: str = ""
    end_hash: str | None = None
    provenance: dict[str, Any] = field(default_factory=dict)
    actions_sha256: str = ""
    infer_ms: list[float] = field(default_factory=list)
    prefix_ms: list[float] = field(default_factory=list)
    denoise_ms: list[float] = field(default_factory=list)
    max_batch: int = 1
    wait_s: float = 0.0
    realtime: RealtimeRecord | None = None
    tracer: Tracer | None = field(default=None, compare=False)
    """Holds the executed actions; None before the reset is over."""

    @property
    def inferences(self) -> int:
        """Number of chunks that were requested from the policy."""
        return len(self.infer_ms)


def run_episode(
    env: EvalEnv,
    policy: Policy,
    episode: PlannedEpisode,
    *,
    n_action_steps: int,
    clock: PhaseClock,
    virtual: VirtualTime | None = None,
    warm_ups: WarmUps | None = None,
    result: EpisodeResult | None = None,
) -> EpisodeResult:
    """Run one episode to success, failure or the time limit.

    The environment is observed only before an inference. The policy is always told when the episode
    is over, even after an error.

    Args:
        env: an environment of the episode's task.
        policy: any policy; asked with a batch of one.
        episode: the key and the time limit.
        n_action_steps: execution horizon; a shorter chunk is executed whole.
        clock: sums wall time by phase.
        virtual: the arm's virtual time; None: time stands still while the policy thinks.
        warm_ups: the kinds of observation that the policy has been warmed up for; None: no warm-up.
        result: filled step by step, so that an exception loses no known values.

    Returns:
        The result. Exceptions of environment and policy pass through: the caller decides whether
        the policy failed or the machine.

    Raises:
        UsageError: virtual time, and the environment does not define what its robot does while it stalls.
    """
    result = EpisodeResult() if result is None else result
    attempt = _Attempt(env, policy, episode, clock, virtual, warm_ups, result)
    try:
        attempt.run(n_action_steps)
    except Exception:
        with clock.phase("end_episode"), suppress(Exception):  # the first exception counts
            end_episode(policy, episode.policy_key, "error")
        raise
    with clock.phase("end_episode"):
        end_episode(policy, episode.policy_key, result.outcome)
    return result


class _Attempt:
    """The episode loop and its state."""

    def __init__(
        self,
        env: EvalEnv,
        policy: Policy,
        episode: PlannedEpisode,
        clock: PhaseClock,
        virtual: VirtualTime | None,
        warm_ups: WarmUps | None,
        result: EpisodeResult,
    ) -> None:
        self.env, self.policy, self.episode, self.clock = env, policy, episode, clock
        self.virtual, self.warm_ups, self.result = virtual, warm_ups, result
        self.blind = is_blind(policy)
        self.body = Body(env, stalls=virtual is not None)
        self.hasher = hashlib.sha256()
        self.recent: deque[Observation] = deque(maxlen=policy.metadata.n_obs_steps - 1)
        self.seen: Observation | None = None
        """The observation of this tick, if it was made already."""
        self.reply: Callable[[], object] = list
        """Returns the reply of the inference in flight, or raises its exception."""
        self.asking_s = 0.0
        """Wall time that asking took; for a policy of this process it is the whole inference."""
        self.over = False

    def run(self, horizon: int) -> None:
        """Reset; then in every tick: take the chunk that has arrived, ask for the next one, act."""
        self.reset()
        self.schedule = self.body.schedule(self.virtual, horizon)
        try:
            while not self.over:
                if self.deliver() and self.schedule.starts:
                    self.ask()
                    self.deliver()
                elif self.schedule.ticks_to_start <= (self.recent.maxlen or 0):
                    self.recent.append(self.observe())  # part of the next inference's history
                if not self.over:
                    self.act()
            if self.schedule.in_flight:
                self.fetch()  # an inference at work is paid for, and its exception counts
            self.result.end_hash = state_hash_of(self.env)
        finally:
            self.note_time()

    def reset(self) -> None:
        """Begin the episode, and keep the policy's first observation."""
        key, result = self.episode.key, self.result
        with self.clock.phase("reset"):
            if self.blind:
                info = self.env.start(seed=key.env_seed, init_state=key.init_state)
            else:
                options = {"init_state": key.init_state}
                self.seen, info = self.env.reset(seed=key.env_seed, options=options)
        result.scene_hash = str(info.get("scene_hash", ""))
        result.provenance = {str(k): _plain(v) for k, v in info.get("provenance", {}).items()}
        result.instruction = str(self.env.task_description)
        result.actions_sha256 = self.hasher.hexdigest()
        self.note_subgoals(info)
        self.body.begin()
        self.tracer = result.tracer = Tracer(self.body.low.size)

    def deliver(self) -> bool:
        """Merge the chunk that has arrived, if one has, into the queue; return whether the episode goes on."""
        if not self.schedule.arrived:
            return True
        chunk = self.fetch()
        try:
            actions = check_chunk(chunk, self.body.low)
        except InvalidActionError as error:
            self.result.reason, self.result.detail = "invalid_action", str(error)
            self.over, actions = True, np.empty((0, self.body.low.size), np.float32)
        self.schedule.deliver(actions)
        return not self.over

    def fetch(self) -> ActionChunk:
        """Return the chunk in flight, and add its times and counts to the result."""
        with self.clock.phase("infer"):
            start = perf_counter()
            (chunk,) = check_reply(self.reply(), 1)
            waited_ms = 1e3 * (self.asking_s + perf_counter() - start)
        alone_ms = waited_ms if chunk.infer_ms is None else chunk.infer_ms
        result = self.result
        result.infer_ms.append(alone_ms)
        result.wait_s += max(0.0, waited_ms - alone_ms) / 1e3
        result.nfe += chunk.nfe
        result.counts.update(chunk.counts)
        result.max_batch = max(result.max_batch, chunk.batch)
        result.prefix_ms.append(chunk.prefix_ms)
        result.denoise_ms.append(chunk.denoise_ms)
        return chunk

    def ask(self) -> None:
        """Let the policy look at this tick, and begin its inference."""
        context, schedule = self.context(), self.schedule
        observation = self.observe()
        self.warm_up(observation, context)
        with self.clock.phase("infer"):
            start = perf_counter()
            self.reply = _submit(self.policy, observation, context)
            self.asking_s = perf_counter() - start
        self.recent.append(observation)
        self.tracer.ask(self.result.steps)
        schedule.ask(self.body.delay(self.virtual, self.episode.key, schedule.asked))

    def context(self) -> Context:
        """Return the policy's information besides the observation."""
        schedule, body = self.schedule, self.body
        return Context(
            key=self.episode.policy_key,
            step=self.result.steps,
            chunk_index=schedule.asked,
            instruction=self.env.task_description,
            action_low=body.low,
            action_high=body.high,
            env=self.env if self.policy.metadata.privileged else None,
            stalled=schedule.tally.stalled_ticks,
            left_over=body.left_over(schedule),
            expected_delay=schedule.expected_delay,
            history=tuple(self.recent),
        )

    def warm_up(self, observation: Observation, context: Context) -> None:
        """Warm the policy up for this kind of observation, if that is needed."""
        if self.warm_ups is not None and self.warm_ups.needed(self.policy, observation):
            with self.clock.phase("warm_up"):
                self.warm_ups.run(self.policy, observation, context)

    def observe(self) -> Observation:
        """Return the observation of this tick; an empty one for a blind policy."""
        if self.blind:
            return {}
        if self.seen is None:
            with self.clock.phase("observe"):
                self.seen = self.env.observe()
        return self.seen

    def act(self) -> None:
        """Execute the next action, or the stall action, in this tick."""
        item = self.schedule.act()
        if item is None:
            stalled = self.body.stalled(self.schedule.stalled_in_a_row)
            self.step(stalled, source=STALLED, clipped=False)
        else:
            switched = self.schedule.switched(item)
            action = self.body.commanded(item.action, switched=switched)
            clipped = not np.array_equal(action, item.action)
            self.result.clipped_actions += int(clipped)
            self.step(action, source=item.chunk, clipped=clipped)
        self.seen = None

    def step(self, action: Action, *, source: int, clipped: bool) -> None:
        """Execute one action, float32 (A,), inside the action space."""
        result = self.result
        with self.clock.phase("advance"):
            _, terminated, truncated, info = self.env.advance(action)
        self.hasher.update(action.tobytes())
        self.tracer.act(action, source=source, clipped=clipped)
        result.actions_sha256 = self.hasher.hexdigest()
        result.steps += 1
        success = bool(info.get("is_success", False))
        result.score = _score(info.get("score", success))
        result.subgoals = self.note_subgoals(info)
        result.events = {str(name): int(at) for name, at in info.get("events", {}).items()}
        if success:
            result.outcome, result.reason = "success", None
        elif terminated or truncated:
            result.reason = "truncated"
        timed_out = result.steps >= self.episode.max_steps
        self.over = success or terminated or truncated or timed_out

    def note_subgoals(self, info: Mapping[str, Any]) -> dict[str, bool]:
        """Note which parts of the task are done for the first time; return which are done now."""
        subgoals = {str(name): bool(on) for name, on in info.get("subgoals", {}).items()}
        for name, on in subgoals.items():
            if on:
                self.result.subgoal_steps.setdefault(name, self.result.steps)
        return subgoals

    def note_time(self) -> None:
        """Add the schedule's counts to the result, in virtual time."""
        if self.virtual is not None:
            self.result.realtime = RealtimeRecord.of(
                self.schedule.tally,
                expected_delay=self.schedule.expected_delay,
                discarded=int(self.schedule.in_flight),
                jump=self.body.jump,
            )


def _submit(policy: Policy, observation: Observation, context: Context) -> Callable[[], object]:
    """Ask a policy; return the function that returns its reply or raises its exception.

    A policy of this process answers at once; its exception is kept until the chunk is due, so that the
    episode is the same wherever the policy runs.
    """
    if isinstance(policy, AnswersLater):
        return policy.submit([observation], [context])
    reply: Future[object] = Future()
    try:
        reply.set_result(policy.infer([observation], [context]))
    except Exception as error:  # noqa: BLE001 - see above
        reply.set_exception(error)
    return reply.result


def _plain(value: Any) -> Any:
    """Return a JSON scalar: NumPy scalars are unpacked, all other values become strings."""
    if isinstance(value, np.generic):
        value = value.item()
    plain = value is None or isinstance(value, str | bool | int)
    return value if plain or (isinstance(value, float) and isfinite(value)) else str(value)


def _score(value: Any) -> float:
    """Return the environment's score, clipped to [0, 1] within rounding; NaN raises ValueError."""
    score = float(value)
    if not -_ROUNDING <= score <= 1 + _ROUNDING:
        raise ValueError(f"the environment's score is {score}; expected 0 to 1")
    return min(1.0, max(0.0, score))
