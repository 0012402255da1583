"""Uses: counts the certifications on the same held-out episodes.

Twenty candidates at the margin, each certified at 5 % on the same states, give at least one false
certificate with probability 64 %. So every certification is written down with its number m: the number
of distinct candidates certified so far with this protocol and this reference, this one included.

The first attempt is judged at the protocol's alpha, and the m-th (m >= 2) at
:func:`~vla_eval.stats.multiplicity.attempt_alpha` (m) = 6 alpha / (pi^2 m^2). The chance that any
candidate that is worse by the margin is ever certified is then at most
alpha + (pi^2/6 - 1) * 6/pi^2 * alpha = **1.39 alpha**. The 0.39 is the price of the full alpha for the
first attempt. The bound holds for candidates that were made without a look at earlier attempts'
episodes; a candidate that was tuned on these states needs new states.

A use is one JSON line in two files: ``uses.jsonl`` in the cache, and ``vlaeval-uses.jsonl`` at the top
of the run folder's git repository. The second file is meant to be committed, so that a team counts
together; it is omitted if git ignores it. The count is over the lines of both files. A candidate keeps
the number in its line; to certify it again adds no line.

The count relies on honest users: it misses a user who deletes both files or certifies elsewhere. A
result that was only reported (``vlaeval report``) is no attempt.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Literal

from filelock import FileLock, Timeout
from platformdirs import user_cache_path
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError

from vla_eval.claims.repository import is_ignored, top_of
from vla_eval.errors import UsageError

__all__ = ["LEDGER_NAME", "Attempt", "attempt"]

LEDGER_NAME = "vlaeval-uses.jsonl"
"""Name of the file at the top of a repository."""
_PATIENCE_S = 30.0


@dataclass(frozen=True)
class Attempt:
    """One certification among those on the same protocol with the same reference."""

    number: int
    """Number of the candidate among the distinct candidates, from 1."""
    files: tuple[Path, ...]
    """Files that hold this use."""
    warnings: tuple[str, ...]
    """One sentence for each problem; the count may then be too low."""


class _Use(BaseModel):
    """One line of a file. Unknown keys, which a later version may add, are ignored."""

    model_config = ConfigDict(frozen=True, extra="ignore", strict=True)

    format: Literal[1] = 1
    label: str
    """Label of the protocol, for the reader."""
    protocol_sha256: str
    reference_sha256: str
    candidate_sha256: str
    records_sha256: str
    attempt: Annotated[int, Field(ge=1)]
    at: AwareDatetime

    def same(self, other: _Use) -> bool:
        """Return whether two lines are the same use: the same candidate with the same records."""
        ignored = {"attempt", "at", "label"}
        return self.model_dump(exclude=ignored) == other.model_dump(exclude=ignored)


def attempt(
    run: Path,
    *,
    protocol_sha256: str,
    label: str,
    reference_sha256: str,
    candidate_sha256: str,
    records_sha256: str,
) -> Attempt:
    """Write down that a candidate is certified, and return its number.

    The function never fails: a file that cannot be read or written becomes a warning.

    Args:
        run: the run folder; its repository has one of the two files.
        protocol_sha256: hash of the protocol.
        label: label of the protocol, for the reader.
        reference_sha256: hash of the reference's identity.
        candidate_sha256: hash of the candidate's identity.
        records_sha256: hash of the records. The same candidate with other records keeps its number, and
            adds a line and a warning.
    """
    warnings: list[str] = []
    cache = _cache_folder(warnings)
    with _locked(cache, warnings):
        files = [cache / "uses.jsonl"] if cache is not None else []
        files += _repository_file(run, warnings)
        uses_by_file = {file: list(_read(file, warnings)) for file in files}
        before = [
            use
            for uses in uses_by_file.values()
            for use in uses
            if (use.protocol_sha256, use.reference_sha256) == (protocol_sha256, reference_sha256)
        ]
        now = _Use(
            label=label,
            protocol_sha256=protocol_sha256,
            reference_sha256=reference_sha256,
            candidate_sha256=candidate_sha256,
            records_sha256=records_sha256,
            attempt=_number(before, candidate_sha256),
            at=datetime.now(UTC),
        )
        _note_other_records(before, now, warnings)
        kept = [
            file
            for file in files
            if any(use.same(now) for use in uses_by_file[file]) or _append(file, now, warnings)
        ]
    return Attempt(now.attempt, tuple(kept), tuple(warnings))


def _number(before: list[_Use], candidate: str) -> int:
    """Return the candidate's existing number, else the next one."""
    own = [use.attempt for use in before if use.candidate_sha256 == candidate]
    if own:
        return max(own)
    distinct = {use.candidate_sha256 for use in before}
    # In merged files of two users, two candidates can have one number.
    return 1 + max([len(distinct), *(use.attempt for use in before)])


