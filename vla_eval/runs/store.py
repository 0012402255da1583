"""Append-only storage of episode records: one JSONL file per writer, fsynced after each write.

Each line is ``{"chain": …, "record": {…}}``; ``chain`` is sha256 over the previous line's chain and
this record's text, so that readers notice a changed, dropped or reordered line in the middle of a file.
A killed process can leave an unterminated last line; readers ignore and report it. A resumed run opens
a new file, so finished records stay the same, byte for byte.
"""

from __future__ import annotations

import hashlib
import json
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Self

from pydantic import ValidationError

from vla_eval.errors import RunFolderError
from vla_eval.files.append import LineFile
from vla_eval.files.complaints import first_complaint
from vla_eval.files.jsonfile import (
    MOST_BYTES,
    files_in,
    open_regular,
    refuse_ambiguous,
)
from vla_eval.keys import EpisodeKey
from vla_eval.record import LATER, EpisodeRecord, Timing
from vla_eval.runs.compact import Compactor, without_collection

__all__ = [
    "RecordWriter",
    "Records",
    "read_records",
    "records_digest",
]


class RecordWriter:
    """Appends records to one new file, as its only writer."""

    def __init__(self, path: Path) -> None:
        """Prepare; the first record creates the file, so that idle workers leave no file behind."""
        self._file = LineFile(path)
        self._chain = ""

    def append(self, record: EpisodeRecord) -> None:
        """Write one record and wait until it is on disk.

        Raises:
            StorageError: the record cannot be written; no part of it remains in the file.
        """
        self.extend([record])

    def extend(self, records: Iterable[EpisodeRecord]) -> None:
        """Write records that came together, and wait once until all are on disk.

        Raises:
            StorageError: they cannot be written; no part of them remains in the file.
        """
        chain, lines = self._chain, bytearray()
        for record in records:
            text = record.model_dump_json().encode()
            chain = _next_chain(chain, text)
            lines += _head(chain) + _BODY + text + b"}\n"
        if not lines:
            return
        self._file.append(bytes(lines))
        self._chain = chain

    def close(self) -> None:
        """Close the file; a closed file is never opened again."""
        self._file.close()

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


type _Slot = tuple[str, EpisodeKey]


@dataclass
class Records:
    """All records of a run folder: the attempts, and the results that follow from them."""

    attempts: list[EpisodeRecord] = field(default_factory=list)
    """Every attempt, in the order of files and lines."""
    torn: list[str] = field(default_factory=list)
    """Files whose last line was cut off by a kill; readers ignore that line."""
    final: dict[_Slot, EpisodeRecord] = field(default_factory=dict)
    """For each arm and key the first success or failure if there is one, else the last error. An
    exception of the policy that a second attempt reproduced is a failure, ``policy_raised``."""
    sessions: dict[_Slot, str] = field(default_factory=dict)
    """For each final result the token of the call of ``vlaeval run`` that made it."""
    contradictions: list[str] = field(default_factory=list)
    """One sentence for each episode with two different results: something in it is not deterministic."""
    errors: dict[_Slot, list[EpisodeRecord]] = field(default_factory=dict)
    """For each arm and key the attempts that ended in an error, in their order; an attempt in two copies
    of a file is one attempt."""
    _troubles: dict[_Slot, _Trouble] = field(default_factory=dict, repr=False)

    def add(self, record: EpisodeRecord, where: str, session: str = "") -> None:
        """Add one attempt.

        Args:
            record: the record as it is on disk.
            where: file and line of the record, for the sentence about a contradiction.
            session: token of the call that made it, used if the record holds none.
        """
        self.attempts.append(record)
        slot = (record.arm, record.key)
        session = record.timing.session or session
        if record.outcome == "error":
            self._add_error(slot, record, where, session)
        else:
            self._settle(slot, record, where, session)

    def _settle(self, slot: _Slot, result: EpisodeRecord, where: str, session: str) -> None:
        """Take a success or failure as final, unless an earlier one is known."""
        known = self.final.get(slot)
        if known is None or known.outcome == "error":
            self.final[slot], self.sessions[slot] = result, session
        elif known.reproducible() != result.reproducible():
            differing = _first_difference(known, result)
            self.contradictions.append(
                f"{where}: arm '{result.arm}' has two results for {result.key} that differ in "
                f"'{differing}'; the first is kept"
            )
            if _begun(result) < _begun(known):
                self.final[slot], self.sessions[slot] = result, session

    def _add_error(self, slot: _Slot, record: EpisodeRecord, where: str, session: str) -> None:
        trouble = self._troubles.setdefault(slot, _Trouble())
        self.errors[slot] = trouble.attempts
        before = trouble.raised
        trouble.add(record, session)
        known = self.final.get(slot)
        if trouble.raised is None:
            if known is None or known.outcome == "error":
                self.final[slot], self.sessions[slot] = trouble.attempts[-1], trouble.sessions[-1]
        elif before is None:
            self._settle(slot, trouble.raised, where, trouble.raised_in)
        elif known is before:  # its earlier repetition was read only now
            self.final[slot], self.sessions[slot] = trouble.raised, trouble.raised_in


