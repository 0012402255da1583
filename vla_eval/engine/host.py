"""The policy host: one process that owns a policy, or several, and batches the workers' requests.

Workers connect over a Unix socket of this machine with a random key. All waiting observations, at most
``max_batch``, share one inference.
"""

from __future__ import annotations

import select
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing import AuthenticationError
from multiprocessing.connection import (
    Client,
    Connection,
    Listener,
    answer_challenge,
    deliver_challenge,
)
from time import monotonic
from typing import Any, NoReturn

from vla_eval.engine.batching import End, Infer, InferenceRequest, PolicyLoop, WarmUp
from vla_eval.engine.memory import Receiver, Sender, encoded
from vla_eval.engine.messages import Identity, Ready, Stopped
from vla_eval.engine.process import Heartbeat, become_child, tell
from vla_eval.engine.proxy import HostedPolicy, HostLostError
from vla_eval.episode import Phase
from vla_eval.errors import EXIT_INFRASTRUCTURE, VlaEvalError
from vla_eval.keys import PolicyKey
from vla_eval.policy import Policy
from vla_eval.spec import build_policy, code_sha256

__all__ = ["SocketPolicy", "host_main", "serve_policies"]


class SocketPolicy(HostedPolicy):
    """A proxy for a policy in a host of this machine."""

    def __init__(self, arm: str, address: str, authkey: bytes, slot: int, wait_s: float) -> None:
        self._arm = arm
        self._address = address
        self._authkey = authkey
        self._slot = slot
        self._wait_s = wait_s
        self._connection: Connection | None = None
        self._identity = self._connect()

    def _connect(self) -> Identity:
        try:
            self._connection = Client(self._address, family="AF_UNIX", authkey=self._authkey)
            self._connection.send((self._slot, self._arm))
            self._sender = Sender(self._connection)
            self._answered = select.poll()  # ``Connection.poll`` makes a new one at every call
            self._answered.register(self._connection, select.POLLIN)
            identity: Identity = self._receive()
        except (OSError, EOFError, AuthenticationError) as error:
            raise HostLostError(f"the policy host cannot be reached ({error})") from error
        return identity

    def renew(self) -> bool:
        """Connect to the new host if the host was restarted; return whether it was."""
        if self._connection is not None and not self._connection.poll(0):
            return False  # between requests the host sends nothing; a closed connection is readable
        self._refuse_other(self._connect())
        return True

    def _is_reachable(self) -> bool:
        return self._connection is not None

    def _send(self, what: Infer | WarmUp | End) -> None:
        if self._connection is None:
            raise HostLostError("the policy host is gone")
        try:
            self._sender.send(what)
        except (OSError, EOFError) as error:
            self._lose(error)

    def _receive(self) -> Any:
        if self._connection is None or not self._answered.poll(1e3 * self._wait_s):
            self._connection = None  # so that a late answer is not taken for the next one
            raise HostLostError(f"the policy host did not answer within {self._wait_s:.0f} s")
        try:
            return self._connection.recv()
        except (OSError, EOFError) as error:
            self._lose(error)

    def _lose(self, error: Exception) -> NoReturn:
        self._connection = None
        raise HostLostError(f"the policy host is gone ({type(error).__name__})") from error


