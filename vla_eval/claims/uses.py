"""Uses: how often the same held-out episodes have been certified on.

Twenty candidates at the margin, each certified at 5 % on the same states, give one false certificate in
64 cases of 100. So every certification is written down, and tells its number m: how many distinct
candidates have been certified with this protocol and this reference, this one included.

The first is judged at the protocol's alpha, and the m-th from the second on at
:func:`~vla_eval.stats.multiplicity.attempt_alpha` (m) = 6 alpha / (pi^2 m^2). All attempts that there
will ever be then err with at most alpha + (pi^2/6 - 1) * 6/pi^2 * alpha = **1.39 alpha** together: the
chance that any candidate that is worse by the margin is certified. The price of looking at the first
one at full alpha is the 0.39. That holds for candidates that are not made by looking at earlier
attempts' episodes; who tunes on these states needs new ones.

A use is one JSON line in two places: ``uses.jsonl`` in the cache, and ``vlaeval-uses.jsonl`` at the top
of the git repository that the run folder lies in, to be committed, so that a team counts together.
Both are read and what they hold is taken together. The repository's file is left out where it would
be ignored. The candidate's number stands in its line and stays; certifying again adds nothing.

It is a memory for honest people: who deletes both files, or certifies elsewhere, is not counted, and a
result that was only looked at (``vlaeval report``) is no attempt.
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
"""What the file at the top of a repository is called."""
_PATIENCE_S = 30.0


@dataclass(frozen=True)
class Attempt:
    """One certification among those on the same protocol with the same reference."""

    number: int
    """From 1: the how-manieth distinct candidate this is."""
    files: tuple[Path, ...]
    """Where it is written down."""
    warnings: tuple[str, ...]
    """What went wrong with that, a sentence each; the count may be too low then."""


class _Use(BaseModel):
    """One line. Keys that a later version adds are passed over."""

    model_config = ConfigDict(frozen=True, extra="ignore", strict=True)

    format: Literal[1] = 1
    label: str
    """The protocol's, for the reader."""
    protocol_sha256: str
    reference_sha256: str
    candidate_sha256: str
    records_sha256: str
    attempt: Annotated[int, Field(ge=1)]
    at: AwareDatetime

    def same(self, other: _Use) -> bool:
        """Whether two lines speak of one use: of the same candidate with the same records."""
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
    """Write down that a candidate is certified, and return the how-manieth it is.

    Nothing about it can fail: what cannot be read or written becomes a warning.

    Args:
        run: the run folder; its repository has one of the two files.
        protocol_sha256: of the protocol.
        label: the protocol's, for the reader.
        reference_sha256: of the reference's identity.
        candidate_sha256: of the candidate's identity.
        records_sha256: of the records; the same candidate with other records keeps its number, and
            leaves a line and a warning.
    """
    warnings: list[str] = []
    cache = _cache_folder(warnings)
    with _locked(cache, warnings):
        files = [cache / "uses.jsonl"] if cache is not None else []
        files += _repository_file(run, warnings)
        found = {file: list(_read(file, warnings)) for file in files}
        before = [
            use
            for uses in found.values()
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
            if any(use.same(now) for use in found[file]) or _append(file, now, warnings)
        ]
    return Attempt(now.attempt, tuple(kept), tuple(warnings))


def _number(before: list[_Use], candidate: str) -> int:
    """Return the number that a candidate has already, else the next one."""
    own = [use.attempt for use in before if use.candidate_sha256 == candidate]
    if own:
        return max(own)
    distinct = {use.candidate_sha256 for use in before}
    # In files of two people that were put together, two candidates can have one number.
    return 1 + max([len(distinct), *(use.attempt for use in before)])


def _note_other_records(before: list[_Use], now: _Use, warnings: list[str]) -> None:
    others = {
        use.records_sha256 for use in before if use.candidate_sha256 == now.candidate_sha256
    } - {now.records_sha256}
    if others:
        warnings.append(
            f"this candidate was certified on {now.label} before with other records "
            f"({', '.join(sorted(each[:12] for each in others))}): it was run again, and the "
            "results differ"
        )


def _cache_folder(warnings: list[str]) -> Path | None:
    """Return the cache: VLA_EVAL_CACHE, else the platform's place, as environments keep theirs."""
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
    """Be the only one of this user who counts; the lock lies in the cache for both files."""
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
    """Return the ledger of the run's repository, where there is one that would keep it."""
    try:
        top = top_of(run.resolve())
        if is_ignored(top, LEDGER_NAME):
            return []
    except UsageError:
        return []
    file = top / LEDGER_NAME
    if file.is_symlink():  # a stranger's repository must not choose what is written to
        warnings.append(f"{file}: is a link, and a ledger is a file; it was passed over")
        return []
    return [file]


def _read(file: Path, warnings: list[str]) -> Iterator[_Use]:
    """Yield the uses that a file holds; damaged lines are passed over."""
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
            f"{damaged[0]}); mend or remove them"
        )


def _refuse_other_than_file(found: os.stat_result) -> None:
    """Raise OSError for a named pipe, a folder or a device; none of them is waited for."""
    if not stat.S_ISREG(found.st_mode):
        raise OSError(errno.EINVAL, "it is no file")


def _append(file: Path, use: _Use, warnings: list[str]) -> bool:
    """Write a use down; return whether that worked."""
    flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    try:
        descriptor = os.open(file, flags, 0o644)
        try:
            found = os.fstat(descriptor)
            _refuse_other_than_file(found)
            torn = found.st_size and os.pread(descriptor, 1, found.st_size - 1) != b"\n"
            line = b"\n" * bool(torn) + use.model_dump_json().encode() + b"\n"
            os.write(descriptor, line)  # a half of it is a damaged line to the next reader
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    except OSError as error:
        warnings.append(
            f"{file}: cannot be written ({error.strerror}), so this use is not remembered there"
        )
        return False
    return True
