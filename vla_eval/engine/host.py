"""The policy host: one process that owns a policy and batches the workers' requests.

Workers connect over a Unix socket of this machine with a random key. Whatever is waiting, up to
``max_batch`` observations, is inferred together.
"""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from multiprocessing import AuthenticationError
from multiprocessing.connection import (
    Client,
    Connection,
    Listener,
    answer_challenge,
    deliver_challenge,
)
from time import monotonic
from typing import Any

from vla_eval.engine.batching import End, Infer, InferenceRequest, PolicyLoop, Trouble, WarmUp
from vla_eval.engine.messages import Identity, Ready, Stopped
from vla_eval.engine.process import Heartbeat, become_child
from vla_eval.environment import Observation
from vla_eval.episode import Phase
from vla_eval.errors import EXIT_INFRASTRUCTURE, PolicyLostError, UsageError, VlaEvalError
from vla_eval.files.differences import name_differences
from vla_eval.keys import PolicyKey
from vla_eval.policy import ActionChunk, Context, PolicyMetadata
from vla_eval.record import Outcome
from vla_eval.spec import build_policy, code_sha256

__all__ = ["HostLostError", "HostedPolicy", "PolicyRaisedError", "host_main"]


class HostLostError(PolicyLostError):
    """The policy host died or fell silent while this episode needed it."""


class PolicyRaisedError(VlaEvalError):
    """The hosted policy raised; the message is its traceback's last line."""


class HostedPolicy:
    """A policy in another process: the worker's side."""

    def __init__(self, address: str, authkey: bytes, slot: int, wait_s: float) -> None:
        self._address = address
        self._authkey = authkey
        self._slot = slot
        self._wait_s = wait_s
        self._connection: Connection | None = None
        self.alone = False
        """Whether what is asked next must share no batch; see :class:`Infer`."""
        self._identity = self._connect()

    @property
    def metadata(self) -> PolicyMetadata:
        """The policy's own, as the host said it."""
        return self._identity.metadata

    def _connect(self) -> Identity:
        try:
            self._connection = Client(self._address, family="AF_UNIX", authkey=self._authkey)
            self._connection.send(self._slot)
            identity: Identity = self._receive()
        except (OSError, EOFError, AuthenticationError) as error:
            raise HostLostError(f"the policy host cannot be reached ({error})") from error
        return identity

    def renew(self) -> bool:
        """Before an episode: where the host was restarted, find the new one; return whether.

        Nothing reconnects in mid-episode: there the policy's state is lost with its host, and the
        episode has to be repeated.

        Raises:
            HostLostError: there is no host, or it holds another policy than the first one did (the
                supervisor notices that too, and ends the run).
        """
        if self._connection is not None and not self._connection.poll(0):
            return False  # between requests it has nothing to say, unless it has gone
        identity = self._connect()
        if identity != self._identity:
            changed = name_differences(self._identity.to_json(), identity.to_json())
            raise HostLostError(f"the restarted policy host holds another policy ({changed})")
        return True

    def warm_up(self, observations: Sequence[Observation], contexts: Sequence[Context]) -> None:
        """Let the host warm the policy up, if it wants that; the host knows for which kinds it has."""
        self._ask(WarmUp(observations[0], dataclasses.replace(contexts[0], env=None)))

    def infer(
        self, observations: Sequence[Observation], contexts: Sequence[Context]
    ) -> list[ActionChunk]:
        """Send each sample to the host and wait for its chunk.

        Raises:
            HostLostError: the host died, or did not answer in time.
            PolicyRaisedError: the policy raised in the host.
            UsageError: it said there that it cannot be used like this.
        """
        return [
            self._ask(Infer(observation, dataclasses.replace(context, env=None), self.alone))
            for observation, context in zip(observations, contexts, strict=True)
        ]

    def end_episode(self, key: PolicyKey, outcome: Outcome | None) -> None:
        """Tell the host that an episode is over; after an error, the host may be gone itself."""
        if self._connection is not None:
            self._ask(End(key, outcome))

    def _ask(self, what: Infer | WarmUp | End) -> Any:
        if self._connection is None:
            raise HostLostError("the policy host is gone")
        try:
            self._connection.send(what)
            reply = self._receive()
        except (OSError, EOFError) as error:
            self._connection = None
            raise HostLostError(f"the policy host is gone ({type(error).__name__})") from error
        if isinstance(reply, Trouble):
            raise (UsageError if reply.usage else PolicyRaisedError)(reply.message)
        return reply

    def _receive(self) -> Any:
        if self._connection is None or not self._connection.poll(self._wait_s):
            self._connection = None  # so that nobody takes the late answer for another's
            raise HostLostError(f"the policy host did not answer within {self._wait_s:.0f} s")
        return self._connection.recv()


