"""The local crew: workers and policy hosts as spawned processes of this machine."""

from __future__ import annotations

import math
import os
import platform
import secrets
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import nullcontext, suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from time import monotonic
from typing import Any

from vla_eval.cores import usable_cores
from vla_eval.engine.crew import (
    Clock,
    Ended,
    Event,
    Fault,
    Host,
    HostPlace,
    Joined,
    Left,
    Member,
    Refused,
    Worker,
)
from vla_eval.engine.devices import Fleet
from vla_eval.engine.host import host_main
from vla_eval.engine.messages import (
    ArmJob,
    Done,
    HostAway,
    LocalJob,
    Ready,
    Start,
    Stop,
    Stopped,
    WorkItem,
)
from vla_eval.engine.process import (
    SPAWN,
    Heartbeat,
    born_with,
    shielded_from_interrupt,
    without_main,
)
from vla_eval.engine.session import RunSession
from vla_eval.engine.worker import worker_main
from vla_eval.record import EpisodeRecord
from vla_eval.runs.folder import RunFolder
from vla_eval.runs.store import read_records
from vla_eval.spec import placement_of, shared_key_of

__all__ = ["LocalCrew", "socket_address"]

_REAP_S = 3.0
_STOP_GRACE_S = 3.0
_HOST_ENDS_S = 1.0
"""Longest time between the loss of a dying host's sockets and its end."""


@dataclass
class _Child:
    """A child process, the pipe to it, its heartbeat, and a worker's record file."""

    process: BaseProcess
    connection: Connection
    heartbeat: Heartbeat
    record_file: Path = Path()

    def kill(self) -> None:
        """End the process at once and wait until it is gone."""
        self.process.kill()
        self.process.join()
        self.connection.close()

    def exit_text(self) -> str:
        """Return how the process ended: its signal or exit code. It has ended, or is about to."""
        self.process.join(timeout=_REAP_S)
        code = self.process.exitcode
        if code is not None and code < 0:
            return f"signal {-code}"
        return f"exit code {code}"


