"""Append-only storage of episode records: one JSONL file per writer, one write and fsync a record.

Each line is ``{"chain": …, "record": {…}}``; ``chain`` is sha256 over the previous line's chain and
this record's text, so that a changed, dropped or reordered line in the middle of a file is noticed.
A process that is killed can leave an unterminated last line; readers ignore and report it, and a
resuming run opens a new file, so finished records stay as they are, byte for byte.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

from pydantic import ValidationError

from vla_eval.errors import InfrastructureError, RunFolderError
from vla_eval.keys import EpisodeKey
from vla_eval.record import EpisodeRecord

__all__ = [
    "RecordWriter",
    "Records",
    "StorageError",
    "read_records",
    "records_digest",
    "write_atomically",
]


class StorageError(InfrastructureError):
    """A record could not be written: disk full, quota, read-only file system."""


class RecordWriter:
    """Appends records to one new file; the only writer of it."""

    def __init__(self, path: Path) -> None:
        """Create the file on the first record, so that idle workers leave nothing behind."""
        self._path = path
        self._descriptor: int | None = None
        self._chain = ""
        self._size = 0

    def append(self, record: EpisodeRecord) -> None:
        """Write one record and wait until it is on disk.

        Raises:
            StorageError: nothing of the record remains in the file.
        """
        text = record.model_dump_json()
        chain = _next_chain(self._chain, text)
        line = f'{{"chain":"{chain}","record":{text}}}\n'.encode()
        try:
            self._write(line)
        except OSError as error:
            raise StorageError(
                f"{self._path.parent}: a record could not be written ({error.strerror}); the run "
                "stopped, finished episodes are kept: free some space, then repeat the command"
            ) from error
        self._chain = chain
        self._size += len(line)

    def _write(self, line: bytes) -> None:
        if self._descriptor is None:
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC
            self._descriptor = os.open(self._path, flags, 0o644)
            _fsync_folder(self._path.parent)
        try:
            rest = line[os.write(self._descriptor, line) :]
            if rest:  # a short write: the disk is all but full, and the second write says so
                os.write(self._descriptor, rest)
            os.fsync(self._descriptor)
        except OSError:
            os.ftruncate(self._descriptor, self._size)
            raise

    def close(self) -> None:
        """Close the file; further appends open no new one."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def __enter__(self) -> Self:
        """Use the writer in a ``with`` statement."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close the file."""
        self.close()


@dataclass
class Records:
    """All records of a run folder."""

    attempts: list[EpisodeRecord] = field(default_factory=list)
    """Every attempt, in the order of files and lines."""
    torn: list[str] = field(default_factory=list)
    """Files whose last line was cut off by a kill; that line is ignored."""
    final: dict[tuple[str, EpisodeKey], EpisodeRecord] = field(default_factory=dict)
    """For each arm and key the first success or failure, where there is one, else the last error."""
    sessions: dict[tuple[str, EpisodeKey], str] = field(default_factory=dict)
    """For each final result which call of ``vlaeval run`` made it, by the name of its file."""
    contradictions: list[str] = field(default_factory=list)
    """Episodes that ended twice, and differently: something in them is not deterministic."""

    def add(self, record: EpisodeRecord, where: str, session: str = "") -> None:
        """Add one attempt."""
        self.attempts.append(record)
        slot = (record.arm, record.key)
        known = self.final.get(slot)
        if known is None or known.outcome == "error":
            if known is None or record.outcome != "error" or record.attempt > known.attempt:
                self.final[slot], self.sessions[slot] = record, session
        elif record.outcome != "error" and known.reproducible() != record.reproducible():
            differing = _first_difference(known, record)
            self.contradictions.append(
                f"{where}: arm '{record.arm}' has two results for {record.key} that differ in "
                f"'{differing}'; the first is kept"
            )
            if record.timing.started_at < known.timing.started_at:
                self.final[slot], self.sessions[slot] = record, session


def read_records(paths: Iterable[Path]) -> Records:
    """Read record files; a folder stands for every ``*.jsonl`` file in it.

    Raises:
        RunFolderError: a damaged line that is not the last one, or contradicting results.
    """
    records = Records()
    for path in paths:
        for file in sorted(path.glob("*.jsonl")) if path.is_dir() else [path]:
            _read_file(file, records)
    return records


def _read_file(path: Path, records: Records) -> None:
    data = path.read_bytes()
    lines = data.split(b"\n")
    if lines.pop():
        records.torn.append(path.name)
    session = "".join(path.stem.split("-")[1:2]) or path.stem  # the token of the call
    chain = ""
    for number, line in enumerate(lines, start=1):
        where = f"{path.parent.name}/{path.name}, line {number}"
        record, chain = _read_line(line, chain, where)
        records.add(record, where, session)


def _read_line(line: bytes, chain: str, where: str) -> tuple[EpisodeRecord, str]:
    remedy = "restore the file from a copy, or move it out of the folder to repeat its episodes"
    try:
        text = line.decode()
        head, _, body = text.partition(',"record":')
        written_chain = json.loads(head + "}")["chain"]
        record = EpisodeRecord.model_validate_json(body[:-1])
    except (UnicodeDecodeError, json.JSONDecodeError, KeyError, TypeError) as error:
        raise RunFolderError(f"{where}: is no episode record ({error}); {remedy}") from None
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        detail = f"{place}: {first['msg']}" if place else first["msg"]
        raise RunFolderError(f"{where}: is no valid episode record ({detail}); {remedy}") from None
    expected = _next_chain(chain, body[:-1])
    if written_chain != expected:
        raise RunFolderError(
            f"{where}: does not follow from the line before it: a record was changed, dropped or "
            f"moved after it was written; {remedy}"
        )
    return record, expected


def _next_chain(chain: str, text: str) -> str:
    return hashlib.sha256(f"{chain}\n{text}".encode()).hexdigest()[:32]


def _first_difference(left: EpisodeRecord, right: EpisodeRecord) -> str:
    ours, theirs = left.reproducible(), right.reproducible()
    return next(name for name in ours if ours[name] != theirs[name])


def records_digest(
    final: Mapping[tuple[str, EpisodeKey], EpisodeRecord],
    arms: Iterable[str],
    keys: Sequence[EpisodeKey],
) -> str:
    """Return sha256 over what is reproducible in these arms' records of these episodes, in order."""
    hasher = hashlib.sha256()
    for arm in sorted(arms):
        for key in keys:
            record = final.get((arm, key))
            if record is not None:
                # policy_known follows from policy_sha256; earlier records have no counts.
                exclude = {"timing", "attempt", "policy_known"}
                exclude |= set() if record.counts else {"counts"}
                hasher.update(record.model_dump_json(exclude=exclude).encode())
    return hasher.hexdigest()


def write_atomically(path: Path, text: str) -> None:
    """Replace a file so that readers see the old or the new content, never a part.

    Temporary file in the same folder, fsync, rename, fsync of the folder. A kill in between can
    leave a ``.tmp`` file behind, which nothing reads.

    Raises:
        StorageError: the disk is full or the folder cannot be written.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
        _fsync_folder(path.parent)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise StorageError(f"{path}: cannot be written ({error.strerror})") from error


def _fsync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
