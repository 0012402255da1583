"""Makes films in the background: worker processes, one queue, and what became of each film."""

from __future__ import annotations

import multiprocessing
import os
import secrets
from collections.abc import Iterable, Sequence
from concurrent.futures import BrokenExecutor, Future, ProcessPoolExecutor
from contextlib import suppress
from pathlib import Path
from threading import Lock
from types import TracebackType
from typing import Literal, Self

from vla_eval.errors import UsageError, VlaEvalError
from vla_eval.keys import EpisodeKey
from vla_eval.protocol import Protocol
from vla_eval.record import EpisodeRecord
from vla_eval.trust import foreign_code
from vla_eval.view.films import FilmStyle, film_id, media_folder, read_film
from vla_eval.view.gather import ShownArm, ShownRun, arms_of
from vla_eval.view.render import FilmOrder, make_film

__all__ = ["Choice", "FilmState", "Studio", "chosen", "reason_of", "refuse_foreign", "step_back"]

Choice = Literal["discordant", "failures", "all"]
FilmState = Literal["queued", "running", "failed"]


def chosen(runs: Sequence[ShownRun], choice: Choice) -> list[tuple[EpisodeKey, list[ShownArm]]]:
    """Return the episodes that a choice names, with the arms that ended each, in the plan's order.

    Args:
        runs: the runs.
        choice: episodes in which the arms' results differ; failures with the other arms' same episodes; or
            all of them.
    """
    arms = arms_of(runs)
    found = []
    for key in dict.fromkeys(key for run in runs for key in run.planned):
        ended = {
            arm: record.outcome
            for arm in arms
            if (record := arm.record(key)) is not None and record.outcome != "error"
        }
        outcomes = set(ended.values())
        if (
            (choice == "all" and ended)
            or (choice == "failures" and "failure" in outcomes)
            or (choice == "discordant" and len(outcomes) > 1)
        ):
            found.append((key, list(ended)))
    return found


class Studio:
    """Makes films in worker processes.

    Args:
        workers: number of processes; they start with the first film.
        style: how films are made.
        trust: whether to run environments that a run folder names and no installed package provides.
    """

    def __init__(self, *, workers: int, style: FilmStyle, trust: bool = False) -> None:
        self._style = style
        self._workers, self._trust = workers, trust
        self._pool: ProcessPoolExecutor | None = None
        self._futures: dict[str, Future[None]] = {}
        self._lock = Lock()
        self._maker = secrets.token_hex(4)
        self._folders: set[Path] = set()

    def name(self, record: EpisodeRecord) -> str:
        """Return the name of an episode's film."""
        return film_id(record, self._style)

    def order(self, arm: ShownArm, key: EpisodeKey) -> Future[None]:
        """Ask for an episode's film, unless it is there or in work; return its future.

        Raises:
            UsageError: the episode has no result or no stored actions, or its environment is foreign code.
            RunFolderError: its stored actions are damaged.
        """
        order = self._order_of(arm, key)
        with self._lock:
            known = self._futures.get(order.film)
            if known is None or (known.done() and known.exception() is not None):
                self._futures[order.film] = self._begin(order)
            return self._futures[order.film]

    def _order_of(self, arm: ShownArm, key: EpisodeKey) -> FilmOrder:
        record = arm.record(key)
        if record is None or not record.steps:
            raise UsageError(
                f"arm '{arm.label}' has no steps of episode {key}, so there is no film"
            )
        header = arm.run.header
        if not self._trust:
            refuse_foreign(arm.run.path, header.protocol)
        trace = arm.run.trace(record)
        if trace is None:
            raise UsageError(
                f"{arm.run.path}: holds no actions of episode {key}; `vlaeval replay` with the policy "
                "shows it"
            )
        run = arm.run.path
        self._folders.add(media_folder(run))
        return FilmOrder(
            self.name(record),
            run,
            media_folder(run),
            record,
            trace,
            self._style,
            self._trust,
            self._maker,
        )

    def _begin(self, order: FilmOrder) -> Future[None]:
        if read_film(order.folder, order.film) is not None:
            done: Future[None] = Future()
            done.set_result(None)
            return done
        if self._pool is None:
            self._pool = ProcessPoolExecutor(
                self._workers,
                mp_context=multiprocessing.get_context("spawn"),
                initializer=step_back,
            )
        try:
            return self._pool.submit(make_film, order)
        except BrokenExecutor:  # a worker died, for example of its GL driver
            self._pool.shutdown(wait=False, cancel_futures=True)
            self._pool = None
            return self._begin(order)

    def states(self) -> dict[str, FilmState]:
        """Return the films in work, and those that failed."""
        with self._lock:
            futures = dict(self._futures)
        states: dict[str, FilmState] = {}
        for film, future in futures.items():
            if not future.done():
                states[film] = "running" if future.running() else "queued"
            elif future.exception() is not None:
                states[film] = "failed"
        return states

    def failure(self, film: str) -> str:
        """Return why a film failed, in one sentence; empty if it did not."""
        future = self._futures.get(film)
        error = future.exception() if future is not None and future.done() else None
        return "" if error is None else reason_of(error)

    def make(
        self, episodes: Iterable[tuple[ShownArm, EpisodeKey]]
    ) -> list[tuple[Future[None] | None, str]]:
        """Order films; return for each the future, or the sentence why there is none."""
        ordered: list[tuple[Future[None] | None, str]] = []
        for arm, key in episodes:
            try:
                ordered.append((self.order(arm, key), ""))
            except VlaEvalError as error:
                ordered.append((None, str(error)))
        return ordered

    def __enter__(self) -> Self:
        """Use the studio in a ``with`` statement."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Drop what is queued and in work, and end the workers."""
        if self._pool is None:
            return
        # Its own way to end workers at once comes with Python 3.14.
        for process in list(self._pool._processes.values()):  # noqa: SLF001
            process.terminate()
        self._pool.shutdown(wait=True, cancel_futures=True)
        for folder in self._folders:
            for file in folder.glob(f".*.{self._maker}.mp4"):
                file.unlink(missing_ok=True)


def refuse_foreign(run: Path, protocol: Protocol, *, where: str = "add --trust") -> None:
    """Refuse environments of a run that no installed package provides; the user is not asked in between.

    Args:
        run: the run folder.
        protocol: its protocol.
        where: what to do for those who trust the folder.

    Raises:
        UsageError: there are such environments; nothing was imported.
    """
    if foreign := foreign_code(protocol, []):
        raise UsageError(
            f"{run / 'run.json'} names code that would be run: {'; '.join(foreign)}; if you trust who made "
            f"it, {where}"
        )


def reason_of(error: BaseException) -> str:
    """Return why a film could not be made, in one sentence."""
    if isinstance(error, VlaEvalError):
        return str(error)
    if isinstance(error, BrokenExecutor):
        return "the process that made the film died; `vlaeval doctor` checks the simulator"
    return f"{type(error).__name__}: {error}"


def step_back() -> None:
    """Let everything else on this machine go first: a run may be going on."""
    with suppress(OSError):
        os.nice(10)
