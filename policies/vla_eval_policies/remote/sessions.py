"""The server's side of an openpi client's connection, and the common parts of both dialects."""

from __future__ import annotations

import asyncio
import logging
import reprlib
from collections.abc import AsyncIterator, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, replace
from time import perf_counter
from typing import Any, Protocol

import numpy as np
from websockets.asyncio.server import ServerConnection

from vla_eval.errors import VlaEvalError
from vla_eval.keys import EpisodeKey, PolicyKey
from vla_eval.policy import ActionChunk, Context
from vla_eval.record import Outcome
from vla_eval_policies.remote import extension
from vla_eval_policies.remote.codec import LARGEST_FRAME, WireError, pack, unpack
from vla_eval_policies.remote.held import HeldConnection
from vla_eval_policies.remote.layouts import ObservationLayout
from vla_eval_policies.remote.served import PolicyFailedError, ServedPolicy

__all__ = [
    "ClientSession",
    "Episodes",
    "OpenpiSession",
    "Setting",
    "complaint",
    "decoded",
    "plain_context",
    "received",
]

_INTERNAL_ERROR = 1011


@dataclass(frozen=True)
class Setting:
    """Common settings of all sessions of a server."""

    policy: ServedPolicy
    layout: ObservationLayout
    seed: int
    """Policy seed of episodes for which the client sends no key."""
    max_frame_bytes: int = LARGEST_FRAME


_LOG = logging.getLogger(__name__)
_PICTURE = b"__image__"
_DECODERS = ThreadPoolExecutor(2, "decode")
"""Only two threads, to limit the memory for pictures that are decoded at the same time."""


async def decoded[Decoded](frame: bytes | str, decode: Callable[[bytes], Decoded]) -> Decoded:
    """Decode a frame; frames with pictures in a thread, so that the event loop can serve others.

    Arrays are only copied, so frames without pictures do not wait for the threads.

    Raises:
        WireError: the frame is text, or cannot be decoded.
    """
    if isinstance(frame, str):
        raise WireError("a text frame came; a binary one is expected")
    if _PICTURE not in frame:
        return decode(frame)
    return await asyncio.get_running_loop().run_in_executor(_DECODERS, decode, frame)


@asynccontextmanager
async def received(socket: ServerConnection) -> AsyncIterator[bytes | str]:
    """Wait for the next frame; after the block it counts as answered."""
    frame = await socket.recv()
    try:
        yield frame
    finally:
        if isinstance(socket, HeldConnection):
            socket.answered(frame)


def complaint(error: Exception) -> str:
    """Return the client's text for an error; also log unexpected errors."""
    if not isinstance(error, VlaEvalError):
        _LOG.error("a request could not be answered", exc_info=error)
    return f"{type(error).__name__}: {error}"


class ClientSession(Protocol):
    """Serves one connection until it ends."""

    def __init__(self, setting: Setting) -> None: ...

    async def run(self, socket: ServerConnection) -> None:
        """Serve the connection."""


class Episodes:
    """The episodes of one connection; each is ended exactly once."""

    def __init__(self, policy: ServedPolicy) -> None:
        self._policy = policy
        self._session = next(policy.sessions)
        self._open: set[PolicyKey] = set()

    def begin(self, key: PolicyKey) -> PolicyKey:
        """Begin an episode and return the policy's key for it."""
        inner = self._policy.key(key, self._session)
        self._open.add(inner)
        return inner

    async def end(self, key: PolicyKey | None, outcome: Outcome | None) -> None:
        """End an episode, if it is open."""
        if key in self._open:
            self._open.discard(key)
            await self._policy.end(key, outcome)

    async def end_all(self) -> None:
        """End the open episodes as lost, after the connection is gone."""
        for key in list(self._open):
            with suppress(PolicyFailedError):
                await asyncio.shield(self.end(key, "error"))


def plain_context(
    key: PolicyKey, steps: int, index: int, prompt: str, layout: ObservationLayout
) -> Context:
    """Return the context for a client that sends no context."""
    if layout.action_low is None or layout.action_high is None:
        raise WireError(
            "this server does not know the actions' bounds, and the client does not say them; "
            "serve with --layout libero, or with --action-low and --action-high"
        )
    low, high = (np.asarray(bound, np.float32) for bound in (layout.action_low, layout.action_high))
    return Context(key, steps, index, prompt, low, high)