def host_main(
    supervisor: Connection,
    parent_pid: int,
    arms: Mapping[str, str],
    address: str,
    authkey: bytes,
    batching: tuple[int, float],
    heartbeat: Heartbeat,
) -> None:
    """Load the policies, tell the supervisor, and serve until the supervisor goes away.

    Args:
        supervisor: connection for the message Ready or Stopped.
        parent_pid: the supervisor's process id; the host dies with it.
        arms: specs by the names of their arms: one, or several that share a checkpoint.
        address: path of the Unix socket to listen on.
        authkey: shared secret of this run.
        batching: (largest number of samples in a batch, longest wait for further ones in s).
        heartbeat: shared memory for the current phase.
    """
    become_child(parent_pid)
    spec = ""
    try:
        heartbeat.enter("setup", monotonic())
        policies, identities = {}, {}
        for name, spec in arms.items():
            policies[name] = build_policy(spec)
            identities[name] = Identity(policies[name].metadata, code_sha256(spec))
        listener = Listener(address, family="AF_UNIX")
    except VlaEvalError as error:
        tell(supervisor, Stopped(error.exit_code, str(error)))
        return
    except Exception as error:  # noqa: BLE001 - reported, and the run stops
        message = f"policy '{spec}' could not be loaded: {type(error).__name__}: {error}"
        tell(supervisor, Stopped(EXIT_INFRASTRUCTURE, message))
        return

    def said(phase: Phase, now_s: float, members: Sequence[int]) -> None:
        if phase != "idle":
            heartbeat.set_members(list(members))
        heartbeat.enter(phase, now_s)

    loops, _ = serve_policies(policies, identities, listener, authkey, batching, said)
    heartbeat.enter("idle", monotonic())
    tell(
        supervisor,
        Ready(
            {name: identity.metadata for name, identity in identities.items()},
            {name: identity.code_sha256 for name, identity in identities.items()},
        ),
    )
    first, *others = loops.values()
    for loop in others:
        threading.Thread(target=loop.run, daemon=True).start()
    first.run()


def serve_policies(
    policies: Mapping[str, Policy],
    identities: Mapping[str, Identity],
    listener: Listener,
    authkey: bytes,
    batching: tuple[int, float],
    said: Callable[[Phase, float, Sequence[int]], None],
) -> tuple[dict[str, PolicyLoop], Callable[[], None]]:
    """Accept workers in a thread; the caller runs the loops.

    Args:
        policies: policies by the names of their arms.
        identities: what a worker is told when it connects, by arm.
        listener: the socket that workers connect to.
        authkey: shared secret of this run.
        batching: (largest number of samples in a batch, longest wait for further ones in s).
        said: see :class:`PolicyLoop`.

    Returns:
        The loop of each arm, and a function that closes the socket and ends the thread.
    """
    turn = threading.Lock()
    loops = {
        name: PolicyLoop(policy, *batching, said=said, turn=turn)
        for name, policy in policies.items()
    }
    served = {name: _Served(identities[name], loop.requests.put) for name, loop in loops.items()}
    closed = threading.Event()
    accepting = threading.Thread(
        target=_accept, args=(listener, authkey, served, closed), daemon=True
    )
    accepting.start()

    def close() -> None:
        closed.set()
        with suppress(OSError):  # closing a socket wakes no thread that waits for it; a client does
            Client(listener.address, family="AF_UNIX").close()
        accepting.join()
        listener.close()

    return loops, close


@dataclass(frozen=True)
class _Served:
    """A policy of this host: its identity, and the way to its loop."""

    identity: Identity
    put: Callable[[InferenceRequest], None]


def _accept(
    listener: Listener, authkey: bytes, served: Mapping[str, _Served], closed: threading.Event
) -> None:
    """Accept connections, and greet each in its own thread, so that a silent client blocks no other."""
    while not closed.is_set():
        try:
            connection: Connection = listener.accept()
        except (EOFError, OSError):
            continue  # a worker that was killed in the middle of its greeting
        threading.Thread(
            target=_read_requests, args=(connection, authkey, served), daemon=True
        ).start()


def _read_requests(connection: Connection, authkey: bytes, served: Mapping[str, _Served]) -> None:
    slot, open_episodes, put = 0, set[PolicyKey](), next(iter(served.values())).put

    def answer(reply: object) -> None:
        with suppress(OSError):  # the worker died; its episode is repeated
            connection.send_bytes(encoded(reply))

    try:
        deliver_challenge(connection, authkey)
        answer_challenge(connection, authkey)
        slot, arm = connection.recv()
        put = served[arm].put
        connection.send(served[arm].identity)
        receiver = Receiver(connection)
        while True:
            request = receiver.receive()
            if isinstance(request, Infer):
                open_episodes.add(request.context.key)
            elif isinstance(request, End):
                open_episodes.discard(request.key)
            put(InferenceRequest(request, answer, slot))
    except (AuthenticationError, EOFError, OSError):
        for key in open_episodes:  # the worker died and sent no End
            put(InferenceRequest(End(key, "error"), lambda _: None, slot))
        connection.close()
