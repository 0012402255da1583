"""Running a protocol: the one function behind ``vlaeval run``."""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

from vla_eval.catalog import check_catalogue, prepare
from vla_eval.engine.agenda import Block
from vla_eval.engine.cluster import Cluster, Engine, is_local, opened
from vla_eval.engine.devices import Fleet
from vla_eval.engine.dispatch import pending_items
from vla_eval.engine.progress import Progress
from vla_eval.engine.session import RunSession
from vla_eval.engine.supervisor import Supervisor
from vla_eval.errors import InterruptedRunError, NothingToDoError, UsageError
from vla_eval.judging.look_files import take_looks
from vla_eval.judging.looks import due_keys, look_sentence
from vla_eval.judging.resize_file import take_resizing
from vla_eval.judging.resizing import decides_by_pairs, resizing_sentence
from vla_eval.judging.roles import sequential_roles
from vla_eval.keys import EpisodeKey
from vla_eval.plan import PlannedEpisode, Shard, expand, in_stages, take_shard
from vla_eval.protocol import Protocol
from vla_eval.realtime.latency import check_arms
from vla_eval.released import load_protocol
from vla_eval.runs.folder import RunFolder, check_arm_names
from vla_eval.runs.store import Records
from vla_eval.spec import placement_of
from vla_eval.stats import Decision
from vla_eval.stopping import handling, stop_signals
from vla_eval.summary.model import RunSummary, summarise

__all__ = ["finish", "run", "work_through"]

_AHEAD = 4
"""The next block may begin before a look if the workers are more than such a part of the block's episodes."""


def run(  # noqa: PLR0913  options of the command, all by keyword
    protocol: str | Protocol,
    arms: Mapping[str, str],
    out: str | os.PathLike[str],
    *,
    workers: int | None = None,
    shard: str | None = None,
    overrides: Sequence[str] = (),
    engine: str | Fleet | Cluster = "local",
    actions: bool = True,
    notify: Callable[[str], None] | None = None,
) -> RunSummary:
    """Run a protocol, or continue the run that ``out`` holds.

    Called from a script, it needs the usual ``if __name__ == "__main__":`` guard, because workers
    are spawned processes.

    Args:
        protocol: name of a shipped protocol, path of a file, or a Protocol.
        arms: policy specs by the names of their arms; the candidate first, then the reference.
        out: the run folder.
        workers: environments at a time; default one per usable core (:func:`~vla_eval.cores.usable_cores`),
            or one per processor of the cluster.
        shard: ``i/n`` runs the i-th of n parts of the plan.
        overrides: ``key.path=value`` changes of the protocol; a run with changes is marked as modified.
        engine: where it runs: ``local``, ``ray``, ``ray:ADDRESS`` or ``ray:local``, or one of these in
            detail; see :func:`vla_eval.engine.cluster.opened`. Records do not depend on it at max_batch 1.
        actions: whether the executed actions are kept, some 8 kB an episode. With them an episode can be
            shown again without its policy.
        notify: called with one sentence after a repair; default prints to stderr.

    Returns:
        The summary of all results that the folder holds now.

    Raises:
        UsageError: the request cannot be met (see vla_eval.errors).
        InfrastructureError: the machine cannot go on.
        InterruptedRunError: Ctrl-C, SIGTERM or SIGHUP; repeat the command to continue.
    """
    if getattr(multiprocessing.current_process(), "_inheriting", False):
        raise UsageError(
            "vla_eval.run was called while a worker imported your script; put the call under "
            "if __name__ == '__main__':"
        )
    if not isinstance(protocol, Protocol):
        protocol = load_protocol(protocol, overrides=overrides)
    if not arms:
        raise UsageError("no policy to run: give at least one --arm NAME=SPEC, or --policy SPEC")
    check_arm_names(arms)
    check_arms(protocol.run.realtime, arms)
    for text in arms.values():
        placement_of(text)
    check_catalogue(protocol)
    if decides_by_pairs(protocol):
        sequential_roles(protocol, list(arms))
    part = Shard.parse(shard) if shard else Shard(1, 1)
    if shard and not is_local(engine):
        raise UsageError("--shard is for jobs without a common engine; on a cluster leave it out")
    if workers is not None and workers < 1:
        raise UsageError(f"--workers {workers}: at least one worker is needed")
    if done := _finished_before(Path(out), protocol, arms):
        return done
    prepare(protocol)
    with opened(engine) as where:
        folder, lock = RunFolder.enter(Path(out), protocol, arms, part)
        with lock, _terminable():
            return _run_locked(
                folder, part, where, workers or where.workers, notify, actions=actions
            )


