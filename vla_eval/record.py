"""Episode records: one per attempt. The log is the product.

Format 2. One JSON object a line; changing a field's name or meaning is a format change. Records of
format 1 stay readable: their ``timing.host`` is now called ``timing.machine``. Three outcomes:

- ``success``: the task's predicate held at some step.
- ``failure``: it did not, for a ``reason``: ``time_limit``, ``truncated`` (the environment
  gave up before the protocol's limit), ``invalid_action`` (wrong shape or not finite) or
  ``policy_raised`` (see below).
- ``error``: it is not known yet whether the machine failed or the policy; ``reason`` is
  ``env_error``, ``env_timeout``, ``policy_error``, ``policy_timeout``, ``host_lost`` or
  ``worker_died``. The episode is repeated in a fresh worker; an episode with errors only is missing
  instead of failed, with one exception:

**A policy that raises fails, once that is reproduced.** Two attempts of one episode by one arm that
end in ``policy_error`` with the same error (type and message) in the same place (scene, steps,
inferences, executed actions) are the policy's fault. On reading, they make one result: ``failure``,
reason ``policy_raised``, all other fields from the second attempt. It ends the episode; a later success
contradicts it. Both lines on disk stay errors (:class:`vla_eval.runs.store.Records` derives the
result), so the rule also holds for old runs. Two different exceptions prove nothing; such an episode is
tried again, and its attempts stay countable.

A record of an error holds the values known at that moment: the scene, and the executed actions.
"""

from __future__ import annotations

import json
from array import array
from collections.abc import Mapping
from typing import Annotated, Any, Literal, cast

from pydantic import (
    AfterValidator,
    AliasChoices,
    BaseModel,
    ConfigDict,
    Field,
    JsonValue,
    PlainSerializer,
)

from vla_eval.files.jsonfile import AwareTime
from vla_eval.keys import EpisodeKey
from vla_eval.realtime.record import RealtimeRecord

__all__ = ["LATER", "EpisodeRecord", "ErrorDetail", "EventRecord", "Outcome", "Reason", "Timing"]

Outcome = Literal["success", "failure", "error"]
Reason = Literal[
    "time_limit",
    "truncated",
    "invalid_action",
    "policy_raised",
    "env_error",
    "env_timeout",
    "policy_error",
    "policy_timeout",
    "host_lost",
    "worker_died",
]


Whole = Annotated[int, Field(ge=-(2**53), le=2**53)]
"""Integer that every JSON reader reads exactly, and whose sums do not overflow."""
Real = Annotated[float, Field(ge=-1e12, le=1e12)]


_PLAIN = frozenset((str, int, bool))


class _Doubles(array):  # type: ignore[type-arg]  # of float
    """Numbers of eight bytes each instead of a tuple's 32; otherwise like a tuple."""

    __slots__ = ()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, array | tuple | list) and tuple(self) == tuple(other)

    def __hash__(self) -> int:  # type: ignore[override]  # never changed
        return hash(tuple(self))


def _doubles(values: tuple[float, ...]) -> tuple[float, ...]:
    return cast("tuple[float, ...]", _Doubles("d", values)) if values else ()


def _finite(values: Mapping[str, JsonValue]) -> Mapping[str, JsonValue]:
    if not all(map(_PLAIN.__contains__, map(type, values.values()))):
        json.dumps(values, allow_nan=False)  # its ValueError names the value
    return values


LATER = frozenset({"subgoal_steps", "end_hash"})
"""Fields that earlier versions did not write. They follow from scene and actions, and no hash or comparison
of records includes them, so that results of all versions are compared alike."""

