"""The supervisor: starts workers and policy hosts, hands out episodes, notices who died or hangs."""

from __future__ import annotations

import os
import platform
import secrets
import tempfile
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from time import monotonic
from typing import Any

from vla_eval.engine.dispatch import Dispatcher
from vla_eval.engine.host import host_main
from vla_eval.engine.messages import (
    ArmJob,
    Done,
    Ready,
    Start,
    Stop,
    Stopped,
    WorkerJob,
    WorkItem,
)
from vla_eval.engine.process import SPAWN, Heartbeat, capped_threads
from vla_eval.engine.worker import error_record, worker_main
from vla_eval.errors import EXIT_USAGE, InfrastructureError, UsageError
from vla_eval.policy import PolicyMetadata
from vla_eval.record import EpisodeRecord, Reason
from vla_eval.runfolder import RunFolder
from vla_eval.spec import PolicySpec, find_factory
from vla_eval.store import RecordWriter, read_records

__all__ = ["Supervisor"]

_POLL_S = 0.25
_STOP_GRACE_S = 3.0
_FUTILE_STARTS = 3
"""So many processes in a row that die while starting end the run."""
_FUTILE_EPISODES = 3
"""So many episodes given up before any other ended end the run."""
_COLLATERAL_CAP = 20
"""So often may an episode be repeated because of somebody else's trouble."""


@dataclass(eq=False)
class _Child:
    process: BaseProcess
    connection: Connection
    heartbeat: Heartbeat
    ready: bool = False

    def kill(self) -> None:
        self.process.kill()
        self.process.join()
        self.connection.close()


@dataclass(eq=False)
class _Worker(_Child):
    slot: int = 0
    record_file: Path = Path()
    item: WorkItem | None = None
    scene: object = None


