"""From a run folder, or a folder of runs of one training, to what trackers show."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path

from vla_eval.errors import UsageError
from vla_eval.judging.paired_file import EvaluationFile, read_evaluation
from vla_eval.plan import expand
from vla_eval.runs.folder import RunFolder
from vla_eval.runs.store import Records
from vla_eval.sinks.sink import Facts, Table
from vla_eval.stats import PairedTable
from vla_eval.summary.model import RunSummary, summarise_records
from vla_eval.summary.scalars import arm_scalars, pair_scalars, paired_scalars
from vla_eval.summary.text import report_text

__all__ = ["gather_facts", "runs_in"]


def runs_in(path: Path) -> list[Path]:
    """Return the run folders that a path stands for: itself, or one for each training step in it.

    Raises:
        UsageError: there is none.
    """
    if (path / "run.json").exists():
        return [path]
    steps = sorted(file.parent for file in path.glob("step-*/run.json"))
    if not steps:
        raise UsageError(
            f"{path}: is no run folder and holds none of a training (step-…/run.json); name the "
            "--out of vlaeval run, or the out of vla_eval.evaluate"
        )
    return steps


def gather_facts(path: Path, videos: Mapping[str, Sequence[Path]] | None = None) -> list[Facts]:
    """Return the facts of each arm.

    Args:
        path: a run folder, or a folder of runs of one training.
        videos: videos of the last run, by arm.

    Raises:
        UsageError: there is no run, or the runs in the folder are of several protocols.
    """
    runs = [_Read(each) for each in runs_in(path)]
    last = runs[-1]
    if len({run.folder.header.protocol_sha256 for run in runs}) > 1:
        raise UsageError(
            f"{path}: its runs are of several protocols, which are no curve; send one of them at a time"
        )
    runs = [run for run in runs if run.arms == last.arms]
    return [_facts(runs, arm, tuple((videos or {}).get(arm, ()))) for arm in last.arms]


class _Read:
    """One run folder, read once."""

    def __init__(self, path: Path) -> None:
        self.folder = RunFolder.open(path)
        self.records: Records = self.folder.records()
        header = self.folder.header
        self.arms = [arm.name for arm in header.arms]
        identities = {arm.name: arm.identity for arm in header.arms}
        self.summary: RunSummary = summarise_records(header.protocol, identities, self.records)
        self.evaluation = read_evaluation(path) or EvaluationFile()
        self.suite = "+".join(sorted({block.suite for block in header.protocol.blocks}))

    def point(self, arm: str) -> tuple[int, dict[str, float]]:
        """Return the step and the numbers of an arm."""
        ours = self.summary.arms[arm]
        numbers = arm_scalars(self.suite, ours)
        for pair in self.summary.pairs:
            if pair.candidate == arm:
                numbers |= pair_scalars(pair)
        if self.evaluation.paired is not None:
            numbers |= paired_scalars(self.evaluation.paired)
        step = ours.n if self.evaluation.step is None else self.evaluation.step
        return step, numbers


def _facts(runs: Sequence[_Read], arm: str, videos: tuple[Path, ...]) -> Facts:
    last = runs[-1]
    header = runs[0].folder.header
    known = next(each for each in last.folder.header.arms if each.name == arm)
    digest = hashlib.sha256(f"{header.protocol_sha256}/{header.created_at}/{arm}".encode())
    return Facts(
        identity=digest.hexdigest()[:16],
        arm=arm,
        group=header.protocol.label,
        config={
            "protocol": header.protocol.label,
            "protocol_sha256": header.protocol_sha256,
            "arm": arm,
            "policy": known.spec,
            "method": str((known.identity or {}).get("method", "")),
            "episodes": len(expand(header.protocol)),
        },
        points=tuple(run.point(arm) for run in runs),
        tables=_tables(last, arm),
        report=report_text(last.summary),
        videos=videos,
    )


def _tables(run: _Read, arm: str) -> tuple[Table, ...]:
    tasks = tuple(
        (name, task.successes, task.n, round(task.wilson95[0], 4), round(task.wilson95[1], 4))
        for name, task in run.summary.arms[arm].tasks.items()
    )
    columns = ("task", "successes", "n", "wilson95_low", "wilson95_high")
    tables = [Table("tasks", columns, tasks)] if tasks else []
    for pair in run.summary.pairs:
        if pair.candidate == arm and pair.method is not None:
            tables.append(_two_by_two(arm, pair.reference, pair.table))
            tables.append(_pairs(run, arm, pair.reference))
    return tuple(tables)


def _two_by_two(arm: str, reference: str, table: PairedTable) -> Table:
    return Table(
        f"pairs-{reference}",
        ("", f"{reference} succeeds", f"{reference} fails"),
        ((f"{arm} succeeds", table.n11, table.n10), (f"{arm} fails", table.n01, table.n00)),
    )


def _pairs(run: _Read, arm: str, reference: str) -> Table:
    """Return the episodes of which exactly one arm succeeded."""
    final = run.records.final
    rows = []
    for episode in expand(run.folder.header.protocol):
        ours, theirs = final.get((arm, episode.key)), final.get((reference, episode.key))
        if ours and theirs and {ours.outcome, theirs.outcome} == {"success", "failure"}:
            rows.append((str(episode.key), ours.outcome, theirs.outcome))
    return Table(f"discordant-{reference}", ("key", arm, reference), tuple(rows))