def _note_other_records(before: list[_Use], now: _Use, warnings: list[str]) -> None:
    others = {
        use.records_sha256 for use in before if use.candidate_sha256 == now.candidate_sha256
    } - {now.records_sha256}
    if others:
        warnings.append(
            f"this candidate was certified on {now.label} before with other records "
            f"({', '.join(sorted(digest[:12] for digest in others))}): it was run again, and the "
            "results differ"
        )


def _cache_folder(warnings: list[str]) -> Path | None:
    """Return the cache folder: VLA_EVAL_CACHE, else the platform's place, as environments do."""
    chosen = os.environ.get("VLA_EVAL_CACHE")
    folder = Path(chosen).expanduser() if chosen else user_cache_path("vla_eval")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        warnings.append(
            f"{folder}: the cache cannot be made ({error.strerror}), so this use is not remembered "
            "there; set VLA_EVAL_CACHE to a folder that you can write to"
        )
        return None
    return folder


@contextmanager
def _locked(cache: Path | None, warnings: list[str]) -> Iterator[None]:
    """Hold this user's exclusive lock for both files; it lies in the cache."""
    if cache is None:
        yield
        return
    lock = FileLock(cache / "uses.lock")
    try:
        lock.acquire(timeout=_PATIENCE_S)
    except (OSError, Timeout, NotImplementedError) as error:
        warnings.append(
            f"{lock.lock_file}: cannot be locked ({type(error).__name__}), so two certifications at "
            "once may get one number"
        )
    try:
        yield
    finally:
        lock.release()


def _repository_file(run: Path, warnings: list[str]) -> list[Path]:
    """Return the file of the run's repository; an empty list if there is none or git ignores it."""
    try:
        top = top_of(run.resolve())
        if is_ignored(top, LEDGER_NAME):
            return []
    except UsageError:
        return []
    file = top / LEDGER_NAME
    if file.is_symlink():  # an unknown repository must not choose the file that is written
        warnings.append(f"{file}: is a link, and a ledger is a file; it was passed over")
        return []
    return [file]


def _read(file: Path, warnings: list[str]) -> Iterator[_Use]:
    """Yield the uses in a file; damaged lines are skipped with a warning."""
    try:
        if not file.exists():
            return
        _refuse_other_than_file(file.stat())
        lines = file.read_bytes().splitlines()
    except OSError as error:
        warnings.append(f"{file}: cannot be read ({error.strerror}); its uses are not counted")
        return
    damaged = []
    for number, line in enumerate(lines, start=1):
        try:
            use = _Use.model_validate_json(line)
        except ValidationError:
            damaged += [number] if line.strip() else []
        else:
            yield use
    if damaged:
        warnings.append(
            f"{file}: {len(damaged)} lines hold no use and are not counted (the first is line "
            f"{damaged[0]}); correct or remove them"
        )


def _refuse_other_than_file(found: os.stat_result) -> None:
    """Raise OSError for a named pipe, a folder or a device, without waiting for it."""
    if not stat.S_ISREG(found.st_mode):
        raise OSError(errno.EINVAL, "it is no file")


def _append(file: Path, use: _Use, warnings: list[str]) -> bool:
    """Append a use to a file; return whether that succeeded."""
    flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    try:
        descriptor = os.open(file, flags, 0o644)
        try:
            status = os.fstat(descriptor)
            _refuse_other_than_file(status)
            torn = status.st_size and os.pread(descriptor, 1, status.st_size - 1) != b"\n"
            line = b"\n" * bool(torn) + use.model_dump_json().encode() + b"\n"
            os.write(descriptor, line)  # the next reader skips half a line as damaged
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    except OSError as error:
        warnings.append(
            f"{file}: cannot be written ({error.strerror}), so this use is not remembered there"
        )
        return False
    return True
