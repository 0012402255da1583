"""The supervisor: hands out episodes, notices dead or hung processes, repeats what they lost.

It knows no process: whatever runs where is the crew's business (:mod:`vla_eval.engine.crew`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from time import monotonic

from vla_eval.engine.agenda import Agenda, Block
from vla_eval.engine.crew import (
    Crew,
    Ended,
    Event,
    Fault,
    Host,
    HostPlace,
    Joined,
    Left,
    Refused,
    Worker,
)
from vla_eval.engine.deaths import ON_A_NODE, Deaths, Nodes, refuse_futile
from vla_eval.engine.dispatch import next_item
from vla_eval.engine.messages import Start, Target, WorkItem
from vla_eval.engine.session import RunSession
from vla_eval.engine.worker import error_record
from vla_eval.episode import Phase
from vla_eval.errors import EXIT_USAGE, InfrastructureError, UsageError
from vla_eval.policy import PolicyMetadata
from vla_eval.record import EpisodeRecord, Reason
from vla_eval.runs.folder import RunFolder
from vla_eval.runs.store import Records
from vla_eval.runs.traces import Attempt, AttemptWriter

__all__ = ["Supervisor"]

_POLL_S = 0.25
_STOP_GRACE_S = 3.0
_POLICY_PHASES: tuple[Phase, ...] = ("warm_up", "infer", "end_episode")
_COLLATERAL_CAP = 20
"""Largest number of repeats of an episode, repeats after failures that it did not cause included."""


class Supervisor:
    """Runs work items until each has ended or was given up."""

    def __init__(
        self,
        folder: RunFolder,
        blocks: Iterable[Block],
        *,
        session: RunSession,
        crew: Crew,
        ended: int,
        errors: Iterable[EpisodeRecord],
        on_record: Callable[[EpisodeRecord], None],
        notify: Callable[[str], None],
    ) -> None:
        """Prepare; no process is started yet.

        Args:
            folder: the run; its protocol holds limits and batching.
            blocks: the items to run; see :class:`~vla_eval.engine.agenda.Agenda`.
            session: this call.
            crew: starts and reaches the processes; the supervisor closes it.
            ended: number of the run's episodes that have ended already, without those that ended by an
                exception of the policy.
            errors: the earlier attempts of the run that ended in errors.
            on_record: called in this process with the record of every attempt, or with the failure that
                follows from that record.
            notify: called with one sentence after a repair.
        """
        self._folder = folder
        self._run = folder.header.protocol.run
        self._session = session
        self._crew = crew
        self._agenda = Agenda(blocks)
        self._on_record = on_record
        self._notify = notify
        self._workers: dict[int, Worker] = {}
        self._hosts: dict[HostPlace, Host] = {}
        self._hosted = frozenset(arm for place in crew.places for arm in place.arms)
        self._identities: Mapping[str, PolicyMetadata] | None = None
        self._policy_sha256: dict[str, str] = {}
        self._blamed: set[int] = set()
        self._charged: Counter[Target] = Counter()
        self._given_up = 0
        self._ended = ended
        self._errors = Records()
        for error in errors:
            self._errors.add(error, "")
        self._raised = sum(record.outcome != "error" for record in self._errors.final.values())
        self._deaths, self._nodes = Deaths(), Nodes()
        self._clocks_at_s = 0.0
        self._own_writer = AttemptWriter(session.new_record_file("supervisor"))

    def run(self) -> None:
        """Run all items; return when each has ended or was given up.

        Raises:
            UsageError: a policy or environment cannot be built as requested.
            InfrastructureError: this machine cannot go on (disk full, everything fails).
        """
        try:
            while self._agenda.go_on():
                self._keep_staffed()
                self._listen()
                self._look_at_clocks()
        finally:
            self._shut_down()

    # --- starting ---------------------------------------------------------------------------

    def _keep_staffed(self) -> None:
        for place in self._crew.places:
            if place not in self._hosts:
                self._hosts[place] = self._crew.add_host(place)
        for worker in list(self._workers.values()):
            if worker.ready and worker.item is None and len(self._agenda):
                self._hand_out(worker)
        idle = sum(1 for worker in self._workers.values() if worker.item is None)
        for slot in range(self._crew.slots):
            if slot in self._workers or idle >= len(self._agenda):
                continue
            if self._has_hosts(slot):
                self._workers[slot] = self._crew.add_worker(slot)
                idle += 1

    def _has_hosts(self, slot: int) -> bool:
        """Return whether each policy host of a worker's replica has loaded its policies."""
        return all(
            place in self._hosts and self._hosts[place].ready for place in self._places_of(slot)
        )

    def _places_of(self, slot: int) -> Iterator[HostPlace]:
        replica = self._crew.replica_of(slot)
        return (place for place in self._crew.places if place.replica == replica)

    # --- listening --------------------------------------------------------------------------

    def _listen(self) -> None:
        events = self._crew.events(_POLL_S)
        self._own_writer.extend(
            event.to_store for event in events if isinstance(event, Ended) and event.to_store
        )
        for event in events:
            if self._is_current(event.member):
                self._take(event)

    def _is_current(self, member: Worker | Host) -> bool:
        if isinstance(member, Worker):
            return self._workers.get(member.slot) is member
        return self._hosts.get(member.place) is member

    def _take(self, event: Event) -> None:
        match event:
            case Joined():
                self._welcome(event)
            case Ended():
                self._account(event)
            case Left(member=member, how=how):
                self._bury(member, how, fault=event.fault)
            case Refused(exit_code=code, message=text):
                raise UsageError(text) if code == EXIT_USAGE else InfrastructureError(text)

    def _welcome(self, event: Joined) -> None:
        member, ready = event.member, event.ready
        member.ready = True
        self._session.recognise(member.name, ready)
        if isinstance(member, Host):
            return
        self._deaths.forget(member.name)
        if self._identities is None:
            self._policy_sha256 = self._folder.identify(ready.identities)
            self._identities = ready.identities
        self._crew.greet(member, Start(self._policy_sha256))
        self._hand_out(member)

    def _hand_out(self, worker: Worker) -> None:
        """Give a worker the next item; the worker waits if there is no item or a host is missing."""
        if worker.node in self._nodes.out:
            self._crew.remove(worker)
            del self._workers[worker.slot]
            return
        if not self._has_hosts(worker.slot):
            return
        others = [other for other in self._workers.values() if other is not worker]
        worker.item = self._agenda.take(
            worker.scene,
            [other.scene for other in others],
            node=worker.node,
            is_elsewhere=lambda: any(
                other.ready and other.node != worker.node and self._has_hosts(other.slot)
                for other in others
            ),
        )
        if worker.item is not None:
            worker.scene = worker.item.episode.scene
            self._crew.give(worker, worker.item)

    def _account(self, event: Ended) -> None:
        """Count an attempt whose record is on disk."""
        worker, record = event.worker, event.record
        worker.item = None
        if record.timing.warm_up_s:
            self._folder.note_warm_up(record.arm, record.timing.warm_up_s)
        has_ended = self._note(record, worker)
        if has_ended:
            self._agenda.close(event.item)
        if record.outcome != "error":
            self._hand_out(worker)
            return
        self._crew.remove(worker, grace_s=_STOP_GRACE_S)
        del self._workers[worker.slot]
        if record.reason == "env_error":
            self._lose_on(worker.node)
        lost = record.arm in self._hosted and record.reason in ("host_lost", "policy_timeout")
        innocent = lost and worker.slot not in self._blamed
        self._blamed.discard(worker.slot)
        if not has_ended:
            self._retry(event.item, charge=not innocent, why=_why(record), node=worker.node)

    def _note(self, record: EpisodeRecord, worker: Worker) -> bool:
        """Count the record of an attempt; return whether its episode has ended."""
        if record.outcome != "error":
            self._on_record(record)
            self._ended += 1
            self._nodes.forget(worker.node)
            for place in self._places_of(worker.slot):
                if record.arm in place.arms:
                    self._deaths.forget(place.name)
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
        if now - self._clocks_at_s < _POLL_S:
            return  # many workers make many events, and none of them moves a clock
        self._clocks_at_s = now
        members: list[Worker | Host] = [*self._hosts.values(), *self._workers.values()]
        for member in members:
            if not member.ready and now - member.started_s > self._run.limits.setup_s:
                raise InfrastructureError(
                    f"{member.name}: loading the policies took over "
                    f"{self._run.limits.setup_s:g} s (run.limits.setup_s)"
                )
        for host in list(self._hosts.values()):
            self._look_at_host(host)
        for worker in list(self._workers.values()):
            if worker.item is not None:
                self._look_at_worker(worker, worker.item)

    def _look_at_host(self, host: Host) -> None:
        clock = self._crew.clock(host)
        limit = self._limit_of(clock.phase)
        if not host.ready or clock.phase == "idle" or clock.seconds <= limit:
            return
        for slot in clock.slots & self._workers.keys():
            self._crew.announce_stop(self._workers[slot])
        self._bury(host, f"was stopped: '{clock.phase}' took over {limit:g} s")

    def _look_at_worker(self, worker: Worker, item: WorkItem) -> None:
        clock = self._crew.clock(worker)
        if clock.phase in _POLICY_PHASES and item.arm in self._hosted:
            return  # the host's clock counts, and the worker's own wait is limited too
        reason: Reason = "policy_timeout" if clock.phase in _POLICY_PHASES else "env_timeout"
        limit = self._limit_of(clock.phase)
        if clock.seconds > limit:
            self._bury(worker, f"was stopped: '{clock.phase}' took over {limit:g} s", reason)

    def _limit_of(self, phase: Phase) -> float:
        limits = self._run.limits
        if phase in ("setup", "build", "warm_up"):
            return limits.setup_s
        return limits.infer_s if phase in _POLICY_PHASES else limits.env_s

    def _bury(
        self,
        member: Worker | Host,
        what: str,
        reason: Reason = "worker_died",
        *,
        fault: Fault = "own",
    ) -> None:
        """End and remove a member that is gone or hangs; its episode is tried again."""
        if isinstance(member, Host):
            self._bury_host(member, what, fault)
            return
        recorded = self._crew.remove(member)
        del self._workers[member.slot]
        if member.item is not None:
            if recorded is None:
                self._lose(member, member.item, what, reason, fault)
            elif self._note(recorded, member):  # it died between the fsync and the message
                self._agenda.close(member.item)
            else:
                self._retry(member.item, charge=True, why=_why(recorded), node=member.node)
        if fault != "own":
            return
        self._lose_on(member.node)
        if not member.ready:
            self._deaths.note(member.name, what, "it could take an episode")

    def _lose_on(self, node: str) -> None:
        """Count a process that was lost on a node, and do without the node when it loses too many."""
        members: list[Worker | Host] = [*self._workers.values(), *self._hosts.values()]
        if self._nodes.lose(node, (member.node for member in members if member.ready)):
            self._crew.avoid(node)
            self._notify(
                f"node {node} lost {ON_A_NODE} processes in a row; it is out of use for this run"
            )

    def _bury_host(self, host: Host, what: str, fault: Fault) -> None:
        clock = self._crew.clock(host)
        self._crew.remove(host)
        del self._hosts[host.place]
        self._notify(f"{host.name} {what}; starting another")
        if fault != "own":
            return
        self._lose_on(host.node)
        if clock.phase in _POLICY_PHASES:
            self._blamed |= clock.slots
        else:
            arms = " or ".join(f"'{arm}'" for arm in host.place.arms)
            self._deaths.note(host.name, what, f"an episode of {arms} ended")

    def _lose(
        self, worker: Worker, item: WorkItem, what: str, reason: Reason, fault: Fault
    ) -> None:
        """Record and repeat the attempt of a worker that could not record it."""
        record = error_record(
            item,
            reason,
            f"worker {what}",
            protocol_sha256=self._folder.header.protocol_sha256,
            policy_sha256=self._policy_sha256[item.arm],
            session=self._session.token,
        )
        self._own_writer.extend([Attempt(record, None)])
        self._note(record, worker)
        self._retry(
            item, charge=fault == "own", why=f"worker {worker.slot} {what}", node=worker.node
        )

    def _retry(self, item: WorkItem, *, charge: bool, why: str, node: str) -> None:
        """Hand an item out again after an attempt on a node, or give it up."""
        target = item.target
        self._charged[target] += int(charge)
        if self._charged[target] <= self._run.limits.retries and item.attempt <= _COLLATERAL_CAP:
            self._notify(f"{item.arm} {item.episode.key}: {why}; trying again")
            again = next_item(item.arm, item.episode, self._errors.errors[target])
            self._agenda.put_back(again, node)
            return
        self._agenda.close(item)
        self._given_up += 1
        self._notify(f"{item.arm} {item.episode.key}: {why}; given up, reported as missing")
        self._stop_if_futile(why)

    def _stop_if_futile(self, why: str) -> None:
        """End a run in which every episode so far ended in errors."""
        if not self._ended:
            refuse_futile(self._given_up, self._raised, why)

    def _shut_down(self) -> None:
        idle = [worker for worker in self._workers.values() if worker.item is None and worker.ready]
        self._crew.close(idle)
        self._workers.clear()
        self._hosts.clear()
        self._own_writer.close()


def _why(record: EpisodeRecord) -> str:
    return f"{record.reason}: {record.error.message if record.error else ''}"
