"""The policy host: one process that owns a policy and batches the workers' requests.

Workers connect over a Unix socket of this machine with a random key. A request is one observation
and its context; whatever is waiting, up to ``max_batch``, is inferred together. Noise is seeded per
sample (``Context.generator``), so who shares a batch does not change anybody's noise.
"""

from __future__ import annotations

import dataclasses
import queue
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from multiprocessing import AuthenticationError
from multiprocessing.connection import (
    Client,
    Connection,
    Listener,
    answer_challenge,
    deliver_challenge,
)
from time import monotonic, perf_counter
from typing import Any

from vla_eval.engine.messages import Ready, Stopped
from vla_eval.engine.process import Heartbeat, become_child
from vla_eval.environment import Observation
from vla_eval.episode import check_reply
from vla_eval.errors import EXIT_INFRASTRUCTURE, VlaEvalError
from vla_eval.policy import ActionChunk, Context, Policy, PolicyMetadata
from vla_eval.spec import build_policy

__all__ = ["HostLostError", "HostedPolicy", "PolicyRaisedError", "host_main"]


class HostLostError(VlaEvalError):
    """The policy host died or fell silent while this episode needed it."""


class PolicyRaisedError(VlaEvalError):
    """The hosted policy raised; the message is its traceback's last line."""


@dataclass(frozen=True)
class _Request:
    observation: Observation
    context: Context


class HostedPolicy:
    """A policy in another process: the worker's side."""

    def __init__(self, address: str, authkey: bytes, slot: int, wait_s: float) -> None:
        self._address = address
        self._authkey = authkey
        self._slot = slot
        self._wait_s = wait_s
        self._connection: Connection | None = None
        self.metadata: PolicyMetadata = self._connect()

    def _connect(self) -> PolicyMetadata:
        try:
            self._connection = Client(self._address, family="AF_UNIX", authkey=self._authkey)
            self._connection.send(self._slot)
            metadata: PolicyMetadata = self._receive()
        except (OSError, EOFError, AuthenticationError) as error:
            raise HostLostError(f"the policy host cannot be reached ({error})") from error
        return metadata

    def infer(
        self, observations: Sequence[Observation], contexts: Sequence[Context]
    ) -> list[ActionChunk]:
        """Send each sample to the host and wait for its chunk.

        Raises:
            HostLostError: the host died, or did not answer in time.
            PolicyRaisedError: the policy raised in the host.
        """
        return [
            self._infer_one(observation, context)
            for observation, context in zip(observations, contexts, strict=True)
        ]

    def _infer_one(self, observation: Observation, context: Context) -> ActionChunk:
        request = _Request(observation, dataclasses.replace(context, env=None))
        try:
            self._send(request)
            reply = self._receive()
        except (OSError, EOFError) as error:
            self._connection = None
            raise HostLostError(f"the policy host is gone ({type(error).__name__})") from error
        if isinstance(reply, Stopped):
            raise PolicyRaisedError(reply.message)
        chunk: ActionChunk = reply
        return chunk

    def _send(self, request: _Request) -> None:
        """Send; where the host was restarted between episodes, find the new one first.

        Only the first request of an episode may do so: in mid-episode the policy's state is lost
        with its host, and the episode has to be repeated.
        """
        if request.context.chunk_index == 0 and self._is_broken():
            self._connect()
        if self._connection is None:
            raise EOFError
        self._connection.send(request)

    def _is_broken(self) -> bool:
        """Return whether the host has gone; between requests it has nothing else to say."""
        return self._connection is None or self._connection.poll(0)

    def _receive(self) -> Any:
        if self._connection is None or not self._connection.poll(self._wait_s):
            raise HostLostError(f"the policy host did not answer within {self._wait_s:.0f} s")
        return self._connection.recv()


def host_main(
    supervisor: Connection,
    parent_pid: int,
    spec: str,
    address: str,
    authkey: bytes,
    batching: tuple[int, float],
    heartbeat: Heartbeat,
) -> None:
    """Load the policy, tell the supervisor, and serve until the supervisor goes away.

    Args:
        supervisor: where to say Ready or Stopped.
        parent_pid: the supervisor's process id; the host dies with it.
        spec: the policy's spec.
        address: path of the Unix socket to listen on.
        authkey: shared secret of this run.
        batching: (most samples a batch, longest wait for company in seconds).
        heartbeat: where to say what is being done.
    """
    become_child(parent_pid)
    try:
        heartbeat.enter("setup", monotonic())
        policy = build_policy(spec)
        listener = Listener(address, family="AF_UNIX")
    except VlaEvalError as error:
        supervisor.send(Stopped(error.exit_code, str(error)))
        return
    except Exception as error:  # noqa: BLE001 - reported, and the run stops
        message = f"policy '{spec}' could not be loaded: {type(error).__name__}: {error}"
        supervisor.send(Stopped(EXIT_INFRASTRUCTURE, message))
        return
    heartbeat.enter("idle", monotonic())
    requests: queue.Queue[tuple[int, _Request, Connection]] = queue.Queue()
    threading.Thread(
        target=_accept, args=(listener, authkey, policy.metadata, requests), daemon=True
    ).start()
    supervisor.send(Ready({"": policy.metadata}))
    _serve(policy, requests, *batching, heartbeat)


def _accept(
    listener: Listener, authkey: bytes, metadata: PolicyMetadata, requests: queue.Queue[Any]
) -> None:
    """Accept connections; each greets in a thread of its own, so that a silent one stops nobody."""
    while True:
        try:
            connection: Connection = listener.accept()
        except (EOFError, OSError):
            continue  # a worker that was killed in the middle of its greeting
        threading.Thread(
            target=_read_requests, args=(connection, authkey, metadata, requests), daemon=True
        ).start()


def _read_requests(
    connection: Connection, authkey: bytes, metadata: PolicyMetadata, requests: queue.Queue[Any]
) -> None:
    try:
        deliver_challenge(connection, authkey)
        answer_challenge(connection, authkey)
        slot = connection.recv()
        connection.send(metadata)
        while True:
            requests.put((slot, connection.recv(), connection))
    except (AuthenticationError, EOFError, OSError):
        connection.close()


def _serve(
    policy: Policy,
    requests: queue.Queue[tuple[int, _Request, Connection]],
    max_batch: int,
    wait_s: float,
    heartbeat: Heartbeat,
) -> None:
    while True:
        batch = [requests.get()]
        deadline = monotonic() + wait_s
        while len(batch) < max_batch:
            try:
                batch.append(requests.get(timeout=max(0.0, deadline - monotonic())))
            except queue.Empty:
                break
        heartbeat.set_members([slot for slot, _, _ in batch])
        heartbeat.enter("infer", monotonic())
        replies = _infer(policy, [request for _, request, _ in batch])
        heartbeat.enter("idle", monotonic())
        for (_, _, connection), reply in zip(batch, replies, strict=True):
            try:
                connection.send(reply)
            except OSError:
                continue  # that worker died; its episode is repeated


def _infer(policy: Policy, batch: list[_Request]) -> list[Any]:
    start = perf_counter()
    try:
        reply = policy.infer(
            [request.observation for request in batch], [request.context for request in batch]
        )
        infer_ms = 1e3 * (perf_counter() - start)
        chunks = check_reply(reply, len(batch))
        return [dataclasses.replace(chunk, batch=len(batch), infer_ms=infer_ms) for chunk in chunks]
    except Exception as error:  # noqa: BLE001 - handed to the episodes that asked
        stopped = Stopped(EXIT_INFRASTRUCTURE, f"{type(error).__name__}: {error}")
        return [stopped] * len(batch)
