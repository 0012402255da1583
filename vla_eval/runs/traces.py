"""Traces of a run on disk: what each attempt did, beside its record.

::

    actions/*.jsonl     one line an attempt; as many files as ``episodes/`` has, with the same names

A line is ``{…, "data": "…"}``: the attempt, the sizes, and the arrays of its trace, compressed. It is on
disk before its record is, so every record of such a run has its trace; a trace whose record was lost with a
killed process is never asked for. A cut-off last line is ignored. The record's ``actions_sha256`` shows
that the actions are those of the episode.
"""

from __future__ import annotations

import base64
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from types import TracebackType
from typing import Annotated, Literal, NamedTuple, Self

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from vla_eval.errors import RunFolderError
from vla_eval.files.append import LineFile
from vla_eval.files.complaints import first_complaint
from vla_eval.files.jsonfile import MOST_BYTES, files_in, open_regular, refuse_ambiguous
from vla_eval.keys import EpisodeKey
from vla_eval.record import EpisodeRecord, Whole
from vla_eval.runs.store import RecordWriter
from vla_eval.trace import STALLED, Trace

__all__ = ["Attempt", "AttemptWriter", "Trace", "Traces"]

_FOLDER = "actions"
_DATA = b',"data":"'
_LARGEST = 10_000_000
"""Largest trace in bytes; a longer one is not stored. 280 steps with 7 entries take 9 kB."""
_REMEDY = "restore the file from a copy, or delete it: its episodes can still be run again"


class Attempt(NamedTuple):
    """One attempt of an episode."""

    record: EpisodeRecord
    trace: Trace | None
    """None: it did not begin, or traces are not kept."""


class AttemptWriter:
    """Appends attempts to one new record file and its file of traces, as their only writer.

    Args:
        record_file: a file in the folder ``episodes`` of a run.
    """

    def __init__(self, record_file: Path) -> None:
        self._records = RecordWriter(record_file)
        path = record_file.parent.parent / _FOLDER / record_file.name
        self._traces = LineFile(path, make_folder=True)

    def extend(self, attempts: Iterable[Attempt]) -> None:
        """Write attempts that came together, and wait until all are on disk.

        Raises:
            StorageError: they cannot be written; no record of them remains.
        """
        attempts = list(attempts)
        if lines := b"".join(_line(each.record, each.trace) for each in attempts if each.trace):
            self._traces.append(lines)
        self._records.extend(each.record for each in attempts)

    def close(self) -> None:
        """Close the files; a closed file is never opened again."""
        self._traces.close()
        self._records.close()

    def __enter__(self) -> Self:
        """Use the writer in a ``with`` statement."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close the files."""
        self.close()


Size = Annotated[int, Field(ge=0, le=_LARGEST)]