Times = Annotated[
    tuple[Real, ...],
    AfterValidator(_doubles),
    PlainSerializer(tuple, return_type=tuple[float, ...]),
]


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Timing(_Frozen):
    """Wall times; the only part of a record that differs between equal runs."""

    started_at: AwareTime
    """UTC, ISO 8601."""
    wall_s: Real = 0.0
    build_s: Real = 0.0
    """Time to build the environment; 0 if it was built already."""
    reset_s: Real = 0.0
    warm_up_s: Real = 0.0
    """Time to warm the policy up; 0 if it was warm already. Not part of ``infer_s``."""
    advance_s: Real = 0.0
    """Time of physics."""
    observe_s: Real = 0.0
    """Time of rendering, after reset."""
    infer_s: Real = 0.0
    wait_s: Real = 0.0
    """Part of ``infer_s`` that was spent waiting for a shared policy host."""
    infer_ms: Times = ()
    """Wall time of each inference, without waiting for a shared host."""
    prefix_ms: Times = ()
    """Time of the part that is independent of the solver's steps, as reported by the policy."""
    denoise_ms: Times = ()
    """Time of the solver's steps, as reported by the policy."""
    max_batch: Whole = 1
    """Largest batch that an inference of this episode was part of."""
    machine: str = Field(default="", validation_alias=AliasChoices("machine", "host"))
    """The machine's name."""
    worker: Whole = 0
    session: str = ""
    """Call of ``vlaeval run`` that wrote the record: the token in its file's name. Old records have none;
    for them the file's name counts."""


class ErrorDetail(_Frozen):
    """Type and message of an infrastructure error or an invalid action."""

    type: str
    message: str
    traceback: str = ""


class EventRecord(_Frozen):
    """Something that was done to the scene during an episode: a push, a jump of an object."""

    shown: Whole
    """Control step of the first observation that can show it."""
    answered: Whole | None = None
    """First control step whose action comes from such an observation; None: the episode ended before.
    The difference of the two is the reaction time; `steps` less ``shown`` is the time from event to end."""


class EpisodeRecord(_Frozen):
    """One attempt of one episode by one arm."""

    format: Literal[1, 2] = 2
    arm: str
    suite: str
    task: str
    init_state: Whole
    env_seed: Whole
    policy_seed: Whole
    env_id: str
    instruction: str = ""
    attempt: Annotated[int, Field(ge=1, le=10**9)] = 1
    outcome: Outcome
    reason: Reason | None = None
    score: Annotated[float, Field(ge=0, le=1)] = 0.0
    """Partial credit in [0, 1]: the environment's score at the episode's end."""
    subgoals: Mapping[str, bool] = Field(default_factory=dict)
    """Whether each part of the task is done at the episode's end."""
    subgoal_steps: Mapping[str, Whole] | None = Field(
        default=None, exclude_if=lambda value: value is None
    )
    """Number of executed control steps after which each part of the task was done for the first time, 0: at
    the start; without the parts that never were. Absent from records of earlier versions."""
    steps: Whole = 0
    """Control steps executed."""
    events: Mapping[str, EventRecord] | None = Field(
        default=None, exclude_if=lambda value: value is None
    )
    """What was done to the scene, by name; absent where nothing was."""
    inferences: Whole = 0
    nfe: Whole = 0
    """Function evaluations over the whole episode."""
    clipped_actions: Whole = 0
    """Executed actions with an entry outside the action space; they were clipped."""
    counts: Mapping[str, Whole] = Field(default_factory=dict)
    """Counts reported by the policy, by name, summed over the episode."""
    scene_hash: str = ""
    """sha256 of body and geom poses and qpos after reset. Only episodes in equal scenes are paired."""
    end_hash: str | None = Field(default=None, exclude_if=lambda value: value is None)
    """The environment's hash of its state after the last action, see `vla_eval.environment.HashesState`.
    Absent if the environment gives none, from errors, and from records of earlier versions."""
    actions_sha256: str = ""
    """Hash of the executed actions, float32, in order."""
    provenance: Annotated[Mapping[str, JsonValue], AfterValidator(_finite)] = Field(
        default_factory=dict
    )
    """Simulator version, renderer, assets; from the environment."""
    protocol_sha256: str
    policy_sha256: str
    """Hash of the policy's identity, as ``run.json`` holds it."""
    policy_known: bool = True
    """False if a server did not identify its policy."""
    error: ErrorDetail | None = None
    realtime: RealtimeRecord | None = Field(default=None, exclude_if=lambda value: value is None)
    """Delays, stalls and ages in virtual time; absent from records of paused episodes."""
    timing: Timing

    @property
    def key(self) -> EpisodeKey:
        """The episode's key."""
        return EpisodeKey(self.suite, self.task, self.init_state, self.env_seed, self.policy_seed)

    def reproducible(self) -> dict[str, Any]:
        """Return the fields that must be equal when the same episode runs again: all but timings.

        Its own format is still 1: the only renamed field of format 2 is a timing.
        """
        return {**self.model_dump(mode="json", exclude={"timing", "attempt", *LATER}), "format": 1}
