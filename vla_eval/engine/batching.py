"""Whatever many ask one policy for, batched: the loop inside a policy host and inside a server."""

from __future__ import annotations

import dataclasses
import queue
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from time import monotonic, perf_counter

from vla_eval.environment import Observation
from vla_eval.episode import Phase, check_reply
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
    """One observation that wants a chunk."""

    observation: Observation
    context: Context
    alone: bool = False
    """In a batch of its own, so that what is raised over it is raised over nothing else."""


@dataclass(frozen=True)
class WarmUp:
    """An observation of the kind that will come; see :class:`vla_eval.policy.WarmsUp`."""

    observation: Observation
    context: Context


@dataclass(frozen=True)
class End:
    """An episode is over; see :class:`vla_eval.policy.EndsEpisodes`."""

    key: PolicyKey
    outcome: Outcome | None


@dataclass(frozen=True)
class Trouble:
    """The policy raised."""

    message: str
    usage: bool = False
    """It said that it cannot be used like this at all; repeating would not help."""


@dataclass(frozen=True)
class WarmedUp:
    """Warming up is over, or was not needed; ending an episode is answered like this too."""


Answer = ActionChunk | Trouble | WarmedUp


@dataclass(frozen=True)
class InferenceRequest:
    """What somebody asks, and where the answer goes."""

    what: Infer | WarmUp | End
    answer: Callable[[Answer], None]
    """Called in the loop's thread."""
    member: int = 0
    """Who asks; passed on to ``said``."""


class PolicyLoop:
    """Owns the policy: one thread in which everything that is asked of it happens.

    Noise is seeded per sample (``Context.generator``), so who shares a batch does not change
    anybody's noise.

    Args:
        policy: the policy.
        max_batch: most observations an inference.
        wait_s: longest wait for company, from the first observation of a batch on.
        said: called when something begins, with the phase, the time (monotonic clock) and who is in it.
    """

    def __init__(
        self,
        policy: Policy,
        max_batch: int,
        wait_s: float,
        *,
        said: Callable[[Phase, float, Sequence[int]], None] | None = None,
    ) -> None:
        self.requests: queue.SimpleQueue[InferenceRequest | None] = queue.SimpleQueue()
        """Requests from any thread; None ends the loop."""
        self._policy = policy
        self._max_batch = max_batch
        self._wait_s = wait_s
        self._said = said
        self._warm_ups = WarmUps(max_batch)

    def run(self) -> None:
        """Serve until somebody puts None."""
        while True:
            request = self.requests.get()
            if request is None:
                return
            batch, later = self._gather(request)
            if batch:
                self._infer(batch)
            for each in later:
                if each is None:
                    return
                if isinstance(each.what, Infer):
                    self._infer([each])
                else:
                    self._one(each)

    def _gather(
        self, first: InferenceRequest
    ) -> tuple[list[InferenceRequest], list[InferenceRequest | None]]:
        """Return a batch, and what else came while it was gathered."""
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
                [each.observation for each in samples], [each.context for each in samples]
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
