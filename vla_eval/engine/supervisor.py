"""The supervisor: starts workers and policy hosts, hands out episodes, notices dead or hung ones."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from multiprocessing.connection import wait
from pathlib import Path
from time import monotonic
from typing import Any

from vla_eval.engine.children import Child, Launcher, WorkerChild, exit_text
from vla_eval.engine.deaths import Deaths
from vla_eval.engine.dispatch import Dispatcher, next_item
from vla_eval.engine.messages import (
    Done,
    HostAway,
    Ready,
    Start,
    Stop,
    Stopped,
    WorkItem,
)
from vla_eval.engine.worker import error_record
from vla_eval.episode import Phase
from vla_eval.errors import EXIT_USAGE, InfrastructureError, UsageError
from vla_eval.policy import PolicyMetadata
from vla_eval.record import EpisodeRecord, Reason
from vla_eval.runs.folder import RunFolder
from vla_eval.runs.store import Records, RecordWriter, read_records

__all__ = ["Supervisor"]

_POLL_S = 0.25
_STOP_GRACE_S = 3.0
_HOST_ENDS_S = 1.0
"""Longest time between the loss of a dying host's sockets and its end."""
_FUTILE_EPISODES = 3
"""Number of episodes lost to errors that ends a run in which no other episode has ended."""
_POLICY_PHASES: tuple[Phase, ...] = ("warm_up", "infer", "end_episode")
_COLLATERAL_CAP = 20
"""Largest number of repeats of an episode, repeats after failures that it did not cause included."""