class Supervisor:
    """Runs work items to their end on this machine."""

    def __init__(
        self,
        folder: RunFolder,
        items: Sequence[WorkItem],
        *,
        workers: int,
        on_record: Callable[[EpisodeRecord], None],
        notify: Callable[[str], None],
    ) -> None:
        """Prepare; nothing is started yet.

        Args:
            folder: the run; its protocol holds limits and batching.
            items: what is to be done.
            workers: how many environments at a time.
            on_record: called with every attempt's record, in this process.
            notify: called with one sentence when something was repaired.
        """
        self._folder = folder
        self._run = folder.run.protocol.run
        self._dispatcher = Dispatcher(items)
        self._slots = max(1, min(workers, len(items)))
        self._on_record = on_record
        self._notify = notify
        self._workers: dict[int, _Worker] = {}
        self._hosts: dict[str, _Child] = {}
        self._arms = {arm.name: arm.spec for arm in folder.run.arms}
        self._addresses: dict[str, str] = {}
        self._authkey = secrets.token_bytes(32)
        self._token = secrets.token_hex(8)
        self._identities: Mapping[str, PolicyMetadata] | None = None
        self._policy_sha256: dict[str, str] = {}
        self._blamed: set[int] = set()
        self._charged: Counter[tuple[str, object]] = Counter()
        self._given_up = 0
        self._ended = 0
        self._futile_starts = 0
        self._files = 0
        self._own_writer = RecordWriter(self._new_record_file("supervisor"))
        self._threads = max(1, (os.cpu_count() or 1) // self._slots)

    def run(self) -> None:
        """Run everything; returns when each item ended or was given up.

        Raises:
            UsageError: a policy or environment cannot be had as asked.
            InfrastructureError: this machine cannot go on (disk full, everything fails).
        """
        try:
            with capped_threads(self._threads):
                self._place_arms()
                while len(self._dispatcher) or any(each.item for each in self._workers.values()):
                    self._keep_staffed()
                    self._listen()
                    self._look_at_clocks()
        finally:
            self._shut_down()

    # --- starting ---------------------------------------------------------------------------

    def _place_arms(self) -> None:
        for number, (name, text) in enumerate(self._arms.items()):
            spec = PolicySpec.parse(text)
            if find_factory(spec).placement(spec.target) == "host":
                self._addresses[name] = _socket_address(f"{self._token}-{number}")

    def _keep_staffed(self) -> None:
        for name in self._addresses:
            if name not in self._hosts:
                self._hosts[name] = self._start_host(name)
        if not all(host.ready for host in self._hosts.values()):
            return
        idle = sum(1 for each in self._workers.values() if each.item is None)
        for slot in range(self._slots):
            if slot not in self._workers and idle < len(self._dispatcher):
                self._workers[slot] = self._start_worker(slot)
                idle += 1

    def _start_host(self, name: str) -> _Child:
        ours, theirs = SPAWN.Pipe()
        heartbeat = Heartbeat(self._slots)
        batching = (self._run.max_batch, self._run.batch_wait_ms / 1e3)
        process = SPAWN.Process(
            target=host_main,
            args=(
                theirs,
                os.getpid(),
                self._arms[name],
                self._addresses[name],
                self._authkey,
                batching,
                heartbeat,
            ),
            name=f"policy-host-{name}",
        )
        process.start()
        theirs.close()
        return _Child(process, ours, heartbeat)

    def _start_worker(self, slot: int) -> _Worker:
        ours, theirs = SPAWN.Pipe()
        heartbeat = Heartbeat()
        record_file = self._new_record_file(f"w{slot}")
        job = WorkerJob(
            parent_pid=os.getpid(),
            slot=slot,
            arms={
                name: ArmJob(spec, self._addresses.get(name)) for name, spec in self._arms.items()
            },
            n_action_steps=self._run.n_action_steps,
            protocol_sha256=self._folder.run.protocol_sha256,
            record_file=record_file,
            authkey=self._authkey,
            host_wait_s=self._run.limits.infer_s * (self._slots + 1),
        )
        process = SPAWN.Process(
            target=worker_main, args=(theirs, job, heartbeat), name=f"worker-{slot}"
        )
        process.start()
        theirs.close()
        return _Worker(process, ours, heartbeat, slot=slot, record_file=record_file)

    def _new_record_file(self, writer: str) -> Path:
        """Return a name that no earlier or parallel process can have taken."""
        self._files += 1
        now = datetime.now(UTC).strftime("%Y%m%dT%H%M%S")
        return self._folder.episodes / f"{now}-{self._token}-{self._files:04d}-{writer}.jsonl"

    # --- listening --------------------------------------------------------------------------

    def _listen(self) -> None:
        children: list[_Child] = [*self._hosts.values(), *self._workers.values()]
        handles: dict[Any, _Child] = {}
        for child in children:
            handles[child.connection] = child
            handles[child.process.sentinel] = child
        for handle in wait(list(handles), timeout=_POLL_S):
            child = handles[handle]
            if not self._is_current(child):
                continue
            if handle is child.connection or child.connection.poll(0):
                self._receive(child)
            else:
                self._bury(child, f"died ({_exit_text(child.process)})")

    def _is_current(self, child: _Child) -> bool:
        return child in self._hosts.values() or child in self._workers.values()

    def _receive(self, child: _Child) -> None:
        try:
            message = child.connection.recv()
        except (EOFError, OSError):
            child.process.join(timeout=_STOP_GRACE_S)
            self._bury(child, f"died ({_exit_text(child.process)})")
            return
        match message:
            case Ready():
                self._welcome(child, message)
            case Done():
                self._account(message)
            case Stopped(exit_code=code, message=text):
                raise UsageError(text) if code == EXIT_USAGE else InfrastructureError(text)

    def _welcome(self, child: _Child, message: Ready) -> None:
        child.ready = True
        self._futile_starts = 0
        if not isinstance(child, _Worker):
            return
        if self._identities is None:
            self._policy_sha256 = self._folder.identify(message.identities)
            self._identities = message.identities
        elif message.identities != self._identities:
            raise InfrastructureError(
                "a policy identifies itself differently in two workers; its metadata must depend "
                "on its spec and files only"
            )
        child.connection.send(Start(self._policy_sha256))
        self._hand_out(child)

    def _hand_out(self, worker: _Worker) -> None:
        others = [each.scene for each in self._workers.values() if each is not worker]
        worker.item = self._dispatcher.take(worker.scene, others)
        if worker.item is None:
            worker.connection.send(Stop())
            worker.process.join(timeout=_STOP_GRACE_S)
            worker.kill()
            del self._workers[worker.slot]
            return
        worker.scene = worker.item.episode.scene
        try:
            worker.connection.send(worker.item)
        except OSError:
            self._bury(worker, f"died ({_exit_text(worker.process)})")

    def _account(self, message: Done) -> None:
        """Count an attempt that its worker recorded."""
        worker = next(each for each in self._workers.values() if each.item == message.item)
        worker.item = None
        self._on_record(message.record)
        if message.record.outcome != "error":
            self._ended += 1
            self._hand_out(worker)
            return
        worker.process.join(timeout=_STOP_GRACE_S)
        worker.kill()
        del self._workers[worker.slot]
        innocent = message.record.reason == "host_lost" and worker.slot not in self._blamed
        self._blamed.discard(worker.slot)
        text = message.record.error.message if message.record.error else ""
        self._retry(message.item, charge=not innocent, why=f"{message.record.reason}: {text}")

    # --- when something goes wrong ----------------------------------------------------------

    def _look_at_clocks(self) -> None:
        limits = self._run.limits
        now = monotonic()
        for name, host in list(self._hosts.items()):
            phase, seconds = host.heartbeat.read(now)
            if host.ready and phase == "infer" and seconds > limits.infer_s:
                self._bury(host, f"was stopped: one inference took over {limits.infer_s:g} s")
            elif phase == "setup" and seconds > limits.setup_s:
                raise InfrastructureError(
                    f"arm '{name}': loading the policy took over {limits.setup_s:g} s "
                    "(run.limits.setup_s)"
                )
        for worker in list(self._workers.values()):
            phase, seconds = worker.heartbeat.read(now)
            hosted = worker.item is not None and worker.item.arm in self._addresses
            if phase == "idle" or (phase == "infer" and hosted):
                continue
            limit = {"infer": limits.infer_s, "setup": limits.setup_s, "build": limits.setup_s}
            if seconds > limit.get(phase, limits.env_s):
                reason: Reason = "policy_timeout" if phase == "infer" else "env_timeout"
                what = f"was stopped: '{phase}' took over {limit.get(phase, limits.env_s):g} s"
                self._bury(worker, what, reason)

    def _bury(self, child: _Child, what: str, reason: Reason = "worker_died") -> None:
        """Remove a child that died or has to; its episode gets another chance."""
        started = child.ready
        child.kill()
        if isinstance(child, _Worker):
            del self._workers[child.slot]
            self._bury_worker(child, what, reason)
        else:
            name = next(each for each, host in self._hosts.items() if host is child)
            del self._hosts[name]
            if child.heartbeat.read(monotonic())[0] == "infer":
                self._blamed |= child.heartbeat.members()
            self._notify(f"the policy host of arm '{name}' {what}; starting another")
        if not started:
            self._futile_starts += 1
            if self._futile_starts >= _FUTILE_STARTS:
                raise InfrastructureError(
                    f"{child.process.name} {what} while starting, {_FUTILE_STARTS} times in a row; "
                    "see the messages above, and try: vlaeval doctor"
                )

    def _bury_worker(self, worker: _Worker, what: str, reason: Reason) -> None:
        item = worker.item
        if item is None:
            return
        recorded = _recorded(worker.record_file, item)
        if recorded is not None:  # it died between the fsync and the message
            self._on_record(recorded)
            self._ended += int(recorded.outcome != "error")
            if recorded.outcome == "error":
                self._retry(item, charge=True, why=str(recorded.reason))
            return
        record = error_record(
            item,
            reason,
            f"worker {what}",
            self._folder.run.protocol_sha256,
            self._policy_sha256[item.arm],
        )
        self._own_writer.append(record)
        self._on_record(record)
        self._retry(item, charge=True, why=f"worker {worker.slot} {what}")

    def _retry(self, item: WorkItem, *, charge: bool, why: str) -> None:
        slot = (item.arm, item.episode.key)
        self._charged[slot] += int(charge)
        if self._charged[slot] <= self._run.limits.retries and item.attempt <= _COLLATERAL_CAP:
            self._notify(f"{item.arm} {item.episode.key}: {why}; trying again")
            self._dispatcher.put_back(replace(item, attempt=item.attempt + 1))
            return
        self._given_up += 1
        self._notify(f"{item.arm} {item.episode.key}: {why}; given up, reported as missing")
        if self._ended == 0 and self._given_up >= _FUTILE_EPISODES:
            raise InfrastructureError(
                f"the first {self._given_up} episodes all ended in errors, the last with: {why}; "
                "the run stopped, nothing was scored; mend it, then repeat the command"
            )

    def _shut_down(self) -> None:
        for worker in self._workers.values():
            if worker.item is None and worker.ready:
                try:
                    worker.connection.send(Stop())
                    worker.process.join(timeout=_STOP_GRACE_S)
                except OSError:
                    continue
        for child in [*self._workers.values(), *self._hosts.values()]:
            child.kill()
        self._workers.clear()
        self._hosts.clear()
        self._own_writer.close()


def _socket_address(name: str) -> str:
    """Return a socket that leaves no file behind where the system knows such (Linux)."""
    if platform.system() == "Linux":
        return f"\0vlaeval-{name}"
    return str(Path(tempfile.gettempdir()) / f"vlaeval-{name}.sock")


def _exit_text(process: BaseProcess) -> str:
    code = process.exitcode
    if code is not None and code < 0:
        return f"signal {-code}"
    return f"exit code {code}"


def _recorded(path: Path, item: WorkItem) -> EpisodeRecord | None:
    """Return the item's record, where the worker got as far as writing it."""
    if not path.exists():
        return None
    records = read_records([path])
    for record in reversed(records.attempts):
        if (record.arm, record.key, record.attempt) == (item.arm, item.episode.key, item.attempt):
            return record
    return None
