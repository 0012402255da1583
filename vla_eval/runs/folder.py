"""The run folder: the unit of work. Repeating a command on its folder continues it.

::

    run.json            content of the run: protocol, arms, their identities; written first
    protocol.json       the protocol's canonical form
    episodes/*.jsonl    one record per attempt; all else follows from them (see vla_eval.runs.store)
    actions/*.jsonl     the executed actions of each attempt (see vla_eval.runs.traces)
    results.json        the summary; written last, and derived from the records
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from filelock import FileLock
from pydantic import JsonValue

from vla_eval.errors import RunFolderError, UsageError
from vla_eval.files.atomic import write_atomically
from vla_eval.files.differences import name_differences
from vla_eval.files.jsonfile import check_arm_name, read_model
from vla_eval.plan import Shard
from vla_eval.policy import PolicyMetadata
from vla_eval.protocol import Protocol
from vla_eval.realtime.latency import virtual_time
from vla_eval.runs.header import Arm, RunHeader, Session, identity_sha256
from vla_eval.runs.lock import folder_lock, running_shards, take_shard_lock
from vla_eval.runs.provenance import machine, other_physics, versions
from vla_eval.runs.store import Records, read_records
from vla_eval.spec import identity_of

__all__ = ["Arm", "RunFolder", "RunHeader", "Session", "identity_sha256"]

_SESSIONS_KEPT = 100


class RunFolder:
    """A run on disk."""

    def __init__(self, path: Path, header: RunHeader) -> None:
        self.path = path
        self.header = header
        self._session: tuple[str, str] | None = None
        self._longest_warm_up: dict[str, float] = {}

    @property
    def episodes(self) -> Path:
        """The folder of record files."""
        return self.path / "episodes"

    @classmethod
    def open(cls, path: Path) -> RunFolder:
        """Open an existing run.

        Raises:
            RunFolderError: the folder holds no run, or ``run.json`` is damaged or was edited.
        """
        file = path / "run.json"
        run = read_model(
            file,
            RunHeader,
            wrong="is damaged",
            remedy="restore it, or start in a new folder",
            missing=(
                f"{path}: is no run folder (it has no run.json); "
                "make one with: vlaeval run PROTOCOL --arm NAME=SPEC --out DIR"
            ),
            error=RunFolderError,
        )
        if run.protocol.sha256 != run.protocol_sha256:
            raise RunFolderError(
                f"{file}: the protocol in it does not have the hash beside it, so the file was "
                "edited; restore it, or start in a new folder"
            )
        _refuse_forged_arms(file, run)
        _refuse_other_protocol(path / "protocol.json", run)
        return cls(path, run)

    @classmethod
    def enter(
        cls, path: Path, protocol: Protocol, specs: Mapping[str, str], shard: Shard
    ) -> tuple[RunFolder, FileLock]:
        """Open the run at ``path`` if it is the same run, else create it; take the shard's lock.

        Raises:
            RunFolderError: the folder holds another run or something that is not a run, cannot be
                written, or another process works on the shard.
        """
        try:
            _refuse_foreign_folder(path)
            (path / "episodes").mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise RunFolderError(f"{path}: cannot be made or read ({error.strerror})") from None
        with folder_lock(path):
            folder = cls.open(path) if (path / "run.json").exists() else None
            if folder is not None and (folder.has_begun() or running_shards(path)):
                folder.refuse_other_run(protocol, specs)
                folder._refuse_other_physics()  # noqa: SLF001 - our own
            lock = take_shard_lock(path, shard)
            _remove_leftovers(path)
            if folder is None or not folder._is(protocol, specs):  # noqa: SLF001 - our own
                # The folder is empty, or its run stopped before its first episode, over a typing
                # mistake perhaps; such a run may be replaced.
                folder = cls._create(path, protocol, specs)
            folder._open_session(shard)  # noqa: SLF001 - our own
        return folder, lock

    @classmethod
    def _create(cls, path: Path, protocol: Protocol, specs: Mapping[str, str]) -> RunFolder:
        run = RunHeader(
            status="started",
            protocol_sha256=protocol.sha256,
            protocol=protocol,
            arms=tuple(Arm(name=name, spec=spec) for name, spec in specs.items()),
            created_at=datetime.now(UTC).isoformat(timespec="seconds"),
            versions=versions(),
            machine=machine(),
        )
        # Readers compare the two files, so they must never hold two protocols.
        (path / "protocol.json").unlink(missing_ok=True)
        write_atomically(path / "run.json", run.model_dump_json(indent=2) + "\n")
        write_atomically(path / "protocol.json", protocol.canonical_json() + "\n")
        return cls(path, run)

    def has_begun(self) -> bool:
        """Return whether the folder holds identities or records, which a new run would spoil."""
        identified = any(arm.identity is not None for arm in self.header.arms)
        return identified or any(self.episodes.glob("*.jsonl"))

    def _is(self, protocol: Protocol, specs: Mapping[str, str]) -> bool:
        known = {arm.name: arm.spec for arm in self.header.arms}
        return protocol.sha256 == self.header.protocol_sha256 and known == dict(specs)

    def _refuse_other_physics(self) -> None:
        changes = other_physics(self.header.versions, versions())
        if changes:
            raise RunFolderError(
                f"{self.path}: this run began with other simulators ({'; '.join(changes)}); "
                "install those again, or use a new folder"
            )

    def _open_session(self, shard: Shard) -> None:
        session = Session(
            started_at=datetime.now(UTC).isoformat(timespec="seconds"),
            shard=f"{shard.index}/{shard.count}",
            versions=versions(),
        )
        sessions = (*self.header.sessions, session)[-_SESSIONS_KEPT:]
        self.header = self.header.model_copy(update={"sessions": sessions})
        self._session = (session.started_at, session.shard)
        self._save()

    def note_engine(self, about: Mapping[str, JsonValue]) -> None:
        """Store the cluster that this session runs on."""
        self._update_session(lambda session: session.model_copy(update={"engine": about}))

    def note_warm_up(self, arm: str, seconds: float) -> None:
        """Store the warm-up time of a policy in this session, in s, if it is the longest so far."""
        if seconds <= self._longest_warm_up.get(arm, 0.0):
            return  # a run with many workers has many warm-ups, and each write costs a lock
        self._longest_warm_up[arm] = seconds
        self._update_session(lambda session: session.warmed_up(arm, seconds))

    def _update_session(self, change: Callable[[Session], Session]) -> None:
        with folder_lock(self.path):
            on_disk = self.open(self.path).header
            sessions = [
                change(session) if (session.started_at, session.shard) == self._session else session
                for session in on_disk.sessions
            ]
            self.header = on_disk.model_copy(update={"sessions": tuple(sessions)})
            self._save()

    def identify(self, identities: Mapping[str, PolicyMetadata]) -> dict[str, str]:
        """Store the arms' identities, or compare them with the stored ones.

        An identity is the policy's metadata, the hash of its code, and the arm's spec.

        Returns:
            The hash of each arm's identity.

        Raises:
            RunFolderError: an arm was another policy before; the message names the differences.
        """
        with folder_lock(self.path):
            on_disk = self.open(self.path)
            on_disk.refuse_other_run(
                self.header.protocol, {arm.name: arm.spec for arm in self.header.arms}
            )
            arms = []
            for arm in on_disk.header.arms:
                name = arm.name
                settings = on_disk.header.protocol.run.realtime
                virtual = virtual_time(settings, name, identities[name])
                identity = identity_of(arm.spec, identities[name], virtual)
                if arm.identity is not None and "spec" not in arm.identity:
                    del identity["spec"]  # the run began under a version that did not hash it
                if arm.identity is not None and arm.identity != identity:
                    raise RunFolderError(
                        f"{self.path}: arm '{name}' was another policy when this run began "
                        f"({name_differences(arm.identity, identity)}); use a new folder"
                    )
                arms.append(arm.model_copy(update={"identity": identity}))
            self.header = on_disk.header.model_copy(update={"arms": tuple(arms)})
            self._save()
        return {arm.name: identity_sha256(arm.identity or {}) for arm in self.header.arms}

    def records(self) -> Records:
        """Read all records; raise RunFolderError if they are damaged or belong to another run."""
        records = read_records([self.episodes])
        hashes = {
            arm.name: None if arm.identity is None else identity_sha256(arm.identity)
            for arm in self.header.arms
        }
        for record in records.attempts:
            if record.arm not in hashes or record.protocol_sha256 != self.header.protocol_sha256:
                raise RunFolderError(
                    f"{self.episodes}: a record of {record.key} belongs to another run "
                    f"(arm '{record.arm}', protocol {record.protocol_sha256[:12]}); "
                    "move its file out of the folder"
                )
            if hashes[record.arm] not in (None, record.policy_sha256):
                raise RunFolderError(
                    f"{self.episodes}: a record of {record.key} was made by another policy than "
                    f"arm '{record.arm}' of run.json; move its file out of the folder"
                )
        return records

    def finish(self, summarise: Callable[[], tuple[bool, Mapping[str, Any]]]) -> None:
        """Summarise the run, and write summary and status, all under the lock.

        Without the lock, two shards that end together could write an outdated summary.

        Args:
            summarise: returns (whether the run is complete, the content of results.json).
        """
        with folder_lock(self.path):
            complete, results = summarise()
            text = json.dumps(results, indent=2, allow_nan=False) + "\n"
            write_atomically(self.path / "results.json", text)
            status = "complete" if complete else "incomplete"
            self.header = self.open(self.path).header.model_copy(update={"status": status})
            self._save()

    def _save(self) -> None:
        write_atomically(self.path / "run.json", self.header.model_dump_json(indent=2) + "\n")

    def refuse_other_run(self, protocol: Protocol, specs: Mapping[str, str]) -> None:
        """Raise RunFolderError unless this is a run of the given protocol with the given arms."""
        if protocol.sha256 != self.header.protocol_sha256:
            ours = self.header.protocol.model_dump(mode="json", exclude_none=True)
            theirs = protocol.model_dump(mode="json", exclude_none=True)
            raise RunFolderError(
                f"{self.path}: holds a run of {self.header.protocol.label}, not of {protocol.label} "
                f"({name_differences(ours, theirs)}); use a new folder"
            )
        known = {arm.name: arm.spec for arm in self.header.arms}
        if dict(specs) != known:
            raise RunFolderError(
                f"{self.path}: holds a run with other arms ({name_differences(known, specs)}); "
                "use a new folder"
            )


def _refuse_foreign_folder(path: Path) -> None:
    if path.exists() and not path.is_dir():
        raise RunFolderError(f"{path}: is a file; --out names a folder")
    ours = ("run.json", "protocol.json", "results.json", "registration.json", "episodes", "actions")
    strangers = [
        entry.name
        for entry in path.glob("*")
        if not entry.name.startswith(".") and entry.name not in ours
    ]
    if strangers and not (path / "run.json").exists():
        raise RunFolderError(
            f"{path}: is no run folder and not empty (it holds '{strangers[0]}'); "
            "name a new or an empty folder with --out"
        )


def _remove_leftovers(path: Path) -> None:
    """Remove temporary files of killed processes; call this under ``folder_lock``, as writers do."""
    for name in ("run", "protocol", "results"):
        for file in path.glob(f".{name}.json.*.tmp"):
            file.unlink(missing_ok=True)


def _refuse_other_protocol(file: Path, run: RunHeader) -> None:
    """Refuse a copy of the protocol that differs from the run's; a missing copy is fine."""
    if not file.exists() and not file.is_symlink():
        return
    remedy = "restore it, or delete it: run.json holds the protocol too"
    copy = read_model(file, Protocol, wrong="is no protocol", remedy=remedy, error=RunFolderError)
    if copy.sha256 != run.protocol_sha256:
        ours, theirs = (
            protocol.model_dump(mode="json", exclude_none=True) for protocol in (run.protocol, copy)
        )
        raise RunFolderError(
            f"{file}: is not the protocol of run.json beside it "
            f"({name_differences(ours, theirs)}); {remedy}"
        )


def _refuse_forged_arms(file: Path, run: RunHeader) -> None:
    """Refuse arms without names of their own, and specs that differ from the identified ones."""
    if len({arm.name for arm in run.arms}) != len(run.arms) or not run.arms:
        raise RunFolderError(
            f"{file}: a run has arms, and each has a name of its own; restore the file, or start in "
            "a new folder"
        )
    try:
        check_arm_names([arm.name for arm in run.arms])
    except UsageError as error:
        raise RunFolderError(
            f"{file}: {error}; restore the file, or start in a new folder"
        ) from None
    for arm in run.arms:
        known = (arm.identity or {}).get("spec", arm.spec)
        if known != arm.spec:
            raise RunFolderError(
                f"{file}: arm '{arm.name}' has the spec {arm.spec!r}, and was identified as "
                f"{known!r}, so the file was edited; restore it, or start in a new folder"
            )


def check_arm_names(names: Iterable[str]) -> None:
    """Raise UsageError for arm names that a table or a file could confuse."""
    for name in names:
        try:
            check_arm_name(name)
        except ValueError as error:
            raise UsageError(str(error)) from None
