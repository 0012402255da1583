"""Messages between the supervisor, the workers and the policy hosts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from vla_eval.keys import EpisodeKey, PlannedEpisode
from vla_eval.policy import PolicyMetadata
from vla_eval.realtime.settings import Realtime
from vla_eval.record import EpisodeRecord

__all__ = [
    "ArmJob",
    "Done",
    "HostAway",
    "Identity",
    "LocalJob",
    "Ready",
    "Start",
    "Stop",
    "Stopped",
    "Target",
    "WorkItem",
    "WorkerJob",
]


@dataclass(frozen=True)
class Identity:
    """Identity of a policy, as reported by the process that loaded it."""

    metadata: PolicyMetadata
    code_sha256: str

    def to_json(self) -> dict[str, Any]:
        """Return the identity in the form of ``run.json``."""
        return {**asdict(self.metadata), "code_sha256": self.code_sha256}


@dataclass(frozen=True)
class ArmJob:
    """The facts about one arm that a worker needs."""

    spec: str
    host_address: str | None
    """Address of the policy host; with None the worker builds the policy itself."""


@dataclass(frozen=True)
class WorkerJob:
    """Everything that a worker needs at its start, wherever it runs."""

    slot: int
    """Number of the worker's place; the successor of a dead worker takes over its slot."""
    arms: Mapping[str, ArmJob]
    n_action_steps: int | None
    realtime: Realtime | None
    """Virtual time, if the protocol declares it."""
    protocol_sha256: str
    session: str
    """Token of this call of ``vlaeval run``; every record and every file name holds it."""
    keeps_actions: bool
    """Whether the executed actions are kept beside the records."""
    host_wait_s: float
    """Longest wait for a policy host in s, queueing and a slow batch included."""


@dataclass(frozen=True)
class LocalJob(WorkerJob):
    """What a worker on the supervisor's machine needs besides."""

    parent_pid: int
    record_file: Path
    authkey: bytes


type Target = tuple[str, EpisodeKey]
"""An arm and an episode, which are to get one result."""


@dataclass(frozen=True)
class WorkItem:
    """One attempt of one episode by one arm."""

    arm: str
    episode: PlannedEpisode
    attempt: int
    alone: bool = False
    """Whether the episode's observations get batches of their own. The policy raised in an earlier
    attempt, and this attempt shows whether this episode or a neighbour in its batch was the cause."""

    @property
    def target(self) -> Target:
        """What is to get a result."""
        return self.arm, self.episode.key


@dataclass(frozen=True)
class Ready:
    """Worker or host to supervisor: policies are loaded."""

    identities: Mapping[str, PolicyMetadata]
    """Metadata of the loaded policies by arm: all arms from a worker, one arm from a host."""
    code_sha256: Mapping[str, str]
    """Hash of the code by arm, for the arms that this process loaded itself."""


@dataclass(frozen=True)
class Start:
    """Supervisor to worker: the policies are the expected ones; these are their hashes."""

    policy_sha256: Mapping[str, str]


@dataclass(frozen=True)
class Done:
    """Worker to supervisor: the attempt is recorded on disk."""

    item: WorkItem
    record: EpisodeRecord


@dataclass(frozen=True)
class HostAway:
    """Worker to supervisor: I end, because I could not reach a policy host at my start."""

    message: str


@dataclass(frozen=True)
class Stopped:
    """Worker or host to supervisor: the run cannot go on, for this reason."""

    exit_code: int
    message: str


class Stop:
    """Supervisor to worker: there is no more work."""
