"""Children of the supervisor: starts workers and policy hosts, and checks which policies they load."""

from __future__ import annotations

import os
import platform
import secrets
import tempfile
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from time import monotonic
from typing import Any

from vla_eval.cores import usable_cores
from vla_eval.engine.host import host_main
from vla_eval.engine.messages import ArmJob, Ready, WorkerJob, WorkItem
from vla_eval.engine.process import SPAWN, Heartbeat, capped_threads, shielded_from_interrupt
from vla_eval.engine.worker import worker_main
from vla_eval.errors import RunFolderError
from vla_eval.files.differences import name_differences
from vla_eval.runs.folder import RunFolder
from vla_eval.spec import placement_of

_REAP_S = 3.0

__all__ = ["Child", "Launcher", "WorkerChild", "exit_text"]


@dataclass(eq=False)
class Child:
    """A child process, the pipe to it, and its heartbeat."""

    process: BaseProcess
    connection: Connection
    heartbeat: Heartbeat
    ready: bool = False
    started_s: float = field(default_factory=monotonic)

    def kill(self) -> None:
        """End the process at once and wait until it is gone."""
        self.process.kill()
        self.process.join()
        self.connection.close()


@dataclass(eq=False)
class WorkerChild(Child):
    """A worker, and the item that it works on."""

    slot: int = 0
    record_file: Path = Path()
    item: WorkItem | None = None
    scene: object = None


class Launcher:
    """Starts the children of one run."""

    def __init__(self, folder: RunFolder, slots: int) -> None:
        """Prepare; no process is started yet.

        Args:
            folder: the run.
            slots: largest number of workers at a time.

        Raises:
            PolicySpecError: an arm's spec names no policy.
        """
        self._folder = folder
        self._run = folder.header.protocol.run
        self._slots = slots
        self._arms = {arm.name: arm.spec for arm in folder.header.arms}
        self._authkey = secrets.token_bytes(32)
        self.session = secrets.token_hex(8)
        """Token of this call of ``vlaeval run``."""
        self._files = 0
        self._seen: dict[str, dict[str, Any]] = {}
        self.addresses = {
            name: _socket_address(f"{self.session}-{number}")
            for number, (name, text) in enumerate(self._arms.items())
            if placement_of(text) == "host"
        }
        """Sockets of the arms whose policy runs in a host, by the arm's name."""
        cores = usable_cores()
        self.worker_threads = max(1, cores // slots)
        """Numerics threads of each worker; the simulators run side by side."""
        self.host_threads = max(1, cores // (2 * max(1, len(self.addresses))))
        """Numerics threads of each policy host: half the cores, since workers compute beside it. The
        number must not depend on the number of workers: it can change a sum's last bits."""

    def start_host(self, name: str) -> Child:
        """Start the policy host of an arm."""
        ours, theirs = SPAWN.Pipe()
        heartbeat = Heartbeat(self._slots)
        wait_s = min(self._run.batch_wait_ms / 1e3, self._run.limits.infer_s)
        batching = (self._run.max_batch, wait_s)
        process = SPAWN.Process(
            target=host_main,
            args=(
                theirs,
                os.getpid(),
                (name, self._arms[name]),
                self.addresses[name],
                self._authkey,
                batching,
                heartbeat,
            ),
            name=f"policy-host-{name}",
        )
        with shielded_from_interrupt(), capped_threads(self.host_threads):
            process.start()
        theirs.close()
        return Child(process, ours, heartbeat)

    def start_worker(self, slot: int) -> WorkerChild:
        """Start a worker in a slot."""
        ours, theirs = SPAWN.Pipe()
        heartbeat = Heartbeat()
        record_file = self.new_record_file(f"w{slot}")
        job = WorkerJob(
            parent_pid=os.getpid(),
            slot=slot,
            arms={
                name: ArmJob(spec, self.addresses.get(name)) for name, spec in self._arms.items()
            },
            n_action_steps=self._run.n_action_steps,
            protocol_sha256=self._folder.header.protocol_sha256,
            record_file=record_file,
            session=self.session,
            authkey=self._authkey,
            host_wait_s=self._run.limits.infer_s * (self._slots + 1) + self._run.limits.setup_s,
        )
        process = SPAWN.Process(
            target=worker_main, args=(theirs, job, heartbeat), name=f"worker-{slot}"
        )
        with shielded_from_interrupt(), capped_threads(self.worker_threads):
            process.start()
        theirs.close()
        return WorkerChild(process, ours, heartbeat, slot=slot, record_file=record_file)

    def recognise(self, who: str, ready: Ready) -> None:
        """Compare the policies that a child loaded with those that the first child loaded.

        Args:
            who: the child's name.
            ready: its message.

        Raises:
            RunFolderError: the weights, the options or the code changed, after a restart for example.
        """
        for name, metadata in ready.identities.items():
            now: dict[str, Any] = asdict(metadata)
            if name in ready.code_sha256:
                now["code_sha256"] = ready.code_sha256[name]
            first = self._seen.setdefault(name, {})
            changed = name_differences({key: first.get(key, now[key]) for key in now}, now)
            first.update(now)
            if changed:
                raise RunFolderError(
                    f"{who}: arm '{name}' is another policy than when this command began "
                    f"({changed}); put back what was changed and repeat the command, or use a new "
                    "folder"
                )

    def new_record_file(self, writer: str) -> Path:
        """Return a path that no earlier or parallel process can have taken."""
        self._files += 1
        now = datetime.now(UTC).strftime("%Y%m%dT%H%M%S")
        return self._folder.episodes / f"{now}-{self.session}-{self._files:04d}-{writer}.jsonl"


def _socket_address(name: str) -> str:
    """Return a socket's address; on Linux it leaves no file behind."""
    if platform.system() == "Linux":
        return f"\0vlaeval-{name}"
    return str(Path(tempfile.gettempdir()) / f"vlaeval-{name}.sock")


def exit_text(process: BaseProcess) -> str:
    """Return how a process ended: its signal or exit code. It has ended, or is about to."""
    process.join(timeout=_REAP_S)
    code = process.exitcode
    if code is not None and code < 0:
        return f"signal {-code}"
    return f"exit code {code}"