class LocalCrew:
    """Runs workers and policy hosts on this machine; see :class:`~vla_eval.engine.crew.Crew`."""

    def __init__(
        self,
        folder: RunFolder,
        session: RunSession,
        slots: int,
        fleet: Fleet | None = None,
        *,
        hide_main: bool = False,
    ) -> None:
        """Prepare; no process is started yet.

        Args:
            folder: the run.
            session: this call.
            slots: largest number of workers at a time.
            fleet: devices of the policy hosts; by default each arm has one host that sees all devices.
            hide_main: keep the processes from importing the caller's script.

        Raises:
            PolicySpecError: an arm's spec names no policy.
        """
        self._run = folder.header.protocol.run
        self._protocol_sha256 = folder.header.protocol_sha256
        self._session = session
        self.slots = slots
        self._arms = {arm.name: arm.spec for arm in folder.header.arms}
        self._authkey = secrets.token_bytes(32)
        self._children: dict[Member, _Child] = {}
        self._hidden = without_main if hide_main else nullcontext
        hosted = [name for name, text in self._arms.items() if placement_of(text) == "host"]
        self._fleet = fleet or Fleet()
        self._replicas = min(self._fleet.replicas, slots)
        self.places = [
            HostPlace(names, replica)
            for replica in range(self._replicas)
            for names in _sharing(self._arms, hosted)
        ]
        self._addresses = {
            place: socket_address(f"{session.token}-{number}")
            for number, place in enumerate(self.places)
        }
        cores = usable_cores()
        self.worker_threads = max(1, cores // slots)
        """Numerics threads of each worker; the simulators run side by side."""
        self.host_threads = max(1, cores // (2 * max(1, len(hosted))))
        """Numerics threads of each policy host: half the cores, since workers compute beside it. The
        number must not depend on the number of workers or replicas: it can change a sum's last bits."""

    def replica_of(self, slot: int) -> int:
        """Return the replica of the hosts that serve the worker in a slot."""
        return slot % self._replicas

    def add_host(self, place: HostPlace) -> Host:
        """Start a policy host."""
        ours, theirs = SPAWN.Pipe()
        heartbeat = Heartbeat(self.slots)
        wait_s = min(self._run.batch_wait_ms / 1e3, self._run.limits.infer_s)
        batching = (self._run.max_batch, wait_s)
        process = SPAWN.Process(
            target=host_main,
            args=(
                theirs,
                os.getpid(),
                {name: self._arms[name] for name in place.arms},
                self._addresses[place],
                self._authkey,
                batching,
                heartbeat,
            ),
            name=f"policy-host-{'-'.join(place.arms)}",
        )
        environment = self._fleet.host_environment(place.replica)
        with shielded_from_interrupt(), born_with(self.host_threads, environment), self._hidden():
            process.start()
        theirs.close()
        host = Host(place=place)
        self._children[host] = _Child(process, ours, heartbeat)
        return host

    def add_worker(self, slot: int) -> Worker:
        """Start a worker in a slot."""
        ours, theirs = SPAWN.Pipe()
        heartbeat = Heartbeat()
        record_file = self._session.new_record_file(f"w{slot}")
        job = LocalJob(
            parent_pid=os.getpid(),
            slot=slot,
            arms={
                name: ArmJob(spec, self._address_of(name, self.replica_of(slot)))
                for name, spec in self._arms.items()
            },
            n_action_steps=self._run.n_action_steps,
            realtime=self._run.realtime,
            protocol_sha256=self._protocol_sha256,
            record_file=record_file,
            session=self._session.token,
            keeps_actions=self._session.keeps_actions,
            authkey=self._authkey,
            host_wait_s=self._host_wait_s(),
        )
        process = SPAWN.Process(
            target=worker_main, args=(theirs, job, heartbeat), name=f"worker-{slot}"
        )
        environment = self.worker_changes(slot)
        with shielded_from_interrupt(), born_with(self.worker_threads, environment), self._hidden():
            process.start()
        theirs.close()
        worker = Worker(slot=slot)
        self._children[worker] = _Child(process, ours, heartbeat, record_file)
        return worker

    def worker_changes(self, slot: int) -> Mapping[str, str | None]:
        """Return the changes of a worker's environment; None removes a variable."""
        return self._fleet.worker_environment(slot)

    def _address_of(self, arm: str, replica: int) -> str | None:
        return next(
            (
                address
                for place, address in self._addresses.items()
                if arm in place.arms and place.replica == replica
            ),
            None,
        )

    def _host_wait_s(self) -> float:
        """Return the longest wait for a host: as if all its workers were before this one, one by one."""
        limits, workers = self._run.limits, math.ceil(self.slots / self._replicas)
        return limits.infer_s * (workers + 1) + limits.setup_s

    def greet(self, worker: Worker, start: Start) -> None:
        """Send a worker the hashes of the policies."""
        self._send(worker, start)

    def give(self, worker: Worker, item: WorkItem) -> None:
        """Give an idle worker its next item."""
        self._send(worker, item)

    def _send(self, worker: Worker, message: Start | WorkItem | Stop) -> None:
        with suppress(OSError):  # it died; its sentinel says so at the next wait
            self._children[worker].connection.send(message)

    def events(self, timeout_s: float) -> list[Event]:
        """Wait for messages and deaths, and return those that came together."""
        handles: dict[Any, Worker | Host] = {}
        for member, child in self._children.items():
            if isinstance(member, Worker | Host):
                handles[child.connection] = handles[child.process.sentinel] = member
        members = dict.fromkeys(handles[handle] for handle in wait(list(handles), timeout_s))
        return [self._event_of(member) for member in members]

    def _event_of(self, member: Worker | Host) -> Event:
        """Return the event of a member that sent a message or died."""
        child = self._children[member]
        try:
            message = child.connection.recv() if child.connection.poll(0) else None
        except (EOFError, OSError):
            message = None
        match message:
            case Ready():
                return Joined(member, message)
            case Done(item=item, record=record) if isinstance(member, Worker):
                return Ended(member, item, record)
            case HostAway(message=text) if isinstance(member, Worker):
                return Left(member, f"left ({text})", self._fault_of(member))
            case Stopped(exit_code=code, message=text):
                return Refused(member, code, text)
            case _:
                return Left(member, f"died ({child.exit_text()})")

    def _fault_of(self, worker: Worker) -> Fault:
        """Return whose fault it is that a worker reached no host: its own only if all hosts live."""
        hosts = [member for member in self._children if isinstance(member, Host)]
        for host in hosts:
            self._children[host].process.join(timeout=_HOST_ENDS_S / len(hosts))
        all_live = len(hosts) == len(self.places) and all(
            host.ready
            and host.started_s < worker.started_s
            and self._children[host].process.is_alive()
            for host in hosts
        )
        return "own" if all_live else "host"

    def clock(self, member: Worker | Host) -> Clock:
        """Return the member's phase."""
        heartbeat = self._children[member].heartbeat
        return Clock(*heartbeat.read(monotonic()), frozenset(heartbeat.members()))

    def announce_stop(self, worker: Worker) -> None:
        """Tell a worker that the host it waits for is being stopped."""
        self._children[worker].heartbeat.mark_host_stopped()

    def remove(self, member: Worker | Host, *, grace_s: float = 0.0) -> EpisodeRecord | None:
        """End a process, and wait until it is gone; return the record of its item if it wrote it."""
        child = self._children.pop(member)
        child.process.join(timeout=grace_s)
        child.kill()
        item = member.item if isinstance(member, Worker) else None
        return None if item is None else _recorded(child.record_file, item)

    def avoid(self, node: str) -> None:
        """Do nothing: there is only this machine."""

    def close(self, idle: Sequence[Worker]) -> None:
        """End all processes."""
        for worker in idle:
            self._send(worker, Stop())
        for worker in idle:
            self._children[worker].process.join(timeout=_STOP_GRACE_S)
        for child in self._children.values():
            child.kill()
        self._children.clear()


def _sharing(arms: Mapping[str, str], hosted: Sequence[str]) -> list[tuple[str, ...]]:
    """Return the hosted arms, those that share a checkpoint together."""
    groups: dict[str, list[str]] = {}
    for name in hosted:
        groups.setdefault(shared_key_of(arms[name]), []).append(name)
    return [tuple(names) for names in groups.values()]


def socket_address(name: str) -> str:
    """Return a socket's address; on Linux it leaves no file behind."""
    if platform.system() == "Linux":
        return f"\0vlaeval-{name}"
    return str(Path(tempfile.gettempdir()) / f"vlaeval-{name}.sock")


def _recorded(path: Path, item: WorkItem) -> EpisodeRecord | None:
    """Return the item's record if the worker has written it, else None."""
    if not path.exists():
        return None
    records = read_records([path])
    for record in reversed(records.attempts):
        if (record.arm, record.key, record.attempt) == (item.arm, item.episode.key, item.attempt):
            return record
    return None
