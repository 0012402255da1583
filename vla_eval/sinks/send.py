"""Sends a run to a tracker: after the run, or while it goes on (in a process of its own)."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from vla_eval.errors import UsageError
from vla_eval.judging.paired_file import read_evaluation
from vla_eval.keys import EpisodeKey
from vla_eval.runs.folder import RunFolder
from vla_eval.sinks import videos
from vla_eval.sinks.facts import gather_facts, runs_in
from vla_eval.sinks.sink import Facts, Sink, make_sink

__all__ = ["follow", "new_failures", "send"]


def send(path: Path, to: str, *, render: bool = False, trust: bool = False) -> list[str]:
    """Send a run, or the runs of one training, to a tracker; what it had of them is replaced.

    Args:
        path: run folder, or the folder that holds one for each training step.
        to: ``NAME[:TARGET][?option=value&…]``.
        render: make videos of the last run's new failures from the stored actions; else those are sent
            that exist.
        trust: whether to run code that the folder names and that no installed package provides.

    Returns:
        The arms that were sent.

    Raises:
        UsageError: no run, or no such tracker.
        MissingExtraError: the tracker is not installed.
    """
    last = runs_in(path)[-1]
    grids = {}
    for arm in RunFolder.open(last).header.arms:
        lost = new_failures(last, arm.name)[: videos.MOST_EPISODES]
        made = videos.failure_grid(last, arm.name, lost, render=render, trust=trust)
        if made is not None:
            grids[arm.name] = [made]
    facts = gather_facts(path, grids)
    for each in facts:
        sink = make_sink(to, each)
        try:
            for step, numbers in each.points:
                sink.point(step, numbers)
            sink.finish(each)
        finally:
            sink.close()
    return [each.arm for each in facts]


def new_failures(run: Path, arm: str) -> list[EpisodeKey]:
    """Return the keys of an arm's failures, those that the reference won first."""
    folder = RunFolder.open(run)
    final = folder.records().final
    failed = [
        key for (name, key), each in final.items() if name == arm and each.outcome == "failure"
    ]
    others = [each.name for each in folder.header.arms if each.name != arm]
    evaluation = read_evaluation(run)
    lost = set(evaluation.paired.lost) if evaluation and evaluation.paired else set()
    for key in failed:
        rivals = (final.get((other, key)) for other in others)
        if any(each is not None and each.outcome == "success" for each in rivals):
            lost.add(str(key))
    return sorted(failed, key=lambda key: (str(key) not in lost, key))


def follow(path: Path, to: str, ended: Callable[[float], bool]) -> None:
    """Send the growing numbers of a run until it has ended, then everything.

    Args:
        path: the run folder; it may not exist yet.
        to: the tracker.
        ended: waits for some seconds, and returns whether the run has ended.
    """
    sinks: dict[str, tuple[Sink, int]] = {}
    over, facts = False, list[Facts]()
    try:
        while not over:
            over = ended(_POLL_S)
            facts = _read(path, over=over)
            for each in facts:
                _update(each, to, sinks)
        for each in facts:
            if each.arm in sinks:
                sinks[each.arm][0].finish(each)
    finally:
        for sink, _ in sinks.values():
            sink.close()


_POLL_S = 5.0


def _read(path: Path, *, over: bool) -> list[Facts]:
    """Return the facts so far; nothing while the run folder is being made."""
    try:
        return gather_facts(path)
    except UsageError:
        if over and (path / "run.json").exists():
            raise
        return []


def _update(facts: Facts, to: str, sinks: dict[str, tuple[Sink, int]]) -> None:
    """Send a point of an arm if further episodes have ended."""
    step, numbers = facts.points[-1]
    if not numbers:
        return
    sink, before = sinks.get(facts.arm) or (make_sink(to, facts), 0)
    sinks[facts.arm] = sink, step
    if step > before:
        sink.point(step, numbers)