def _finished_before(path: Path, protocol: Protocol, arms: Mapping[str, str]) -> RunSummary | None:
    """Return the summary of this run if it is complete and its folder is read-only; else None."""
    if not (path / "run.json").is_file() or os.access(path, os.W_OK):
        return None
    RunFolder.open(path).refuse_other_run(protocol, arms)
    summary = summarise([path])
    return summary if summary.complete else None


def _run_locked(
    folder: RunFolder,
    part: Shard,
    engine: Engine,
    workers: int,
    notify: Callable[[str], None] | None,
    *,
    actions: bool,
) -> RunSummary:
    protocol = folder.header.protocol
    names = [arm.name for arm in folder.header.arms]
    records = folder.records()
    due = due_keys(protocol, names, records)
    blocks = in_stages(protocol, pairs=len(due))
    plan = [episode for block in blocks for episode in take_shard(block, part)]
    if not plan:
        raise NothingToDoError(
            f"shard {part.index}/{part.count} is empty: the plan has only "
            f"{len(expand(protocol))} episodes"
        )
    if engine.about is not None:
        folder.note_engine(engine.about)
    open_ = set(due)
    items = pending_items([episode for episode in plan if episode.key in open_], names, records)
    with Progress(len(plan) * len(names), names, quiet=not items) as progress:
        say = notify or progress.say
        slots = min(workers, max(1, len(items)))
        work_through(
            folder,
            _work(folder, part, say, 0 if engine.about is None else slots, records),
            plan,
            records,
            engine=engine,
            workers=slots,
            progress=progress,
            notify=say,
            actions=actions,
        )
    return finish(folder)


def work_through(  # noqa: PLR0913  what a run consists of
    folder: RunFolder,
    blocks: Iterable[Block],
    plan: Sequence[PlannedEpisode],
    records: Records,
    *,
    engine: Engine,
    workers: int,
    progress: Progress,
    notify: Callable[[str], None],
    actions: bool = True,
) -> None:
    """Run blocks of work items of a locked folder, one after the other.

    Args:
        folder: the run.
        blocks: the items; the next block is taken when all items of the last have ended.
        plan: the episodes that the blocks can hold.
        records: the folder's records.
        engine: an opened engine.
        workers: environments at a time.
        progress: is told of the episodes that have ended before, and of each that ends.
        notify: called with one sentence after a repair.
        actions: whether the executed actions are kept.

    Raises:
        UsageError, InfrastructureError: as :func:`run`.
        InterruptedRunError: Ctrl-C.
    """
    keys = {episode.key for episode in plan}
    errors = [
        record
        for (_arm, key), attempts in records.errors.items()
        if key in keys
        for record in attempts
    ]
    raised = _replay(records, keys, progress)
    session = RunSession(folder.episodes, keeps_actions=actions)
    supervisor = Supervisor(
        folder,
        blocks,
        session=session,
        crew=engine.make_crew(folder, session, workers),
        ended=progress.ended - raised,
        errors=errors,
        on_record=progress.record,
        notify=notify,
    )
    try:
        supervisor.run()
    except KeyboardInterrupt:
        raise InterruptedRunError(
            f"interrupted with {progress.ended} of {len(plan) * len(folder.header.arms)} episodes "
            "done; repeat the same command to continue"
        ) from None


