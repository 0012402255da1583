"""A policy for a server's sessions: one thread infers, and the event loop never waits for it.

Inference runs in the thread of a :class:`~vla_eval.engine.batching.PolicyLoop`, so the event loop still
answers pings while the first call compiles for a minute.
"""

from __future__ import annotations

import asyncio
import dataclasses
import itertools
import threading
from dataclasses import dataclass

from vla_eval.engine.batching import (
    Answer,
    End,
    Infer,
    InferenceRequest,
    PolicyLoop,
    Trouble,
    WarmUp,
)
from vla_eval.environment import Observation
from vla_eval.errors import PolicySpecError, VlaEvalError
from vla_eval.keys import BlindKey, EpisodeKey, PolicyKey
from vla_eval.policy import ActionChunk, AnswersWithPoses, Context, ability
from vla_eval.record import Outcome
from vla_eval.spec import build_policy, code_sha256
from vla_eval_policies.remote.extension import Offer
from vla_eval_policies.remote.layouts import DISPLACEMENTS

__all__ = ["PolicyFailedError", "ServedPolicy"]


class PolicyFailedError(VlaEvalError):
    """The served policy raised this message, or returned an invalid chunk."""


@dataclass(frozen=True)
class _SessionKey(EpisodeKey):
    """An episode's key on one connection.

    It has the parts of the episode's key and so gives the same noise. But two clients that run the same
    episode at the same time do not share the policy's state.
    """

    session: int = 0


@dataclass(frozen=True)
class _BlindSessionKey(BlindKey):
    """A hidden key on one connection, as in `_SessionKey`."""

    session: int = 0


class ServedPolicy:
    """Loads a policy and lets any number of sessions use it.

    Args:
        spec: the policy.
        layout: name of the clients' layout, for the server's metadata only.
        max_batch: most observations in an inference.
        batch_wait_ms: longest wait for further requests to a batch.

    Raises:
        PolicySpecError: the spec cannot be used, or the policy reads the simulator.
    """

    def __init__(self, spec: str, *, layout: str, max_batch: int, batch_wait_ms: float) -> None:
        policy = build_policy(spec)
        if policy.metadata.privileged:
            raise PolicySpecError(
                f"policy '{spec}' reads the simulator itself, which no client can send"
            )
        poses = ability(policy, AnswersWithPoses)
        if poses is not None and poses.answers_with_poses and layout in DISPLACEMENTS:
            raise PolicySpecError(
                f"policy '{spec}' answers with poses, and clients of the layout '{layout}' take "
                "displacements; serve it without --layout, for vlaeval run with "
                "blocks.0.env_kwargs.control_mode = absolute"
            )
        self.offer = Offer(policy.metadata, code_sha256(spec), layout, max_batch, batch_wait_ms)
        self.sessions = itertools.count(1)
        """Counter that numbers the connections."""
        self._loop = PolicyLoop(policy, max_batch, batch_wait_ms / 1e3)
        # A daemon thread, so that a hanging policy does not keep the server alive.
        threading.Thread(target=self._loop.run, name="inference", daemon=True).start()

    @staticmethod
    def key(key: PolicyKey, session: int) -> PolicyKey:
        """Return the policy's key for an episode of a connection."""
        kind = _SessionKey if isinstance(key, EpisodeKey) else _BlindSessionKey
        return kind(**dataclasses.asdict(key), session=session)

    async def infer(self, observation: Observation, context: Context) -> ActionChunk:
        """Return the chunk for one observation; raises PolicyFailedError."""
        chunk = await self._ask(Infer(observation, context))
        assert isinstance(chunk, ActionChunk)  # noqa: S101 - what the loop answers to Infer
        return chunk

    async def warm_up(self, observation: Observation, context: Context) -> None:
        """Warm up the policy for such observations; raises PolicyFailedError."""
        await self._ask(WarmUp(observation, context))

    async def end(self, key: PolicyKey, outcome: Outcome | None) -> None:
        """Tell the policy that an episode is over; raises PolicyFailedError."""
        await self._ask(End(key, outcome))

    async def _ask(self, what: Infer | WarmUp | End) -> Answer:
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Answer] = loop.create_future()

        def set_result(answer: Answer) -> None:
            if not future.done():  # its session may be gone
                future.set_result(answer)

        def answer(found: Answer) -> None:
            loop.call_soon_threadsafe(set_result, found)

        self._loop.requests.put(InferenceRequest(what, answer))
        result = await future
        if isinstance(result, Trouble):
            raise PolicyFailedError(result.message)
        return result
