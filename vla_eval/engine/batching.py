"""Batches the requests of many clients to one policy: the loop of a policy host and of a server."""

from __future__ import annotations

import dataclasses
import queue
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from time import monotonic, perf_counter

from vla_eval.chunks import check_reply
from vla_eval.environment import Observation
from vla_eval.episode import Phase
from vla_eval.errors import UsageError
from vla_eval.keys import PolicyKey
from vla_eval.policy import ActionChunk, Context, Policy, WarmUps, end_episode
from vla_eval.record import Outcome

__all__ = [
    "Answer",
    "End",
    "Infer",
    "InferenceRequest",
    "PolicyLoop",
    "Trouble",
    "WarmUp",
    "WarmedUp",
]


@dataclass(frozen=True)
class Infer:
    """A request for the action chunk of one observation."""

    observation: Observation
    context: Context
    alone: bool = False
    """Whether the observation gets a batch of its own, so that it is the only cause of an exception."""


@dataclass(frozen=True)
class WarmUp:
    """A request to warm the policy up with a typical observation; see :class:`vla_eval.policy.WarmsUp`."""

    observation: Observation
    context: Context


@dataclass(frozen=True)
class End:
    """An episode is over; see :class:`vla_eval.policy.EndsEpisodes`."""

    key: PolicyKey
    outcome: Outcome | None


@dataclass(frozen=True)
class Trouble:
    """The answer after the policy raised an exception."""

    message: str
    usage: bool = False
    """Whether the policy cannot be used in this way at all, so that a repetition would not help."""


@dataclass(frozen=True)
class WarmedUp:
    """The answer to `WarmUp`, whether or not warming up was needed, and to `End`."""


Answer = ActionChunk | Trouble | WarmedUp


@dataclass(frozen=True)
class InferenceRequest:
    """A client's request, and the callback for its answer."""

    what: Infer | WarmUp | End
    answer: Callable[[Answer], None]
    """Callback for the answer; it is called in the loop's thread."""
    member: int = 0
    """Number of the client; it is passed on to ``said``."""


class PolicyLoop:
    """Owns the policy, and serves all requests to it in one thread.

    Noise is seeded per sample (``Context.generator``), so it does not depend on the other samples of
    the batch.

    Args:
        policy: the policy.
        max_batch: largest number of observations in one inference.
        wait_s: longest wait for further observations after the first one of a batch, in s.
        said: called at the beginning of each phase, with the phase, the time (monotonic clock) and the
            members (`InferenceRequest.member`) that take part in it.
        turn: held while the policy works, by one loop at a time where loops share a checkpoint.
    """

    def __init__(
        self,
        policy: Policy,
        max_batch: int,
        wait_s: float,
        *,
        said: Callable[[Phase, float, Sequence[int]], None] | None = None,
        turn: AbstractContextManager[object] | None = None,
    ) -> None:
        self.requests: queue.SimpleQueue[InferenceRequest | None] = queue.SimpleQueue()
        """Requests from any thread; None ends the loop."""
        self._policy = policy
        self._max_batch = max_batch
        self._wait_s = wait_s
        self._said = said
        self._turn = nullcontext() if turn is None else turn
        self._warm_ups = WarmUps(max_batch)

    def run(self) -> None:
        """Serve until None is put into ``requests``."""
        while True:
            request = self.requests.get()
            if request is None:
                return
            batch, later = self._gather(request)
            if batch:
                with self._turn:
                    self._infer(batch)
            for late_request in later:
                if late_request is None:
                    return
                with self._turn:
                    self._serve(late_request)

    def _serve(self, request: InferenceRequest) -> None:
        if isinstance(request.what, Infer):
            self._infer([request])
        else:
            self._one(request)

    def _gather(
        self, first: InferenceRequest
    ) -> tuple[list[InferenceRequest], list[InferenceRequest | None]]:
        """Return a batch, and the other requests that arrived while it was gathered."""
        if not _is_shared(first):
            return [], [first]
        batch, later = [first], list[InferenceRequest | None]()
        deadline = monotonic() + self._wait_s
        while len(batch) < self._max_batch and None not in later:
            try:
                request = self.requests.get(timeout=max(0.0, deadline - monotonic()))
            except queue.Empty:
                break
            if request is not None and _is_shared(request):
                batch.append(request)
            else:
                later.append(request)
        return batch, later

    def _say(self, phase: Phase, requests: Sequence[InferenceRequest]) -> None:
        if self._said is not None:
            self._said(phase, monotonic(), [request.member for request in requests])

    def _infer(self, batch: Sequence[InferenceRequest]) -> None:
        samples = [request.what for request in batch if isinstance(request.what, Infer)]
        self._say("infer", batch)
        answers: Sequence[Answer]
        try:
            start = perf_counter()
            reply = self._policy.infer(
                [sample.observation for sample in samples], [sample.context for sample in samples]
            )
            infer_ms = 1e3 * (perf_counter() - start)
            answers = [
                dataclasses.replace(chunk, batch=len(batch), infer_ms=infer_ms)
                for chunk in check_reply(reply, len(batch))
            ]
        except Exception as error:  # noqa: BLE001 - handed to the episodes that asked
            answers = [_trouble(error)] * len(batch)
        self._say("idle", batch)
        for request, answer in zip(batch, answers, strict=True):
            request.answer(answer)

    def _one(self, request: InferenceRequest) -> None:
        answer: Answer = WarmedUp()
        try:
            match request.what:
                case WarmUp(observation=observation, context=context):
                    if self._warm_ups.needed(self._policy, observation):
                        self._say("warm_up", [request])
                        self._warm_ups.run(self._policy, observation, context)
                case End(key=key, outcome=outcome):
                    self._say("end_episode", [request])
                    end_episode(self._policy, key, outcome)
        except Exception as error:  # noqa: BLE001 - handed to the episode that asked
            answer = _trouble(error)
        self._say("idle", [request])
        request.answer(answer)


def _is_shared(request: InferenceRequest) -> bool:
    return isinstance(request.what, Infer) and not request.what.alone


def _trouble(error: Exception) -> Trouble:
    if isinstance(error, UsageError):
        return Trouble(str(error), usage=True)
    return Trouble(f"{type(error).__name__}: {error}")