class _Trouble:
    """The attempts of one episode that ended in errors, in their order."""

    def __init__(self) -> None:
        self.attempts: list[EpisodeRecord] = []
        self.sessions: list[str] = []
        self.raised: EpisodeRecord | None = None
        """The failure that follows from the policy's first reproduced exception."""
        self.raised_in = ""
        self._known: set[tuple[int, Timing]] = set()
        self._alike: dict[object, list[tuple[EpisodeRecord, str]]] = {}
        """The first two attempts of each exception."""

    def add(self, record: EpisodeRecord, session: str) -> None:
        """Add an attempt, in any order of reading; copies of an attempt count once."""
        if (record.attempt, record.timing) in self._known:
            return
        self._known.add((record.attempt, record.timing))
        place = bisect_right(self.attempts, _turn(record), key=_turn)
        self.attempts.insert(place, record)
        self.sessions.insert(place, session)
        if record.reason != "policy_error":
            return
        alike = self._alike.setdefault(_exception_of(record), [])
        alike.append((record, session))
        alike.sort(key=lambda attempt: _turn(attempt[0]))
        del alike[2:]
        if len(alike) == 2 and (self.raised is None or _turn(alike[1][0]) < _turn(self.raised)):
            second, self.raised_in = alike[1]
            self.raised = second.model_copy(
                update={"outcome": "failure", "reason": "policy_raised"}
            )


def _turn(record: EpisodeRecord) -> tuple[int, datetime]:
    return record.attempt, _begun(record)


def _exception_of(record: EpisodeRecord) -> object:
    """Return values that are equal in two attempts if the policy raised the same in both."""
    exception = (record.error.type, record.error.message) if record.error else None
    return exception, record.scene_hash, record.steps, record.inferences, record.actions_sha256


def _begun(record: EpisodeRecord) -> datetime:
    return datetime.fromisoformat(record.timing.started_at)


def read_records(paths: Iterable[Path]) -> Records:
    """Read record files; a folder stands for every ``*.jsonl`` file in it.

    Raises:
        RunFolderError: a line before the last is damaged, a file was renamed, or a path is no
            regular file.
    """
    records, compactor = Records(), Compactor()
    with without_collection():
        for path in paths:
            for file in _files(path):
                _read_file(file, records, compactor)
    return records


def _files(path: Path) -> list[Path]:
    try:
        return files_in(path, ".jsonl") if path.is_dir() else [path]
    except OSError as error:
        raise RunFolderError(f"{path}: cannot be read ({error.strerror}); {_READABLE}") from None


_READABLE = "make it readable, or copy the run to where it is"


_REMEDY = "restore the file from a copy, or move it out of the folder to repeat its episodes"


def _read_file(path: Path, records: Records, compactor: Compactor) -> None:
    token = "".join(path.stem.split("-")[1:2])  # token of the call that wrote the file
    chain = ""
    for number, line in enumerate(_lines(path), start=1):
        if not line.endswith(b"\n"):
            records.torn.append(path.name)
            break
        where = f"{path}, line {number}"
        record, chain = _read_line(line[:-1], chain, where)
        if token and record.timing.session not in ("", token):
            raise RunFolderError(
                f"{where}: was written by the call {record.timing.session} of vlaeval run, and the "
                "file's name says another: it was renamed; give it its name back"
            )
        compactor.compact(record)
        records.add(record, where, token or path.stem)