def _work(
    folder: RunFolder, part: Shard, say: Callable[[str], None], ahead: int, records: Records
) -> Iterator[Block]:
    """Yield the open items of each block, until a look after a block stops the run.

    A generator: the code after a ``yield`` runs when all yielded items have ended.

    Args:
        folder: the run.
        part: the shard.
        say: called with a sentence after each look.
        ahead: number of workers that may begin the next block; 0: none. With few for a block's size
            that gains little, and costs episodes after a stop.
        records: the records from before the first block.
    """
    protocol = folder.header.protocol
    if protocol.analysis.resize is not None:
        yield from _resized_work(folder, part, say, records)
        return
    blocks = [take_shard(block, part) for block in in_stages(protocol)]
    for number, block in enumerate(blocks, start=1):
        episodes = len(block) * len(folder.header.arms)
        following = blocks[number : number + 1] if _AHEAD * ahead > episodes else []
        now = records if number == 1 else folder.records()
        yield from _open(folder, block, now, [episode for each in following for episode in each])
        if protocol.analysis.stopping != "fixed" and not _may_go_on(folder, number, say):
            return


def _resized_work(
    folder: RunFolder, part: Shard, say: Callable[[str], None], records: Records
) -> Iterator[Block]:
    """Yield the open items of the first pairs, and of those that the decision after them asks for."""
    protocol = folder.header.protocol
    yield from _open(folder, take_shard(in_stages(protocol)[0], part), records)
    resizing = take_resizing(folder)
    if resizing is None:
        say(
            "the size of the run waits for episodes that are missing or in other shards; repeat the "
            "command when they are there"
        )
        return
    say(resizing_sentence(resizing))
    others = take_shard(in_stages(protocol, pairs=resizing.pairs)[1], part)
    yield from _open(folder, others, folder.records())


def _open(
    folder: RunFolder,
    block: Sequence[PlannedEpisode],
    records: Records,
    ahead: Sequence[PlannedEpisode] = (),
) -> Iterator[Block]:
    """Yield the open items of a block, if there are any, with those of the next one."""
    names = [arm.name for arm in folder.header.arms]
    if items := pending_items(block, names, records):
        yield Block(items, pending_items(ahead, names, records))


def _may_go_on(folder: RunFolder, number: int, say: Callable[[str], None]) -> bool:
    """Take the look after a block, and report its decision."""
    looks = take_looks(folder)
    if len(looks) < number:
        say(
            f"look {number} waits for episodes that are missing or in other shards; repeat the "
            "command when they are there"
        )
        return False
    look = looks[number - 1]
    say(look_sentence(look, len(in_stages(folder.header.protocol))))
    return look.decision is Decision.CONTINUE


def finish(folder: RunFolder) -> RunSummary:
    """Summarise a locked run, and write its summary and status."""
    summaries: list[RunSummary] = []

    def make() -> tuple[bool, dict[str, Any]]:
        summaries.append(summarise([folder.path]))
        return summaries[0].complete, summaries[0].to_json()

    folder.finish(make)
    return summaries[0]


def _replay(records: Records, keys: Container[EpisodeKey], progress: Progress) -> int:
    """Count the ended episodes; return how many of them ended by an exception of the policy."""
    ended = [
        record
        for record in records.final.values()
        if record.outcome != "error" and record.key in keys
    ]
    for record in ended:
        progress.record(record)
    return sum(record.reason == "policy_raised" for record in ended)


@contextmanager
def _terminable() -> Iterator[None]:
    """Treat SIGTERM and SIGHUP like Ctrl-C, unless the caller handles them already."""

    def interrupt(_signal: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    numbers = [number for number in stop_signals() if signal.getsignal(number) == signal.SIG_DFL]
    with handling(numbers, interrupt):
        yield