def host_main(
    supervisor: Connection,
    parent_pid: int,
    arm: tuple[str, str],
    address: str,
    authkey: bytes,
    batching: tuple[int, float],
    heartbeat: Heartbeat,
) -> None:
    """Load the policy, tell the supervisor, and serve until the supervisor goes away.

    Args:
        supervisor: where to say Ready or Stopped.
        parent_pid: the supervisor's process id; the host dies with it.
        arm: its name, and the policy's spec.
        address: path of the Unix socket to listen on.
        authkey: shared secret of this run.
        batching: (most samples a batch, longest wait for company in seconds).
        heartbeat: where to say what is being done.
    """
    become_child(parent_pid)
    name, spec = arm
    try:
        heartbeat.enter("setup", monotonic())
        policy = build_policy(spec)
        identity = Identity(policy.metadata, code_sha256(spec))
        listener = Listener(address, family="AF_UNIX")
    except VlaEvalError as error:
        supervisor.send(Stopped(error.exit_code, str(error)))
        return
    except Exception as error:  # noqa: BLE001 - reported, and the run stops
        message = f"policy '{spec}' could not be loaded: {type(error).__name__}: {error}"
        supervisor.send(Stopped(EXIT_INFRASTRUCTURE, message))
        return

    def said(phase: Phase, now_s: float, members: Sequence[int]) -> None:
        if phase != "idle":
            heartbeat.set_members(list(members))
        heartbeat.enter(phase, now_s)

    loop = PolicyLoop(policy, *batching, said=said)
    heartbeat.enter("idle", monotonic())
    threading.Thread(
        target=_accept, args=(listener, authkey, identity, loop.requests.put), daemon=True
    ).start()
    supervisor.send(Ready({name: identity.metadata}, {name: identity.code_sha256}))
    loop.run()


def _accept(
    listener: Listener, authkey: bytes, identity: Identity, put: Callable[[InferenceRequest], None]
) -> None:
    """Accept connections; each greets in a thread of its own, so that a silent one stops nobody."""
    while True:
        try:
            connection: Connection = listener.accept()
        except (EOFError, OSError):
            continue  # a worker that was killed in the middle of its greeting
        threading.Thread(
            target=_read_requests, args=(connection, authkey, identity, put), daemon=True
        ).start()


def _read_requests(
    connection: Connection,
    authkey: bytes,
    identity: Identity,
    put: Callable[[InferenceRequest], None],
) -> None:
    slot, open_episodes = 0, set[PolicyKey]()

    def answer(reply: object) -> None:
        with suppress(OSError):  # that worker died; its episode is repeated
            connection.send(reply)

    try:
        deliver_challenge(connection, authkey)
        answer_challenge(connection, authkey)
        slot = connection.recv()
        connection.send(identity)
        while True:
            what = connection.recv()
            if isinstance(what, Infer):
                open_episodes.add(what.context.key)
            elif isinstance(what, End):
                open_episodes.discard(what.key)
            put(InferenceRequest(what, answer, slot))
    except (AuthenticationError, EOFError, OSError):
        for key in open_episodes:  # its worker died without saying so
            put(InferenceRequest(End(key, "error"), lambda _: None, slot))
        connection.close()