class Supervisor:
    """Runs work items on this machine until each has ended or was given up."""

    def __init__(
        self,
        folder: RunFolder,
        blocks: Iterable[Sequence[WorkItem]],
        *,
        workers: int,
        ended: int,
        errors: Iterable[EpisodeRecord],
        on_record: Callable[[EpisodeRecord], None],
        notify: Callable[[str], None],
    ) -> None:
        """Prepare; no process is started yet.

        Args:
            folder: the run; its protocol holds limits and batching.
            blocks: the items to run; the next block is taken when all items of the last have ended.
            workers: number of environments at a time.
            ended: number of the run's episodes that have ended already, without those that ended by an
                exception of the policy.
            errors: the earlier attempts of the run that ended in errors.
            on_record: called in this process with the record of every attempt, or with the failure that
                follows from that record.
            notify: called with one sentence after a repair.
        """
        self._folder = folder
        self._run = folder.header.protocol.run
        self._blocks = iter(blocks)
        self._dispatcher = Dispatcher()
        self._slots = max(1, workers)
        self._on_record = on_record
        self._notify = notify
        self._workers: dict[int, WorkerChild] = {}
        self._hosts: dict[str, Child] = {}
        self._launcher = Launcher(folder, self._slots)
        self._identities: Mapping[str, PolicyMetadata] | None = None
        self._policy_sha256: dict[str, str] = {}
        self._blamed: set[int] = set()
        self._charged: Counter[tuple[str, object]] = Counter()
        self._given_up = 0
        self._ended = ended
        self._errors = Records()
        for error in errors:
            self._errors.add(error, "")
        self._raised = sum(record.outcome != "error" for record in self._errors.final.values())
        self._deaths = Deaths()
        self._own_writer = RecordWriter(self._launcher.new_record_file("supervisor"))

    def run(self) -> None:
        """Run all items; return when each has ended or was given up.

        Raises:
            UsageError: a policy or environment cannot be built as requested.
            InfrastructureError: this machine cannot go on (disk full, everything fails).
        """
        try:
            while self._is_busy() or self._begin_block():
                self._keep_staffed()
                self._listen()
                self._look_at_clocks()
        finally:
            self._shut_down()

    def _is_busy(self) -> bool:
        return len(self._dispatcher) > 0 or any(worker.item for worker in self._workers.values())

    def _begin_block(self) -> bool:
        """Take the next block; return False if there is none."""
        items = next(self._blocks, None)
        if items is None:
            return False
        self._dispatcher.add(items)
        return True

    # --- starting ---------------------------------------------------------------------------

    def _keep_staffed(self) -> None:
        for name in self._launcher.addresses:
            if name not in self._hosts:
                self._hosts[name] = self._launcher.start_host(name)
        if not self._has_all_hosts():
            return
        for worker in list(self._workers.values()):
            if worker.ready and worker.item is None and len(self._dispatcher):
                self._hand_out(worker)
        idle = sum(1 for worker in self._workers.values() if worker.item is None)
        for slot in range(self._slots):
            if slot not in self._workers and idle < len(self._dispatcher):
                self._workers[slot] = self._launcher.start_worker(slot)
                idle += 1

    def _has_all_hosts(self) -> bool:
        """Return whether each policy host has started and loaded its policy."""
        ready = {name for name, host in self._hosts.items() if host.ready}
        return ready == set(self._launcher.addresses)

    # --- listening --------------------------------------------------------------------------

    def _listen(self) -> None:
        children: list[Child] = [*self._hosts.values(), *self._workers.values()]
        handles: dict[Any, Child] = {}
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
                self._bury(child, f"died ({exit_text(child.process)})")

    def _is_current(self, child: Child) -> bool:
        return child in self._hosts.values() or child in self._workers.values()

    def _receive(self, child: Child) -> None:
        try:
            message = child.connection.recv()
        except (EOFError, OSError):
            self._bury(child, f"died ({exit_text(child.process)})")
            return
        match message:
            case Ready():
                self._welcome(child, message)
            case Done() if isinstance(child, WorkerChild):
                self._account(child, message)
            case HostAway(message=text) if isinstance(child, WorkerChild):
                self._let_go(child, text)
            case Stopped(exit_code=code, message=text):
                raise UsageError(text) if code == EXIT_USAGE else InfrastructureError(text)

    def _welcome(self, child: Child, message: Ready) -> None:
        child.ready = True
        self._launcher.recognise(child.process.name, message)
        if not isinstance(child, WorkerChild):
            return
        self._deaths.forget(_worker_name(child))
        if self._identities is None:
            self._policy_sha256 = self._folder.identify(message.identities)
            self._identities = message.identities
        if self._send(child, Start(self._policy_sha256)):
            self._hand_out(child)

    def _hand_out(self, worker: WorkerChild) -> None:
        """Give a worker the next item; the worker waits if there is no item or a host is missing."""
        if not self._has_all_hosts():
            return
        others = [other.scene for other in self._workers.values() if other is not worker]
        worker.item = self._dispatcher.take(worker.scene, others)
        if worker.item is not None:
            worker.scene = worker.item.episode.scene
            self._send(worker, worker.item)

    def _send(self, child: Child, message: object) -> bool:
        """Send a message, and return whether the child was alive; a dead child is buried."""
        try:
            child.connection.send(message)
        except OSError:
            self._bury(child, f"died ({exit_text(child.process)})")
            return False
        return True

    def _account(self, worker: WorkerChild, message: Done) -> None:
        """Count an attempt that its worker recorded."""
        worker.item = None
        if message.record.timing.warm_up_s:
            self._folder.note_warm_up(message.record.arm, message.record.timing.warm_up_s)
        has_ended = self._note(message.record)
        if message.record.outcome != "error":
            self._hand_out(worker)
            return
        worker.process.join(timeout=_STOP_GRACE_S)
        worker.kill()
        del self._workers[worker.slot]
        hosted = message.item.arm in self._launcher.addresses
        lost = hosted and message.record.reason in ("host_lost", "policy_timeout")
        innocent = lost and worker.slot not in self._blamed
        self._blamed.discard(worker.slot)
        if not has_ended:
            self._retry(message.item, charge=not innocent, why=_why(message.record))

    def _note(self, record: EpisodeRecord) -> bool:
        """Count the record of an attempt; return whether its episode has ended."""
        if record.outcome != "error":
            self._on_record(record)
            self._ended += 1
            self._deaths.forget(_host_name(record.arm))
            return True
        self._errors.add(record, "")
        result = self._errors.final[record.arm, record.key]
        if result.outcome == "error":
            self._on_record(record)
            return False
        self._on_record(result)
        self._raised += 1
        self._notify(
            f"{record.arm} {record.key}: the policy raised the same in the same place again "
            f"({_why(record)}); this is its failure, policy_raised"
        )
        self._stop_if_futile(_why(record))
        return True

    # --- when something goes wrong ----------------------------------------------------------

    def _look_at_clocks(self) -> None:
        now = monotonic()
        for child in [*self._hosts.values(), *self._workers.values()]:
            if not child.ready and now - child.started_s > self._run.limits.setup_s:
                raise InfrastructureError(
                    f"{child.process.name}: loading the policies took over "
                    f"{self._run.limits.setup_s:g} s (run.limits.setup_s)"
                )
        for host in list(self._hosts.values()):
            phase, seconds = host.heartbeat.read(now)
            limit = self._limit_of(phase)
            if host.ready and phase != "idle" and seconds > limit:
                for worker in self._workers.values():
                    if worker.slot in host.heartbeat.members():
                        worker.heartbeat.mark_host_stopped()
                self._bury(host, f"was stopped: '{phase}' took over {limit:g} s")
        for worker in list(self._workers.values()):
            if worker.item is not None:
                self._look_at_worker(worker, *worker.heartbeat.read(now))

    def _look_at_worker(self, worker: WorkerChild, phase: Phase, seconds: float) -> None:
        hosted = worker.item is not None and worker.item.arm in self._launcher.addresses
        if phase in _POLICY_PHASES and hosted:
            return  # the host's clock counts, and the worker's own wait is limited too
        reason: Reason = "policy_timeout" if phase in _POLICY_PHASES else "env_timeout"
        limit = self._limit_of(phase)
        if seconds > limit:
            self._bury(worker, f"was stopped: '{phase}' took over {limit:g} s", reason)

    def _limit_of(self, phase: Phase) -> float:
        limits = self._run.limits
        if phase in ("setup", "build", "warm_up"):
            return limits.setup_s
        return limits.infer_s if phase in _POLICY_PHASES else limits.env_s

    def _bury(self, child: Child, what: str, reason: Reason = "worker_died") -> None:
        """End and remove a child that died or hangs; its episode is tried again."""
        child.kill()
        if isinstance(child, WorkerChild):
            del self._workers[child.slot]
            self._bury_worker(child, what, reason)
            if not child.ready:
                self._deaths.note(_worker_name(child), what, "it could take an episode")
            return
        name = next(arm for arm, host in self._hosts.items() if host is child)
        del self._hosts[name]
        self._notify(f"{_host_name(name)} {what}; starting another")
        if child.heartbeat.read(monotonic())[0] in _POLICY_PHASES:
            self._blamed |= child.heartbeat.members()
        else:
            self._deaths.note(_host_name(name), what, f"an episode of '{name}' ended")

    def _let_go(self, worker: WorkerChild, why: str) -> None:
        """Remove a worker that reached no policy host; this is its own death only if all hosts live."""
        worker.kill()
        del self._workers[worker.slot]
        hosts = list(self._hosts.values())
        for host in hosts:
            host.process.join(timeout=_HOST_ENDS_S / len(hosts))
        if self._has_all_hosts() and all(
            host.process.is_alive() and host.started_s < worker.started_s for host in hosts
        ):
            self._deaths.note(_worker_name(worker), f"left ({why})", "it could take an episode")

    def _bury_worker(self, worker: WorkerChild, what: str, reason: Reason) -> None:
        item = worker.item
        if item is None:
            return
        recorded = _recorded(worker.record_file, item)
        if recorded is not None:  # it died between the fsync and the message
            if not self._note(recorded):
                self._retry(item, charge=True, why=_why(recorded))
            return
        record = error_record(
            item,
            reason,
            f"worker {what}",
            protocol_sha256=self._folder.header.protocol_sha256,
            policy_sha256=self._policy_sha256[item.arm],
            session=self._launcher.session,
        )
        self._own_writer.append(record)
        self._note(record)
        self._retry(item, charge=True, why=f"worker {worker.slot} {what}")

    def _retry(self, item: WorkItem, *, charge: bool, why: str) -> None:
        slot = item.arm, item.episode.key
        self._charged[slot] += int(charge)
        if self._charged[slot] <= self._run.limits.retries and item.attempt <= _COLLATERAL_CAP:
            self._notify(f"{item.arm} {item.episode.key}: {why}; trying again")
            self._dispatcher.put_back(next_item(item.arm, item.episode, self._errors.errors[slot]))
            return
        self._given_up += 1
        self._notify(f"{item.arm} {item.episode.key}: {why}; given up, reported as missing")
        self._stop_if_futile(why)

    def _stop_if_futile(self, why: str) -> None:
        """End a run in which every episode so far ended in errors."""
        count = self._given_up + self._raised
        if self._ended or count < _FUTILE_EPISODES:
            return
        sentence = (
            f"the first {count} episodes all ended in errors, the last with: {why}; the run stopped"
        )
        if self._raised:
            raise InfrastructureError(
                f"{sentence} since the set-up may be wrong (a camera's name, for example): then fix it "
                f"and use a new folder, for here {self._raised} count as the policy's failures; if it "
                "is the policy, repeat the command to go on"
            )
        raise InfrastructureError(
            f"{sentence}, nothing was scored; fix it, then repeat the command"
        )

    def _shut_down(self) -> None:
        idle = [worker for worker in self._workers.values() if worker.item is None and worker.ready]
        for worker in idle:
            with suppress(OSError):
                worker.connection.send(Stop())
        for worker in idle:
            worker.process.join(timeout=_STOP_GRACE_S)
        for child in [*self._workers.values(), *self._hosts.values()]:
            child.kill()
        self._workers.clear()
        self._hosts.clear()
        self._own_writer.close()


def _worker_name(worker: WorkerChild) -> str:
    return f"worker {worker.slot}"


def _host_name(arm: str) -> str:
    return f"the policy host of arm '{arm}'"


def _why(record: EpisodeRecord) -> str:
    return f"{record.reason}: {record.error.message if record.error else ''}"


def _recorded(path: Path, item: WorkItem) -> EpisodeRecord | None:
    """Return the item's record if the worker has written it, else None."""
    if not path.exists():
        return None
    records = read_records([path])
    for record in reversed(records.attempts):
        if (record.arm, record.key, record.attempt) == (item.arm, item.episode.key, item.attempt):
            return record
    return None