class OpenpiSession:
    """Serves openpi's protocol: metadata first, then one reply to each request."""

    def __init__(self, setting: Setting) -> None:
        self._setting = setting
        self._policy = setting.policy
        self._episodes = Episodes(setting.policy)
        self._plain: PolicyKey | None = None
        """Key of the single long episode of a client without the extension."""
        self._asked = 0
        self._current: tuple[str, PolicyKey] | None = None
        """Token and key of the episode that a client with the extension has begun."""
        self._previous_ms: float | None = None

    async def run(self, socket: ServerConnection) -> None:
        """Serve one client; after an error, send it as text and close, as openpi's servers do."""
        try:
            await socket.send(pack({extension.FIELD: self._policy.offer.to_wire()}))
            answer: bytes | str = b""
            while isinstance(answer, bytes):
                answer = await self._exchange(socket)
            await socket.close(_INTERNAL_ERROR, "see the text before")
        finally:
            await self._episodes.end_all()

    async def _exchange(self, socket: ServerConnection) -> bytes | str:
        """Answer the next frame and return the answer; text is an error, and ends the connection."""
        answer: bytes | str
        async with received(socket) as frame:
            start = perf_counter()
            try:
                answer = pack(await self._answer(await decoded(frame, self._unpack)))
            except Exception as error:  # noqa: BLE001 - every client is told, whatever it was
                answer = complaint(error)
            await socket.send(answer)
        self._previous_ms = 1e3 * (perf_counter() - start)
        return answer

    def _unpack(self, frame: bytes) -> Any:
        return unpack(frame, max_bytes=self._setting.max_frame_bytes)

    async def _answer(self, request: Any) -> dict[str, Any]:
        if not isinstance(request, Mapping):
            raise WireError(f"a request is a map, not {type(request).__name__}")
        asked = request.get(extension.FIELD)
        if asked is None:
            return await self._plain_infer(request)
        version = asked.get("version") if isinstance(asked, Mapping) else None
        if type(version) is not int or version != extension.VERSION:
            raise WireError(f"{extension.FIELD} of another version than {extension.VERSION} came")
        kind = asked.get("type")
        match kind if isinstance(kind, str) else None:
            case "begin":
                await self._begin(asked)
            case "end":
                key = self._of(asked)
                self._current = None
                await self._episodes.end(key, extension.outcome_of(asked))
            case "warm_up":
                observation, prompt = self._setting.layout.from_wire(request)
                context = extension.context_of(asked, extension.key_of(asked), prompt)
                await self._policy.warm_up(observation, context)
            case "infer":
                observation, prompt = self._setting.layout.from_wire(request)
                context = extension.context_of(asked, self._of(asked), prompt)
                chunk = await self._policy.infer(observation, context)
                return {
                    **self._reply(chunk),
                    extension.FIELD: extension.reply_to(asked, chunk),
                }
            case _:
                raise WireError(f"{extension.FIELD}.type is {reprlib.repr(kind)}")
        return {extension.FIELD: extension.reply_to(asked)}

    async def _begin(self, asked: Mapping[str, Any]) -> None:
        if self._current is not None:
            await self._episodes.end(self._current[1], "error")
        token = asked.get("episode")
        if not isinstance(token, str):
            got = reprlib.repr(token)
            raise WireError(f"{extension.FIELD}.episode is {got}; a string is expected")
        self._current = (token, self._episodes.begin(extension.key_of(asked)))

    def _of(self, asked: Mapping[str, Any]) -> PolicyKey:
        token = asked.get("episode")
        if self._current is None or not isinstance(token, str) or self._current[0] != token:
            raise WireError("this episode was not begun on this connection")
        return self._current[1]

    async def _plain_infer(self, request: Mapping[Any, Any]) -> dict[str, Any]:
        observation, prompt = self._setting.layout.from_wire(request)
        key = EpisodeKey("openpi", "", 0, 0, self._setting.seed)
        steps = self._asked * self._policy.offer.policy.n_action_steps
        context = plain_context(key, steps, self._asked, prompt, self._setting.layout)
        if self._plain is None:
            self._plain = self._episodes.begin(key)
        context = replace(context, key=self._plain)
        self._asked += 1
        return self._reply(await self._policy.infer(observation, context))

    def _reply(self, chunk: ActionChunk) -> dict[str, Any]:
        timing = {"infer_ms": chunk.infer_ms}
        if self._previous_ms is not None:
            timing["prev_total_ms"] = self._previous_ms
        return {
            "actions": np.asarray(chunk.actions),
            "server_timing": timing,
            "policy_timing": {"infer_ms": chunk.infer_ms},
        }
