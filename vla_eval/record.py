"""Episode records: what happened, one per attempt. The log is the product.

Format 2. One JSON object a line; changing a field's name or meaning is a format change. Records of
format 1 are read for ever: there ``timing.machine`` was called ``timing.host``. Three outcomes:

- ``success``: the task's predicate held at some step.
- ``failure``: it did not, and ``reason`` says why: ``time_limit``, ``truncated`` (the environment
  gave up before the protocol's limit), ``invalid_action`` (wrong shape or not finite) or
  ``policy_raised`` (see below).
- ``error``: nobody knows yet whether the machine failed or the policy; ``reason`` is ``env_error``,
  ``env_timeout``, ``policy_error``, ``policy_timeout``, ``host_lost`` or ``worker_died``. Repeated in
  a fresh worker; an episode with errors only is missing, never failed, with one exception:

**A policy that raises fails, once that is reproduced.** Two attempts of one episode by one arm that
end in ``policy_error`` with the same error (type and message) in the same place (scene, steps,
inferences, executed actions) are no trouble of the machine. On reading, they make one result:
``failure``, reason ``policy_raised``, all else as the second of them says. It ends the episode; a
later success contradicts it. Both lines on disk stay the errors that they were
(:class:`vla_eval.runs.store.Records` derives the result), so the rule holds for every run ever made. Two
exceptions that differ prove nothing; such an episode is tried again, and its attempts stay countable.

A record of an error holds what was known when it came: the scene, and what was executed until then.
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

__all__ = ["EpisodeRecord", "ErrorDetail", "Outcome", "Reason", "Timing"]

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
"""What every reader of JSON takes for the same number, and what sums of do not overflow."""
Real = Annotated[float, Field(ge=-1e12, le=1e12)]


_PLAIN = frozenset((str, int, bool))


class _Doubles(array):  # type: ignore[type-arg]  # of float
    """Numbers in eight bytes each, where a tuple takes 32; otherwise like a tuple of them."""

    __slots__ = ()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, array | tuple | list) and tuple(self) == tuple(other)

    def __hash__(self) -> int:  # type: ignore[override]  # never changed
        return hash(tuple(self))


def _doubles(values: tuple[float, ...]) -> tuple[float, ...]:
    return cast("tuple[float, ...]", _Doubles("d", values)) if values else ()


def _finite(values: Mapping[str, JsonValue]) -> Mapping[str, JsonValue]:
    if not all(map(_PLAIN.__contains__, map(type, values.values()))):
        json.dumps(values, allow_nan=False)  # a ValueError says which
    return values


Times = Annotated[
    tuple[Real, ...],
    AfterValidator(_doubles),
    PlainSerializer(tuple, return_type=tuple[float, ...]),
]


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Timing(_Frozen):
    """Where the wall time went; the only part of a record that differs between equal runs."""

    started_at: AwareTime
    """UTC, ISO 8601."""
    wall_s: Real = 0.0
    build_s: Real = 0.0
    """Building the environment, where this episode had to."""
    reset_s: Real = 0.0
    warm_up_s: Real = 0.0
    """Warming the policy up, where this episode had to; not part of ``infer_s``."""
    advance_s: Real = 0.0
    """Physics."""
    observe_s: Real = 0.0
    """Rendering, after reset."""
    infer_s: Real = 0.0
    wait_s: Real = 0.0
    """Part of ``infer_s`` that was spent waiting for a shared policy host."""
    infer_ms: Times = ()
    """Wall time of each inference, waiting for a shared host apart."""
    prefix_ms: Times = ()
    """As reported by the policy: what does not depend on the solver's steps."""
    denoise_ms: Times = ()
    """As reported by the policy: the solver's steps."""
    max_batch: Whole = 1
    """Largest batch that an inference of this episode was part of."""
    machine: str = Field(default="", validation_alias=AliasChoices("machine", "host"))
    """The machine's name."""
    worker: Whole = 0
    session: str = ""
    """Which call of ``vlaeval run`` wrote the record: the token in its file's name. Records from before
    it was kept have none; there the file's name counts."""


class ErrorDetail(_Frozen):
    """What an infrastructure error or an invalid action said."""

    type: str
    message: str
    traceback: str = ""


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
    steps: Whole = 0
    """Control steps executed."""
    inferences: Whole = 0
    nfe: Whole = 0
    """Function evaluations over the whole episode."""
    clipped_actions: Whole = 0
    """Executed actions with an entry outside the action space; they were clipped."""
    counts: Mapping[str, Whole] = Field(default_factory=dict)
    """What the policy counted, by name, summed over the episode."""
    scene_hash: str = ""
    """After reset: sha256 of body and geom poses and qpos. Arms with other scenes are not paired."""
    actions_sha256: str = ""
    """Over the executed actions, float32, in order."""
    provenance: Annotated[Mapping[str, JsonValue], AfterValidator(_finite)] = Field(
        default_factory=dict
    )
    """Simulator version, renderer, assets; from the environment."""
    protocol_sha256: str
    policy_sha256: str
    """Hash of the policy's identity, as ``run.json`` holds it."""
    policy_known: bool = True
    """False where a server did not say which policy it serves."""
    error: ErrorDetail | None = None
    timing: Timing

    @property
    def key(self) -> EpisodeKey:
        """The episode's key."""
        return EpisodeKey(self.suite, self.task, self.init_state, self.env_seed, self.policy_seed)

    def reproducible(self) -> dict[str, Any]:
        """Return what must be equal whenever the same episode is run again: all but timings.

        Its own format is still 1: what formats 1 and 2 call differently is a timing.
        """
        return {**self.model_dump(mode="json", exclude={"timing", "attempt"}), "format": 1}