def _lines(path: Path) -> Iterator[bytes]:
    """Yield a file's lines one at a time, with their line ends."""
    try:
        with open_regular(path) as file:
            while line := file.readline(MOST_BYTES):
                if len(line) == MOST_BYTES:
                    break
                yield line
            else:
                return
    except OSError as error:
        reason = error.strerror or error
        raise RunFolderError(f"{path}: cannot be read ({reason}); {_REMEDY}") from None
    raise RunFolderError(f"{path}: has a line of more than {MOST_BYTES // 1_000_000} MB; {_REMEDY}")


_BODY = b',"record":'


def _head(chain: str) -> bytes:
    return b'{"chain":"%b"' % chain.encode()


def _read_line(line: bytes, chain: str, where: str) -> tuple[EpisodeRecord, str]:
    head, between, body = line.partition(_BODY)
    if not between or not body.endswith(b"}"):
        raise RunFolderError(f"{where}: is no episode record; {_REMEDY}")
    body = body[:-1]
    expected = _next_chain(chain, body)
    try:
        record = EpisodeRecord.model_validate_json(body)
        if not _has_no_more_keys(body, record):
            refuse_ambiguous(body)
        follows = head == _head(expected) or _chain_of(head) == expected
    except ValidationError as error:
        raise RunFolderError(
            f"{where}: is no valid episode record ({first_complaint(error)}); {_REMEDY}"
        ) from None
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise RunFolderError(f"{where}: is no episode record ({error}); {_REMEDY}") from None
    if not follows:
        raise RunFolderError(
            f"{where}: does not follow from the line before it: a record was changed, dropped or "
            f"moved after it was written; {_REMEDY}"
        )
    if record.reason == "policy_raised":
        raise RunFolderError(
            f"{where}: says 'policy_raised', which is never written: it follows from two errors; "
            f"{_REMEDY}"
        )
    return record, expected


def _has_no_more_keys(text: bytes, record: EpisodeRecord) -> bool:
    """Return whether a text has as many keys as the record read from it, so that no key is there twice.

    Each key has one colon, and some values have colons too; in a text without a backslash a colon has
    no other form. If the numbers differ, the caller has to inspect every object, which takes ten times
    as long.
    """
    if b"\\" in text:
        return False
    timing = record.timing
    keys = len(record.model_fields_set) + len(timing.model_fields_set)
    keys += len(record.subgoals) + len(record.counts) + len(record.provenance)
    keys += len(record.subgoal_steps or ())
    keys += sum(1 + len(event.model_fields_set) for event in (record.events or {}).values())
    values = timing.started_at.count(":") + record.env_id.count(":") + record.instruction.count(":")
    return text.count(b":") == keys + values


def _chain_of(head: bytes) -> object:
    """Return the chain of a line in another JSON layout than ours."""
    refuse_ambiguous(head + b"}")
    return json.loads(head + b"}")["chain"]


def _next_chain(chain: str, text: bytes) -> str:
    return hashlib.sha256(b"%b\n%b" % (chain.encode(), text)).hexdigest()[:32]


def _first_difference(left: EpisodeRecord, right: EpisodeRecord) -> str:
    ours, theirs = left.reproducible(), right.reproducible()
    return next(name for name in ours if ours[name] != theirs.get(name))


def records_digest(
    final: Mapping[tuple[str, EpisodeKey], EpisodeRecord],
    arms: Iterable[str],
    keys: Sequence[EpisodeKey],
) -> str:
    """Return sha256 over the reproducible fields of these arms' records of these episodes, in order."""
    hasher = hashlib.sha256()
    for arm in sorted(arms):
        for key in keys:
            record = final.get((arm, key))
            if record is not None:
                # policy_known follows from policy_sha256; earlier records have no counts.
                exclude = {"timing", "attempt", "policy_known", *LATER}
                exclude |= set() if record.counts else {"counts"}
                text = record.model_dump_json(exclude=exclude)
                # Formats 1 and 2 differ in timings only, so the hashed text is still format 1.
                hasher.update(text.replace('{"format":2,', '{"format":1,', 1).encode())
    return hasher.hexdigest()
