"""The crew on a Ray cluster. Ray places processes and says who died; it repeats and restarts nothing."""

from __future__ import annotations

import math
import os
import queue
import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from time import monotonic
from typing import Any

import ray

from vla_eval.engine.cluster import Cluster
from vla_eval.engine.crew import (
    Clock,
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
from vla_eval.engine.messages import ArmJob, HostAway, Ready, Start, Stopped, WorkerJob, WorkItem
from vla_eval.engine.process import thread_limits
from vla_eval.engine.ray_actors import HostActor, HostHandle, Loaded, Place, WorkerActor
from vla_eval.engine.ray_cells import Cells
from vla_eval.engine.session import RunSession
from vla_eval.errors import EXIT_INFRASTRUCTURE, InfrastructureError
from vla_eval.runs.folder import RunFolder
from vla_eval.runs.provenance import other_physics, versions
from vla_eval.runs.traces import Attempt
from vla_eval.spec import placement_of

__all__ = ["RayCrew", "environment_of_actors"]

_BEATS_PER_S = 100.0
"""Largest number of questions for phases per second; each costs the driver about a millisecond."""
_SILENT_S = 15.0
"""After so long without an answer, a member's phase goes on."""
_CLOSE_S = 3.0
_PASSED_ON = re.compile(
    r"MUJOCO_GL|PYOPENGL_PLATFORM|PYTHONPATH|PYTHONHASHSEED|VLA_EVAL_\w+|HF_HOME"
)
"""Variables that actors get from the driver; Ray gives them the environment of their node."""

type _Member = Worker | Host


@dataclass
class _Actor:
    """An actor, and what is known of it."""

    handle: Any
    number: int
    clock: Clock = field(default_factory=lambda: Clock("setup", 0.0))
    heard_s: float = field(default_factory=monotonic)
    asked_s: float = 0.0
    is_asked: bool = False
    node_id: str = ""


class RayCrew:
    """Runs workers and policy hosts as actors; see :class:`~vla_eval.engine.crew.Crew`."""

    def __init__(
        self, folder: RunFolder, session: RunSession, slots: int, *, cluster: Cluster
    ) -> None:
        """Prepare; no actor is started yet.

        Args:
            folder: the run; this process writes all its records.
            session: this call.
            slots: largest number of workers at a time.
            cluster: what is asked of the cluster.

        Raises:
            PolicySpecError: an arm's spec names no policy.
        """
        self._run = folder.header.protocol.run
        self._protocol_sha256 = folder.header.protocol_sha256
        self._session, self._cluster, self.slots = session, cluster, slots
        self._arms = {arm.name: arm.spec for arm in folder.header.arms}
        self._hosted = [name for name, text in self._arms.items() if placement_of(text) == "host"]
        self._replicas = math.ceil(slots / cluster.workers_per_host) if self._hosted else 1
        self.places = [
            HostPlace((name,), replica)
            for replica in range(self._replicas)
            for name in self._hosted
        ]
        self._cells = Cells(cluster, self._hosted, slots, self._replicas)
        self._versions = versions()
        self._actors: dict[_Member, _Actor] = {}
        self._arrived: queue.SimpleQueue[tuple[_Member, str, Any]] = queue.SimpleQueue()
        self._items: dict[_Member, WorkItem] = {}
        self._nodes: dict[str, str] = {}
        self._numbers = 0
        self._start = Start({})
        self._placed_s = monotonic()

    def replica_of(self, slot: int) -> int:
        """Return the replica of the hosts that serve the worker in a slot."""
        return slot % self._replicas

    # --- starting ---------------------------------------------------------------------------

    def add_host(self, place: HostPlace) -> Host:
        """Start a policy host."""
        (name,) = place.arms
        wait_s = min(self._run.batch_wait_ms / 1e3, self._run.limits.infer_s)
        actor = _actor_class(HostActor).options(
            **_ONCE,
            **self._cells.of_host(place),
            max_concurrency=self._cluster.workers_per_host + 8,
            runtime_env=environment_of_actors(self._cluster.host_threads),
        )
        handle = actor.remote(name, self._arms[name], (self._run.max_batch, wait_s))
        host = Host(place=place, started_s=math.inf)
        self._take_in(host, handle)
        self._watch(host, "load", handle.load.remote())
        return host

    def add_worker(self, slot: int) -> Worker:
        """Start a worker in a slot."""
        limits = self._run.limits
        job = WorkerJob(
            slot=slot,
            arms={
                name: ArmJob(spec, name if name in self._hosted else None)
                for name, spec in self._arms.items()
            },
            n_action_steps=self._run.n_action_steps,
            realtime=self._run.realtime,
            protocol_sha256=self._protocol_sha256,
            session=self._session.token,
            keeps_actions=self._session.keeps_actions,
            host_wait_s=limits.infer_s * (self._cluster.workers_per_host + 1) + limits.setup_s,
        )
        actor = _actor_class(WorkerActor).options(
            **_ONCE,
            **self._cells.of_worker(slot),
            runtime_env=environment_of_actors(max(1, int(self._cluster.worker_cpus))),
        )
        handle = actor.remote(job)
        worker = Worker(slot=slot, started_s=math.inf)
        self._take_in(worker, handle)
        self._watch(worker, "load", handle.load.remote(self._hosts_of(worker)))
        return worker

    def _take_in(self, member: _Member, handle: Any) -> None:
        self._numbers += 1
        self._actors[member] = _Actor(handle, self._numbers)

    def _hosts_of(self, worker: Worker) -> dict[str, HostHandle]:
        replica, asker = self.replica_of(worker.slot), self._actors[worker].number
        return {
            member.place.arms[0]: HostHandle(actor.handle, actor.number, asker)
            for member, actor in self._actors.items()
            if isinstance(member, Host) and member.place.replica == replica
        }

    def _watch(self, member: _Member, kind: str, reference: Any) -> None:
        """Put the answer of a call into the queue when it is there."""
        reference.future().add_done_callback(
            lambda future: self._arrived.put((member, kind, future))
        )

    # --- working ----------------------------------------------------------------------------

    def greet(self, worker: Worker, start: Start) -> None:
        """Keep the hashes of the policies; they travel with each item."""
        del worker
        self._start = start

    def give(self, worker: Worker, item: WorkItem) -> None:
        """Give an idle worker its next item, and the present hosts."""
        actor = self._actors[worker]
        actor.clock, actor.heard_s = Clock("idle", 0.0), monotonic()
        self._items[worker] = item
        hosts = self._hosts_of(worker)
        self._watch(worker, "run", actor.handle.run.remote(item, self._start, hosts))

    def events(self, timeout_s: float) -> list[Event]:
        """Wait for answers and deaths, and return those that came together."""
        self._ask_for_phases()
        answers = []
        with suppress(queue.Empty):
            answers.append(self._arrived.get(timeout=timeout_s))
            while True:
                answers.append(self._arrived.get_nowait())
        found: list[Event] = []
        gone = set[_Member]()
        for member, kind, future in answers:
            if member not in self._actors or member in gone:
                continue  # a late answer of a member that was removed
            event = self._event_of(member, kind, future)
            if event is not None:
                found.append(event)
            if isinstance(event, Left):
                gone.add(member)
        self._refuse_endless_waiting()
        return found

    def _event_of(self, member: _Member, kind: str, future: Any) -> Event | None:
        try:
            answer = future.result()
        except ray.exceptions.RayError as error:
            return Left(member, *self._death(member, error))
        if kind == "beat":
            self._locate(member, answer.place)
            self._hear(member, answer.clock)
            return None
        if kind == "load":
            return self._welcome(member, answer)
        item = self._items.pop(member)
        if isinstance(answer, Stopped):
            return Refused(member, answer.exit_code, answer.message)
        attempt: Attempt = answer
        assert isinstance(member, Worker)  # noqa: S101 - only workers get items
        return Ended(member, item, attempt.record, to_store=attempt)

    def _welcome(self, member: _Member, loaded: Loaded) -> Event:
        machine = loaded.place.machine
        self._locate(member, loaded.place)
        self._hear(member, Clock("idle", 0.0))
        if changes := other_physics(self._versions, loaded.versions):
            text = (
                f"node {machine} has other simulators than this machine "
                f"({'; '.join(changes)}); install the same there, and repeat the command"
            )
            return Refused(member, EXIT_INFRASTRUCTURE, text)
        match loaded.message:
            case Ready() as ready:
                return Joined(member, ready)
            case HostAway(message=text):
                return Left(member, f"left ({text})", "host")
            case Stopped(exit_code=code, message=text):
                return Refused(member, code, f"node {machine}: {text}")

    def _locate(self, member: _Member, place: Place) -> None:
        self._actors[member].node_id = place.node
        member.node = f"{place.machine} ({place.node[:8]})"
        self._nodes[member.node] = place.node

    def _hear(self, member: _Member, clock: Clock) -> None:
        actor = self._actors[member]
        actor.clock, actor.heard_s, actor.is_asked = clock, monotonic(), False
        self._placed_s = actor.heard_s
        if member.started_s == math.inf:
            member.started_s = actor.heard_s

    def _death(self, member: _Member, error: Exception) -> tuple[str, Fault]:
        """Return how an actor died, and whether its machine is to blame."""
        actor = self._actors[member]
        alive = {node["NodeID"]: node["Alive"] for node in ray.nodes()}
        unavailable = isinstance(error, ray.exceptions.ActorUnavailableError)
        if unavailable or (actor.node_id and not alive.get(actor.node_id, False)):
            return f"died with node {member.node or 'unknown'}", "machine"
        detail = re.search(r"Worker exit detail: ([^.]*)", str(error))
        return f"died ({detail[1].strip() if detail else type(error).__name__})", "own"

    # --- watching ---------------------------------------------------------------------------

    def _ask_for_phases(self) -> None:
        now = monotonic()
        every_s = max(1.0, len(self._actors) / _BEATS_PER_S)
        for member, actor in self._actors.items():
            if not actor.is_asked and now - actor.asked_s >= every_s:
                actor.is_asked, actor.asked_s = True, now
                self._watch(member, "beat", _aside(actor.handle.beat).remote())

    def _refuse_endless_waiting(self) -> None:
        waiting = [each for each in self._actors if each.started_s == math.inf]
        if len(waiting) < len(self._actors) or not waiting:
            self._placed_s = monotonic()
        elif monotonic() - self._placed_s > self._cluster.placement_s:
            raise InfrastructureError(
                f"the cluster had no place for any process of this run for "
                f"{self._cluster.placement_s:.0f} s ({self._shortage()}); ask for less, or wait for "
                "other jobs and repeat the command"
            )

    def _shortage(self) -> str:
        """Return what the run asks for, and what the cluster has free."""
        free = ray.available_resources()
        asked = (
            f"each simulator asks for {self._cluster.worker_cpus:g} CPUs, each policy host for "
            f"{self._cluster.host_gpus:g} GPUs"
        )
        if self._hosted:
            count = math.ceil(self.slots / self._replicas)
            asked += f", and {count} simulators start together with their {len(self._hosted)} hosts"
        return f"{asked}; {free.get('CPU', 0):g} CPUs and {free.get('GPU', 0):g} GPUs are free"

    def clock(self, member: Worker | Host) -> Clock:
        """Return the member's phase, as it told last; without an answer the phase goes on."""
        actor = self._actors[member]
        silent_s = monotonic() - actor.heard_s
        goes_on_s = silent_s if silent_s > _SILENT_S else 0.0
        return Clock(actor.clock.phase, actor.clock.seconds + goes_on_s, actor.clock.slots)

    def announce_stop(self, worker: Worker) -> None:
        """Tell a worker that the host it waits for is being stopped."""
        with suppress(ray.exceptions.RayError):
            ray.get(_aside(self._actors[worker].handle.host_stopped).remote(), timeout=1.0)

    # --- ending -----------------------------------------------------------------------------

    def remove(self, member: Worker | Host, *, grace_s: float = 0.0) -> None:
        """End an actor; answers that it still gives are dropped."""
        del grace_s  # its process ends with it
        hosts = self._hosts_of(member) if isinstance(member, Worker) else {}
        actor = self._actors.pop(member)
        self._items.pop(member, None)
        ray.kill(actor.handle, no_restart=True)
        for host in hosts.values():
            host.actor.forget.remote(host.asker)

    def avoid(self, node: str) -> None:
        """Start no further actor on a node."""
        self._cells.avoid(self._nodes[node])

    def close(self, idle: Sequence[Worker]) -> None:
        """End all actors."""
        closing = [self._actors[worker].handle.close.remote() for worker in idle]
        with suppress(ray.exceptions.RayError):
            ray.wait(closing, num_returns=len(closing), timeout=_CLOSE_S) if closing else None
        for actor in self._actors.values():
            ray.kill(actor.handle, no_restart=True)
        self._actors.clear()
        self._cells.close()


_ONCE: Mapping[str, Any] = {"max_restarts": 0, "max_task_retries": 0}
"""A repetition is an attempt with a record, so Ray must make none."""


def environment_of_actors(threads: int) -> dict[str, Any]:
    """Return the environment of an actor: what decides its records, and never a token."""
    variables = {name: value for name, value in os.environ.items() if _PASSED_ON.fullmatch(name)}
    variables |= thread_limits(threads)
    return {"env_vars": variables}


def _actor_class(kind: type) -> Any:
    """Return an actor class with a thread of its own for the group ``watch``."""
    return ray.remote(concurrency_groups={"watch": 1})(kind)


def _aside(method: Any) -> Any:
    """Return an actor's method, to be called while another one runs."""
    return method.options(concurrency_group="watch")