class _Head(BaseModel):
    """The line of a trace without its arrays."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: Literal[1] = 1
    arm: str
    suite: str
    task: str
    init_state: Whole
    env_seed: Whole
    policy_seed: Whole
    attempt: Whole
    steps: Size
    action_dim: Size
    inferences: Size

    @property
    def slot(self) -> _Slot:
        """The attempt."""
        key = EpisodeKey(self.suite, self.task, self.init_state, self.env_seed, self.policy_seed)
        return self.arm, key, self.attempt

    @property
    def sizes(self) -> tuple[int, int, int, int]:
        """Bytes of the arrays: actions, clipped, source, observed."""
        flags = (self.steps + 7) // 8
        return 4 * self.steps * self.action_dim, flags, 4 * self.steps, 4 * self.inferences


type _Slot = tuple[str, EpisodeKey, int]


def _line(record: EpisodeRecord, trace: Trace) -> bytes:
    """Return the line of a trace; nothing for a trace that is too large."""
    steps, action_dim = trace.actions.shape
    head = _Head(
        **{name: getattr(record, name) for name in _ORIGIN},
        steps=steps,
        action_dim=action_dim,
        inferences=trace.observed.size,
    )
    if sum(head.sizes) > _LARGEST:
        return b""
    # Bytes of the same rank side by side: signs and exponents repeat, mantissas do not.
    planes = trace.actions.astype("<f4").view(np.uint8).reshape(-1, 4).T
    plain = planes.tobytes() + np.packbits(trace.clipped).tobytes()
    plain += trace.source.astype("<i4").tobytes() + trace.observed.astype("<i4").tobytes()
    data = base64.b64encode(zlib.compress(plain))
    return head.model_dump_json().encode()[:-1] + _DATA + data + b'"}\n'


_ORIGIN = ("arm", "suite", "task", "init_state", "env_seed", "policy_seed", "attempt")


def _arrays(head: _Head, data: bytes) -> Trace:
    """Return the trace of a line; raise ValueError if the data are damaged."""
    total = sum(head.sizes)
    if total > _LARGEST:
        raise ValueError("it is too large")
    unpacker = zlib.decompressobj()
    plain = unpacker.decompress(base64.b64decode(data, validate=True), total + 1)
    if len(plain) != total or not unpacker.eof:
        raise ValueError("its data have another size than it says")
    ends = np.cumsum((0, *head.sizes))
    actions, flags, source, observed = (plain[start:end] for start, end in pairwise(ends))
    planes = np.frombuffer(actions, np.uint8).reshape(4, -1)
    trace = Trace(
        np.ascontiguousarray(planes.T).view("<f4").reshape(head.steps, head.action_dim),
        np.unpackbits(np.frombuffer(flags, np.uint8), count=head.steps).astype(np.bool_),
        np.frombuffer(source, "<i4"),
        np.frombuffer(observed, "<i4"),
    )
    _check_values(trace)
    return trace


def _check_values(trace: Trace) -> None:
    if not np.isfinite(trace.actions).all():
        raise ValueError("an action is not finite")
    for values, low, high in (
        (trace.source, STALLED, trace.observed.size - 1),
        (trace.observed, 0, len(trace.actions)),
    ):
        if values.size and not low <= values.min() <= values.max() <= high:
            raise ValueError("an action comes from an inference that does not exist")


@dataclass(frozen=True)
class _Place:
    file: Path
    offset: int
    number: int
    """Number of the line, from 1."""

    def __str__(self) -> str:
        return f"{self.file}, line {self.number}"


class Traces:
    """The traces of a run folder; those written after the first look are found too.

    Args:
        run: the run folder.
    """

    def __init__(self, run: Path) -> None:
        self._folder = run / _FOLDER
        self._places: dict[_Slot, list[_Place]] = {}
        self._read: dict[Path, _Place] = {}
        """Place of the first line of each file that was not read yet."""

    def get(self, record: EpisodeRecord) -> Trace | None:
        """Return what the attempt of a record did; None if it was not kept.

        Raises:
            RunFolderError: a file of traces is damaged, or the actions are not those of the record.
        """
        slot = record.arm, record.key, record.attempt
        if slot not in self._places:
            self._look_again()
        places = self._places.get(slot, [])
        for place in places:
            trace = _trace_at(place)
            if trace.actions_sha256 == record.actions_sha256:
                return trace
        if not places:
            return None
        raise RunFolderError(
            f"{places[0]}: its actions are not those that the record of {record.key}, arm "
            f"'{record.arm}', has the hash of; {_REMEDY}"
        )

    def _look_again(self) -> None:
        """Find the lines that were added since the last look."""
        try:
            for file in files_in(self._folder, ".jsonl"):
                self._read_on(self._read.get(file, _Place(file, 0, 1)))
        except OSError as error:
            raise RunFolderError(
                f"{self._folder}: cannot be read ({error.strerror or error}); {_REMEDY}"
            ) from None

    def _read_on(self, place: _Place) -> None:
        with open_regular(place.file) as file:
            file.seek(place.offset)
            while line := file.readline(MOST_BYTES):
                if len(line) < MOST_BYTES and not line.endswith(b"\n"):
                    break  # cut off by a kill, or being written at this moment
                head, _ = _parsed(line, place)
                self._places.setdefault(head.slot, []).append(place)
                place = _Place(place.file, file.tell(), place.number + 1)
                self._read[place.file] = place


def _trace_at(place: _Place) -> Trace:
    try:
        with open_regular(place.file) as file:
            file.seek(place.offset)
            return _arrays(*_parsed(file.readline(MOST_BYTES), place))
    except (ValueError, zlib.error, OSError) as error:
        reason = (error.strerror if isinstance(error, OSError) else None) or error
        raise RunFolderError(f"{place}: cannot be read ({reason}); {_REMEDY}") from None


def _parsed(line: bytes, place: _Place) -> tuple[_Head, bytes]:
    """Return the head of a line, and its data in base 64."""
    head, between, rest = line.partition(_DATA)
    if not between or not rest.endswith(b'"}\n'):
        raise RunFolderError(f"{place}: holds no actions; {_REMEDY}")
    try:
        found = _Head.model_validate_json(head + b"}")
        refuse_ambiguous(head + b"}")
    except ValidationError as error:
        raise RunFolderError(
            f"{place}: holds no actions ({first_complaint(error)}); {_REMEDY}"
        ) from None
    except ValueError as error:
        raise RunFolderError(f"{place}: holds no actions ({error}); {_REMEDY}") from None
    return found, rest[:-3]
