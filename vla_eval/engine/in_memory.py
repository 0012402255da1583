"""The crew of a policy that lives in this process: a trainer's, in memory, without a checkpoint.

The policy's loop runs in the thread that called, where the trainer's device, precision and generators
are; the supervisor runs in a helper thread. Workers are spawned processes as ever, and reach the policy
over the same socket as a policy host.
"""

from __future__ import annotations

import secrets
import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from multiprocessing.connection import Listener
from time import monotonic

from vla_eval.engine.crew import Clock, Event, Fault, Host, HostPlace, Joined, Worker
from vla_eval.engine.host import serve_policies
from vla_eval.engine.local import LocalCrew, socket_address
from vla_eval.engine.messages import Identity, Ready
from vla_eval.engine.process import Heartbeat
from vla_eval.engine.session import RunSession
from vla_eval.episode import Phase
from vla_eval.errors import InfrastructureError, InterruptedRunError
from vla_eval.policy import Policy
from vla_eval.record import EpisodeRecord
from vla_eval.runs.folder import RunFolder
from vla_eval.spec import code_sha256

__all__ = ["InMemoryCrew", "InMemoryPolicy"]

_OF_A_TRAINING_JOB = ("RANK", "LOCAL_RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
"""Variables by which a launcher tells a process its place; a simulator has none."""


class InMemoryPolicy:
    """Serves one policy of this process to the workers of one run.

    Args:
        policy: the policy; all calls to it come from the thread that calls :meth:`serve`.
        arm: name of its arm.
        spec: the arm's spec.
    """

    def __init__(self, policy: Policy, arm: str, spec: str) -> None:
        self._policy = policy
        self.arm = arm
        self.spec = spec
        self.identity = Identity(policy.metadata, code_sha256(spec))
        self.address = socket_address(f"memory-{secrets.token_hex(8)}")
        self.authkey = secrets.token_bytes(32)
        self.heartbeat = Heartbeat(_MOST_WORKERS)
        self.stopped = threading.Event()
        """Set when the caller was interrupted; the run then ends."""

    def serve(self, run: Callable[[], None], batching: tuple[int, float]) -> None:
        """Answer requests in this thread, until ``run`` has ended in a helper thread.

        Args:
            run: starts the workers and waits for their episodes.
            batching: (largest number of samples in a batch, longest wait for further ones in s).

        Raises:
            Exception: what ``run`` raised.
            KeyboardInterrupt: the caller was interrupted; the workers have ended.
        """
        listener = Listener(self.address, family="AF_UNIX")
        loops, close = serve_policies(
            {self.arm: self._policy},
            {self.arm: self.identity},
            listener,
            self.authkey,
            batching,
            self._said,
        )
        loop = loops[self.arm]
        self.heartbeat.enter("idle", monotonic())
        with ThreadPoolExecutor(1, thread_name_prefix="vla_eval-supervisor") as helper:
            running = helper.submit(run)
            running.add_done_callback(lambda _: loop.requests.put(None))
            try:
                loop.run()
            except BaseException:
                self.stopped.set()
                raise
            finally:
                running.exception()  # waits until no worker is left
                close()
        running.result()

    def _said(self, phase: Phase, now_s: float, members: Sequence[int]) -> None:
        if phase != "idle":
            self.heartbeat.set_members(list(members))
        self.heartbeat.enter(phase, now_s)


_MOST_WORKERS = 1024


class InMemoryCrew(LocalCrew):
    """Workers on this machine, and one policy in the memory of this process."""

    def __init__(
        self, folder: RunFolder, session: RunSession, slots: int, *, served: InMemoryPolicy
    ) -> None:
        super().__init__(folder, session, min(slots, _MOST_WORKERS), hide_main=True)
        self._served = served
        self._joined: deque[Event] = deque()
        (place,) = self.places
        self._addresses[place] = served.address
        self._authkey = served.authkey

    def worker_changes(self, slot: int) -> Mapping[str, str | None]:
        """Return the changes of a worker's environment."""
        return {**super().worker_changes(slot), **dict.fromkeys(_OF_A_TRAINING_JOB)}

    def add_host(self, place: HostPlace) -> Host:
        """Report the policy as loaded."""
        host = Host(place=place)
        identity = self._served.identity
        arm = self._served.arm
        self._joined.append(
            Joined(host, Ready({arm: identity.metadata}, {arm: identity.code_sha256}))
        )
        return host

    def events(self, timeout_s: float) -> list[Event]:
        """Return the policy's own event, else wait as ever; raise InterruptedRunError if interrupted."""
        if self._served.stopped.is_set():
            raise InterruptedRunError("interrupted; the same call continues the evaluation")
        if self._joined:
            return [self._joined.popleft()]
        return super().events(timeout_s)

    def clock(self, member: Worker | Host) -> Clock:
        """Return the member's phase."""
        if isinstance(member, Worker):
            return super().clock(member)
        heartbeat = self._served.heartbeat
        return Clock(*heartbeat.read(monotonic()), frozenset(heartbeat.members()))

    def remove(self, member: Worker | Host, *, grace_s: float = 0.0) -> EpisodeRecord | None:
        """End a worker; raise InfrastructureError for the policy, whose process is the caller's."""
        if isinstance(member, Worker):
            return super().remove(member, grace_s=grace_s)
        raise InfrastructureError(
            "the policy did not answer within the protocol's limits (run.limits.infer_s and setup_s), "
            "and it cannot be started anew: its process is this one"
        )

    def _fault_of(self, worker: Worker) -> Fault:
        del worker
        return "own"
