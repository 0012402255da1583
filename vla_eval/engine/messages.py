"""What the supervisor, the workers and the policy hosts say to each other."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from vla_eval.plan import PlannedEpisode
from vla_eval.policy import PolicyMetadata
from vla_eval.record import EpisodeRecord

__all__ = [
    "ArmJob",
    "Done",
    "HostAway",
    "Identity",
    "Ready",
    "Start",
    "Stop",
    "Stopped",
    "WorkItem",
    "WorkerJob",
]


@dataclass(frozen=True)
class Identity:
    """Who a policy is, as the process that loaded it says."""

    metadata: PolicyMetadata
    code_sha256: str

    def to_json(self) -> dict[str, Any]:
        """Return it as ``run.json`` has it."""
        return {**asdict(self.metadata), "code_sha256": self.code_sha256}


@dataclass(frozen=True)
class ArmJob:
    """One arm, as a worker needs to know it."""

    spec: str
    host_address: str | None
    """Socket of the policy host; None builds the policy inside the worker."""


@dataclass(frozen=True)
class WorkerJob:
    """Everything a worker is started with."""

    parent_pid: int
    slot: int
    """Which of the n workers it is; a successor takes the slot of a dead one."""
    arms: Mapping[str, ArmJob]
    n_action_steps: int | None
    protocol_sha256: str
    record_file: Path
    session: str
    """Token of this call of ``vlaeval run``; it stands in every record and in every file's name."""
    authkey: bytes
    host_wait_s: float
    """How long to wait for a policy host, queueing and a slow batch included."""


@dataclass(frozen=True)
class WorkItem:
    """One attempt of one episode by one arm."""

    arm: str
    episode: PlannedEpisode
    attempt: int
    alone: bool = False
    """Inferred in no batch with others: the policy raised in an earlier attempt, and whether that was
    over this episode or over a neighbour in its batch is to be seen."""


@dataclass(frozen=True)
class Ready:
    """Worker or host to supervisor: policies are loaded."""

    identities: Mapping[str, PolicyMetadata]
    """Of a worker: of all arms. Of a host: of its own."""
    code_sha256: Mapping[str, str]
    """Of the code of those arms that this process loaded itself."""


@dataclass(frozen=True)
class Start:
    """Supervisor to worker: policies are who they should be; here are their hashes."""

    policy_sha256: Mapping[str, str]


@dataclass(frozen=True)
class Done:
    """Worker to supervisor: the attempt is recorded on disk."""

    item: WorkItem
    record: EpisodeRecord


@dataclass(frozen=True)
class HostAway:
    """Worker to supervisor: I leave, since a policy host cannot be reached while I start."""

    message: str


@dataclass(frozen=True)
class Stopped:
    """Worker or host to supervisor: nothing can go on, for this reason."""

    exit_code: int
    message: str


class Stop:
    """Supervisor to worker: no more work."""
