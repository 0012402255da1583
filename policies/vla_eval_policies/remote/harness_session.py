"""The server's side of a harness client's connection."""

from __future__ import annotations

import reprlib
from collections import deque
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import numpy as np
from numpy.typing import NDArray
from websockets.asyncio.server import ServerConnection

from vla_eval.errors import VlaEvalError
from vla_eval.keys import BlindKey, EpisodeKey, PolicyKey
from vla_eval.record import Outcome
from vla_eval_policies.remote import extension
from vla_eval_policies.remote.codec import WireError, envelope, open_envelope
from vla_eval_policies.remote.served import PolicyFailedError
from vla_eval_policies.remote.sessions import (
    Episodes,
    Setting,
    complaint,
    decoded,
    plain_context,
    received,
)

__all__ = ["HarnessSession"]

_INVALID_DATA = 1007


class HarnessSession:
    """Serves a client of AllenAI's harness: envelopes, and one action for each observation.

    The client asks before every step, so the rest of a chunk waits here, as in their own servers.
    """

    def __init__(self, setting: Setting) -> None:
        self._setting = setting
        self._policy = setting.policy
        self._episodes = Episodes(setting.policy)
        self._key: PolicyKey | None = None
        self._trouble: VlaEvalError | None = None
        self._ready: deque[NDArray[np.float32]] = deque()
        self._steps = self._chunks = 0

    async def run(self, socket: ServerConnection) -> None:
        """Serve one client; an error is sent as a message, and the connection stays open."""
        try:
            unreadable: WireError | None = None
            while unreadable is None:
                unreadable = await self._exchange(socket)
            await socket.close(_INVALID_DATA, str(unreadable)[:120])
        finally:
            await self._episodes.end_all()

    async def _exchange(self, socket: ServerConnection) -> WireError | None:
        """Answer the next message; return the error if it cannot be read."""
        async with received(socket) as frame:
            try:
                kind, payload, seq = await decoded(frame, self._open)
            except WireError as error:
                return error.with_traceback(None)
            try:
                answer = await self._answer(kind, payload)
            except Exception as error:  # noqa: BLE001 - every client is told, whatever it was
                answer = ("error", {"error": complaint(error)})
            if answer is not None:
                await socket.send(envelope(*answer, seq))
        return None

    def _open(self, frame: bytes) -> tuple[str, Mapping[str, Any], int]:
        return open_envelope(frame, max_bytes=self._setting.max_frame_bytes)

    async def _answer(
        self, kind: str, payload: Mapping[str, Any]
    ) -> tuple[str, dict[str, Any]] | None:
        match kind:
            case "hello":
                return "hello", self._hello()
            case "episode_start":
                # An error is kept until the first observation: the client would take an answer to
                # this message for the answer to its first observation.
                try:
                    self._trouble = None
                    await self._start(payload)
                except VlaEvalError as error:
                    self._trouble = error
            case "observation":
                if self._trouble is not None:
                    raise self._trouble
                virtual = payload.get(extension.FIELD)
                if isinstance(virtual, Mapping):
                    return "action", {"actions": await self._chunk(payload, virtual)}
                return "action", {"actions": await self._act(payload)}
            case "episode_end":
                with suppress(PolicyFailedError):
                    await self._episodes.end(self._key, _outcome(payload))
            case "error":
                return None
            case _:
                raise WireError(f"message type {reprlib.repr(kind)}")
        return None

    def _hello(self) -> dict[str, Any]:
        offer = self._policy.offer
        return {
            "harness_version": "vla-eval-suite",
            "protocol_version": 1,
            "model_server": offer.policy.name,
            "capabilities": {extension.FIELD: offer.to_wire()},
            # Both pictures and the state, with robosuite's orientations, which are not folded.
            "observation_params": {
                "send_wrist_image": True,
                "send_state": True,
                "quat_no_antipodal": True,
            },
        }

    async def _start(self, payload: Mapping[str, Any]) -> None:
        task = payload.get("task")
        task = task if isinstance(task, Mapping) else {}
        await self._episodes.end(self._key, None)
        self._ready.clear()
        self._steps = self._chunks = 0
        self._key = self._episodes.begin(self._key_of(task))

    def _key_of(self, task: Mapping[str, Any]) -> PolicyKey:
        suite = str(task.get("suite", "harness"))
        if "token" in task:  # a client of ours, whose protocol hides keys
            return BlindKey(suite, str(task["token"]))
        name = str(task.get("task_id", task.get("name", "")))
        number = task.get("episode_idx", 0)
        number = number if type(number) is int and 0 <= number < 2**32 else 0
        return EpisodeKey(suite, name, number, 0, self._setting.seed)

    async def _act(self, payload: Mapping[str, Any]) -> NDArray[np.float32]:
        if not self._ready:
            actions = await self._chunk(payload, {})
            self._ready.extend(actions[: self._policy.offer.policy.n_action_steps])
        self._steps += 1
        return self._ready.popleft()

    async def _chunk(
        self, payload: Mapping[str, Any], virtual: Mapping[str, Any]
    ) -> NDArray[np.float32]:
        """Return a whole chunk; a client in virtual time keeps it, and says what is queued there."""
        if self._key is None:
            await self._start({})
        assert self._key is not None  # noqa: S101 - _start sets it
        observation, prompt = self._setting.layout.from_wire(_flat(payload))
        steps = virtual.get("step", self._steps)
        if type(steps) is not int or steps < 0:
            raise WireError(f"{extension.FIELD}.step is {reprlib.repr(steps)}")
        context = plain_context(self._key, steps, self._chunks, prompt, self._setting.layout)
        chunk = await self._policy.infer(observation, extension.with_virtual(context, virtual))
        actions = np.asarray(chunk.actions, np.float32)
        if actions.ndim != 2 or not len(actions) or not np.isfinite(actions).all():
            raise PolicyFailedError(f"the policy's actions are no finite (T, A): {actions.shape}")
        self._chunks += 1
        return actions


def _outcome(payload: Mapping[str, Any]) -> Outcome | None:
    metrics = payload.get("metrics")
    success = metrics.get("success") if isinstance(metrics, Mapping) else None
    if not isinstance(success, bool | int | float | np.generic):
        return None
    return "success" if success else "failure"


def _flat(payload: Mapping[str, Any]) -> dict[str, Any]:
    """Return the observation with its pictures as ``images/NAME`` and its state as ``states``."""
    images = payload.get("images")
    pictures = images if isinstance(images, Mapping) else {}
    flat = {**payload, **{f"images/{name}": picture for name, picture in pictures.items()}}
    if "states" not in flat and "state" in flat:
        flat["states"] = flat["state"]
    return flat
