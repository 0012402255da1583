"""A crew without processes: what happens to each attempt is written in a script."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from hashlib import sha256

from vla_eval.engine.crew import Clock, Ended, Event, Host, HostPlace, Joined, Left, Refused, Worker
from vla_eval.engine.messages import Ready, Start, WorkItem
from vla_eval.errors import EXIT_INFRASTRUCTURE
from vla_eval.policy import PolicyMetadata
from vla_eval.record import EpisodeRecord, ErrorDetail, Timing
from vla_eval.runs.traces import Attempt
from vla_eval.trace import Tracer

METADATA = PolicyMetadata(name="scripted", method="scripted", chunk_size=1, n_action_steps=1)
TRACE = Tracer(2).trace()
FATES = {"raise": "policy_error", "lost": "host_lost", "broken": "env_error"}


class ScriptedCrew:
    """Plays a script.

    Args:
        fate: (state, attempt) of an item to its fate: ``end``, ``die``, ``node`` (its machine dies),
            ``nothing``, ``hang``, ``late`` (hangs, and answers after its removal), a key of `FATES`, ``host dies``
            (in an inference of this item), ``host leaves`` (dies after it has ended), ``host hangs``, ``refuse``. With the node of its worker in front
            (``n1 die``) it has this fate on this node, and ends elsewhere.
        nodes: where its workers run, in turn.
        waiting: replicas that the cluster has no place for.
    """

    def __init__(
        self,
        fate: Callable[[int, int], str] = lambda state, attempt: "end",
        *,
        arms: Sequence[str] = ("a",),
        hosted: Sequence[str] = (),
        slots: int = 2,
        replicas: int = 1,
        nodes: Sequence[str] = ("",),
        waiting: Sequence[int] = (),
    ) -> None:
        self.fate, self.arms, self.slots, self.replicas = fate, arms, slots, replicas
        self.places = [HostPlace((arm,), r) for r in range(replicas) for arm in hosted]
        self.queue: deque[Event] = deque()
        self.members: list[Worker | Host] = []
        self.clocks: dict[Worker | Host, Clock] = {}
        self.given: list[tuple[int, WorkItem]] = []
        self.late: list[Event] = []
        self.waiting: dict[int, Event] = {}
        self.told_to_stop: list[int] = []
        self.closed_idle = -1
        self.nodes, self.avoided, self.waiting_replicas = nodes, [], waiting

    def replica_of(self, slot: int) -> int:
        return slot % self.replicas

    def add_host(self, place: HostPlace) -> Host:
        return self._add(Host(place=place), place.arms)

    def add_worker(self, slot: int) -> Worker:
        left = [node for node in self.nodes if node not in self.avoided]
        return self._add(Worker(slot=slot, node=left[slot % len(left)]), self.arms)

    def avoid(self, node: str) -> None:
        self.avoided.append(node)

    def _add(self, member, arms):
        self.members.append(member)
        if isinstance(member, Host) and member.place.replica in self.waiting_replicas:
            return member
        self.queue.append(Joined(member, Ready(dict.fromkeys(arms, METADATA), {})))
        return member

    def greet(self, worker: Worker, start: Start) -> None:
        self.start = start

    def give(self, worker: Worker, item: WorkItem) -> None:
        self.given.append((worker.slot, item))
        fate = self.fate(item.episode.key.init_state, item.attempt)
        node, _, there = fate.rpartition(" ")
        if node in self.nodes and node:
            fate = there if node == worker.node else "end"
        match fate:
            case "die":
                self.queue.append(Left(worker, "died (signal 9)"))
            case "node":
                self.queue.append(Left(worker, "died with node n7", "machine"))
            case "hang" | "late":
                self.clocks[worker] = Clock("advance", 1e9)
                if fate == "late":
                    self.late.append(self._ended(worker, item, "end"))
            case "host dies" | "host hangs":
                self._host_in_trouble(worker, item, dies=fate == "host dies")
            case "host leaves":
                left = Left(self._host_of(worker), "died (signal 9)")
                self.queue += [self._ended(worker, item, "end"), left]
            case "refuse":
                self.queue.append(Refused(worker, EXIT_INFRASTRUCTURE, "the disk is full"))
            case "nothing":
                pass
            case _:
                self.queue.append(self._ended(worker, item, fate))

    def _host_of(self, worker: Worker) -> Host:
        replica = self.replica_of(worker.slot)
        return next(
            each
            for each in self.members
            if isinstance(each, Host) and each.place.replica == replica
        )

    def _host_in_trouble(self, worker: Worker, item: WorkItem, *, dies: bool) -> None:
        host = self._host_of(worker)
        self.clocks[host] = Clock("infer", 0.0 if dies else 1e9, frozenset({worker.slot}))
        if dies:
            self.queue += [Left(host, "died (signal 9)"), self._ended(worker, item, "lost")]
        else:
            self.waiting[worker.slot] = self._ended(worker, item, "lost")

    def _ended(self, worker: Worker, item: WorkItem, fate: str) -> Ended:
        key, reason = item.episode.key, FATES.get(fate)
        record = EpisodeRecord(
            arm=item.arm, suite=key.suite, task=key.task, init_state=key.init_state,
            env_seed=key.env_seed, policy_seed=key.policy_seed, env_id=item.episode.env_id,
            attempt=item.attempt, outcome="error" if reason else "success", reason=reason,
            protocol_sha256=self.protocol_sha256, policy_sha256=self.start.policy_sha256[item.arm],
            actions_sha256=TRACE.actions_sha256,
            scene_hash=sha256(str(key).encode()).hexdigest(),
            error=ErrorDetail(type="Scripted", message=fate) if reason else None,
            timing=Timing(started_at=f"2026-01-01T00:00:{item.attempt:02}Z"),
        )  # fmt: skip
        return Ended(worker, item, record, to_store=Attempt(record, TRACE))

    def events(self, timeout_s: float) -> list[Event]:
        events = [*self.queue] or self.late
        self.queue.clear()
        if events is self.late:
            self.late = []
        return events

    def clock(self, member: Worker | Host) -> Clock:
        return self.clocks.get(member, Clock("idle", 0.0))

    def announce_stop(self, worker: Worker) -> None:
        self.told_to_stop.append(worker.slot)
        self.queue.append(self.waiting.pop(worker.slot))

    def remove(self, member: Worker | Host, *, grace_s: float = 0.0) -> None:
        self.members.remove(member)

    def close(self, idle: Sequence[Worker]) -> None:
        self.closed_idle = len(idle)
        self.members.clear()
