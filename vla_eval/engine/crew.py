"""The crew: everything that the supervisor asks of the processes that do the work.

The supervisor decides what runs, what is repeated and whose fault a death was. A crew starts, reaches
and loses processes, on this machine (:mod:`vla_eval.engine.local`) or elsewhere.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from time import monotonic
from typing import Literal, Protocol

from vla_eval.engine.messages import Ready, Start, WorkItem
from vla_eval.episode import Phase
from vla_eval.record import EpisodeRecord
from vla_eval.runs.traces import Attempt

__all__ = [
    "Clock",
    "Crew",
    "Ended",
    "Event",
    "Fault",
    "Host",
    "HostPlace",
    "Joined",
    "Left",
    "Member",
    "Refused",
    "Worker",
]


type Fault = Literal["own", "host", "machine"]
"""Cause of a death: the member itself; a host that it did not reach at its start; its machine."""


@dataclass(frozen=True)
class HostPlace:
    """Place of a policy host; the successor of a dead host takes over its place."""

    arms: tuple[str, ...]
    """The arms whose policies it holds."""
    replica: int = 0
    """Number of the group of workers that it serves."""

    @property
    def name(self) -> str:
        """Name in messages."""
        whose = " and ".join(f"'{arm}'" for arm in self.arms)
        which = f", replica {self.replica}" if self.replica else ""
        return f"the policy host of arm{'s' * (len(self.arms) > 1)} {whose}{which}"


@dataclass(eq=False)
class Member:
    """A process of the crew, as the supervisor knows it."""

    ready: bool = False
    started_s: float = field(default_factory=monotonic)
    """Time of its start, by the supervisor's monotonic clock."""
    node: str = ""
    """Name of the cluster's node on which it runs, once it is known; empty on this machine."""


@dataclass(eq=False)
class Host(Member):
    """A policy host."""

    place: HostPlace = HostPlace(())

    @property
    def name(self) -> str:
        """Name in messages."""
        return self.place.name


@dataclass(eq=False)
class Worker(Member):
    """A worker, and the item that it works on."""

    slot: int = 0
    """Number of its place; the successor of a dead worker takes over its slot."""
    item: WorkItem | None = None
    scene: object = None

    @property
    def name(self) -> str:
        """Name in messages."""
        return f"worker {self.slot}"


@dataclass(frozen=True)
class Joined:
    """A member has loaded its policies."""

    member: Worker | Host
    ready: Ready


@dataclass(frozen=True)
class Ended:
    """A worker has ended an attempt. After an error it takes no further item."""

    worker: Worker
    item: WorkItem
    record: EpisodeRecord
    to_store: Attempt | None = None
    """The attempt, if the supervisor has to store it; None: it is on disk already."""

    @property
    def member(self) -> Worker:
        """The worker."""
        return self.worker


@dataclass(frozen=True)
class Left:
    """A member is gone, or about to go."""

    member: Worker | Host
    how: str
    """The way it went, as the end of a sentence: ``died (signal 9)``."""
    fault: Fault = "own"


@dataclass(frozen=True)
class Refused:
    """A member says that the run cannot go on."""

    member: Worker | Host
    exit_code: int
    message: str


type Event = Joined | Ended | Left | Refused


@dataclass(frozen=True)
class Clock:
    """A member's phase."""

    phase: Phase
    seconds: float
    """Duration of the phase so far."""
    slots: frozenset[int] = frozenset()
    """For a host: slots of the workers in its current or last batch."""


class Crew(Protocol):
    """Starts, reaches and loses processes for one run.

    No event of a member is returned after it was removed. Calls to a dead member have no effect: its
    death is an event.
    """

    @property
    def slots(self) -> int:
        """Largest number of workers at a time."""

    @property
    def places(self) -> Sequence[HostPlace]:
        """Places of all policy hosts that the run needs."""

    def replica_of(self, slot: int) -> int:
        """Return the replica of the hosts that serve the worker in a slot."""

    def add_host(self, place: HostPlace) -> Host:
        """Start a policy host."""

    def add_worker(self, slot: int) -> Worker:
        """Start a worker; the hosts of its replica are ready."""

    def greet(self, worker: Worker, start: Start) -> None:
        """Send a worker the hashes of the policies, once, before its first item."""

    def give(self, worker: Worker, item: WorkItem) -> None:
        """Give an idle worker its next item."""

    def events(self, timeout_s: float) -> Sequence[Event]:
        """Wait for events, and return those that came together; none after the time-out."""

    def clock(self, member: Worker | Host) -> Clock:
        """Return the member's phase."""

    def announce_stop(self, worker: Worker) -> None:
        """Tell a worker that the host it waits for is being stopped, so that its record can say so."""

    def remove(self, member: Worker | Host, *, grace_s: float = 0.0) -> EpisodeRecord | None:
        """End a member, at once or after some time in which it may end by itself.

        Returns:
            The record of a worker's item if the worker stored it before its end.
        """

    def avoid(self, node: str) -> None:
        """Start no further member on a node, if that can be."""

    def close(self, idle: Sequence[Worker]) -> None:
        """End all members; idle workers have a moment to close their environments."""
