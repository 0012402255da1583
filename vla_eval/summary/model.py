"""The summary of a run folder: counts, rates with intervals, paired tables, wall times."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from itertools import combinations
from pathlib import Path
from typing import Any

from pydantic import JsonValue

from vla_eval.errors import RunFolderError
from vla_eval.judging import ledger
from vla_eval.judging.curves import Curves, Within, curves_of, differences_within
from vla_eval.judging.ledger import ArmEpisodes
from vla_eval.judging.looks import Look, due_keys, judged_by, looks_of
from vla_eval.judging.measures import MEASURES, Measure, measure_of, worth_of
from vla_eval.judging.methods import JudgingMethod, judging
from vla_eval.judging.rates import rate_interval
from vla_eval.judging.reactions import Reactions, reactions_of
from vla_eval.judging.resizing import Resizing, resizing_of
from vla_eval.judging.timings import inference_ms, phase_seconds, quantile
from vla_eval.judging.virtual import VirtualArm
from vla_eval.keys import EpisodeKey
from vla_eval.plan import expand
from vla_eval.protocol import Protocol
from vla_eval.record import EpisodeRecord
from vla_eval.runs.folder import RunFolder
from vla_eval.runs.header import RunHeader, same_policy
from vla_eval.runs.store import Records
from vla_eval.stats import PairedTable

__all__ = [
    "ArmSummary",
    "Pair",
    "RunSummary",
    "TaskRate",
    "merge_records",
    "protocol_json",
    "summarise",
]


@dataclass(frozen=True)
class TaskRate:
    """Result of one arm on one task."""

    successes: int
    n: int
    wilson95: tuple[float, float]
    """Interval by the same rule as the arm's (`ArmSummary.wilson95`)."""


@dataclass(frozen=True)
class ArmSummary:
    """One arm's results; rates exclude errors and missing episodes."""

    n: int
    """Number of episodes that ended in success or failure."""
    successes: int
    errors: int
    """Number of missing episodes: they have infrastructure errors only."""
    pending: int
    """Number of episodes without an attempt."""
    retried: int
    """Number of results after a lost attempt that the policy can have influenced
    (:mod:`vla_eval.judging.ledger`)."""
    mean_score: float | None
    wilson95: tuple[float, float]
    """Wilson's interval; if initial states repeat, of counts divided by the variance inflation."""
    tasks: dict[str, TaskRate]
    """Results by ``suite/task``."""
    reasons: dict[str, int]
    """Number of failures and errors by reason."""
    clipped_actions: int
    counts: dict[str, int]
    """The policy's own counts by name, summed over episodes."""
    seconds: dict[str, float]
    """Wall time by phase in s, summed over episodes."""
    infer_ms_p50: float | None
    infer_ms_p95: float | None
    nfe_per_chunk: float | None
    virtual: VirtualArm | None = None
    """Delays and stalls; None unless the protocol runs in virtual time."""
    reactions: Mapping[str, Reactions] = field(default_factory=dict)
    """Reaction times by event; empty where nothing is done to the scenes."""

    def worst_and_best_rate(self) -> tuple[float, float]:
        """Return the success rates if every missing episode had failed, or had succeeded."""
        total = self.n + self.errors
        if total == 0:
            return 0.0, 1.0
        return self.successes / total, (self.successes + self.errors) / total


@dataclass(frozen=True)
class Pair:
    """Two arms on their common results in known and equal scenes."""

    candidate: str
    reference: str
    method: JudgingMethod | None
    """Judging method of the protocol with these pairs; None without pairs."""
    unequal_scenes: int
    """Number of episodes left out because the arms' scenes differ."""
    unknown_scenes: int = 0
    """Number of episodes left out because the environment gives no scene hash."""
    measure: Measure = MEASURES["success"]
    """What the method judges."""
    within: tuple[Within, ...] = ()
    """Differences of successes by time; empty unless the protocol runs in virtual time."""

    @property
    def table(self) -> PairedTable:
        """Counts of pairs."""
        return self.method.table if self.method else PairedTable(0, 0, 0, 0)


@dataclass(frozen=True)
class RunSummary:
    """A run, summarised."""

    protocol: Protocol
    complete: bool
    """Whether every planned episode of every arm ended in success or failure; a sequential run needs the
    episodes up to the look that stopped it."""
    arms: dict[str, ArmSummary]
    pairs: tuple[Pair, ...]
    standins: int
    """Number of episodes on stand-in assets; their results must not be published."""
    beyond: int
    """Number of results beyond the stop: they were under way when it was decided, and are not used."""
    unknown: tuple[str, ...] = ()
    """Arms whose server does not identify its policy; such a run is not certified."""
    torn: tuple[str, ...] = ()
    contradictions: tuple[str, ...] = ()
    """One sentence for each episode with two different results; such a run cannot be certified."""
    attempts: int = 0
    tasks: dict[str, str] = field(default_factory=dict)
    """Instructions by ``suite/task``."""
    looks: tuple[Look, ...] = ()
    """Looks of a sequential run."""
    resizing: Resizing | None = None
    """Decision about the size of a resized run; None before it, and in other runs."""
    curves: Curves | None = None
    """Successes by time; None unless the protocol runs in virtual time."""
    objection: str = ""
    """Reason why a look of a sequential run cannot be taken; empty if there is none."""

    def to_json(self) -> dict[str, Any]:
        """Return the stable JSON form for scripts."""
        return {
            "protocol": protocol_json(self.protocol, len(expand(self.protocol))),
            "complete": self.complete,
            "standins": self.standins > 0,
            "unknown_policies": list(self.unknown),
            "contradictions": len(self.contradictions),
            "arms": {name: _arm_json(arm) for name, arm in self.arms.items()},
            "pairs": [_pair_json(pair) for pair in self.pairs],
            "looks": [look.model_dump(mode="json") for look in self.looks],
            **({"beyond_the_stop": self.beyond} if self.beyond else {}),
            **({"resizing": self.resizing.model_dump(mode="json")} if self.resizing else {}),
            **({"curves": self.curves.to_json()} if self.curves else {}),
        }


def _arm_json(arm: ArmSummary) -> dict[str, Any]:
    return {
        "n": arm.n,
        "successes": arm.successes,
        "errors": arm.errors,
        "pending": arm.pending,
        "retried": arm.retried,
        "mean_score": arm.mean_score,
        "wilson95": list(arm.wilson95),
        "rate_if_missing": list(arm.worst_and_best_rate()),
        "tasks": {
            name: {"successes": task.successes, "n": task.n, "wilson95": list(task.wilson95)}
            for name, task in arm.tasks.items()
        },
        "reasons": arm.reasons,
        "clipped_actions": arm.clipped_actions,
        "counts": arm.counts,
        "seconds": arm.seconds,
        "infer_ms": {"p50": arm.infer_ms_p50, "p95": arm.infer_ms_p95},
        "nfe_per_chunk": arm.nfe_per_chunk,
        **({} if arm.virtual is None else {"realtime": arm.virtual.to_json()}),
        **({"events": {k: v.to_json() for k, v in arm.reactions.items()}} if arm.reactions else {}),
    }


def _pair_json(pair: Pair) -> dict[str, Any]:
    table, method = pair.table, pair.method
    return {
        "candidate": pair.candidate,
        "reference": pair.reference,
        "n11": table.n11,
        "n10": table.n10,
        "n01": table.n01,
        "n00": table.n00,
        "measure": pair.measure.name,
        "difference": method.difference if method else None,
        "method": method.name if method else None,
        "ci95": list(method.interval(0.05)) if method else None,
        "ci90": list(method.interval(0.10)) if method else None,
        "unequal_scenes": pair.unequal_scenes,
        "unknown_scenes": pair.unknown_scenes,
        **({"within": [asdict(each) for each in pair.within]} if pair.within else {}),
    }


def summarise(paths: Sequence[Path]) -> RunSummary:
    """Summarise a run, or several folders that hold shards of one run.

    Raises:
        RunFolderError: a folder holds no run, its records are damaged, or the runs differ.
    """
    folders = [RunFolder.open(path) for path in paths]
    first = folders[0].header
    merged = merge_records(folders)
    identities = {arm.name: arm.identity for arm in first.arms}
    return summarise_records(first.protocol, identities, merged)


def merge_records(folders: Sequence[RunFolder]) -> Records:
    """Read the records of one run, whose shards may lie in several folders.

    Raises:
        RunFolderError: records are damaged, or the runs differ.
    """
    first = folders[0].header
    merged = Records()
    for folder in folders:
        if folder.header.protocol_sha256 != first.protocol_sha256 or not _same_arms(
            folder.header, first
        ):
            raise RunFolderError(
                f"{folder.path}: is not of the same run as {folders[0].path} "
                "(another protocol, or other arms)"
            )
        records = folder.records()
        merged.torn += [f"{folder.path.name}/{name}" for name in records.torn]
        merged.contradictions += records.contradictions
        for record in records.attempts:
            merged.add(record, str(folder.path))
    return merged


def _same_arms(one: RunHeader, other: RunHeader) -> bool:
    """Return whether names, specs and, if both are known, identities are equal."""
    pairs = list(zip(one.arms, other.arms, strict=False))
    return len(one.arms) == len(other.arms) and all(
        (left.name, left.spec) == (right.name, right.spec) and same_policy(left, right)
        for left, right in pairs
    )


def protocol_json(protocol: Protocol, episodes_per_arm: int) -> dict[str, Any]:
    """Return the facts about a protocol for scripts."""
    realtime = protocol.run.realtime
    return {
        "name": protocol.protocol,
        "version": protocol.version,
        "sha256": protocol.sha256,
        "modified": protocol.overrides is not None,
        "episodes_per_arm": episodes_per_arm,
        **(
            {}
            if realtime is None
            else {"realtime": realtime.model_dump(mode="json", exclude_none=True)}
        ),
    }


def summarise_records(
    protocol: Protocol,
    identities: Mapping[str, Mapping[str, JsonValue] | None],
    records: Records,
) -> RunSummary:
    """Summarise records in memory.

    Args:
        protocol: the run's protocol.
        identities: identities by the names of the arms, in order; None where there is none yet.
        records: the records.
    """
    arms = list(identities)
    keys, looks, objection = _due(protocol, arms, records)
    sorted_ = {arm: ArmEpisodes.of(records, arm, keys) for arm in arms}
    pairs = [
        _pair(protocol, sorted_[first], sorted_[second], keys)
        for first, second in combinations(arms, 2)
    ]
    summaries = {
        arm: _summarise_arm(protocol, episodes, identities[arm])
        for arm, episodes in sorted_.items()
    }
    finals = list(records.final.values())
    return RunSummary(
        protocol=protocol,
        complete=all(arm.n == len(keys) for arm in summaries.values()),
        arms=summaries,
        pairs=tuple(pairs),
        standins=sum(1 for record in finals if record.provenance.get("standins")),
        unknown=tuple(arm for arm in arms if any(_unknown(arm, record) for record in finals)),
        torn=tuple(records.torn),
        contradictions=tuple(records.contradictions),
        attempts=len(records.attempts),
        tasks={f"{record.suite}/{record.task}": record.instruction for record in finals},
        looks=looks,
        resizing=None if objection or len(arms) < 2 else resizing_of(protocol, arms, records),
        curves=curves_of(protocol, sorted_.values()),
        objection=objection,
        beyond=_beyond(protocol, finals, keys),
    )


def _beyond(protocol: Protocol, finals: Iterable[EpisodeRecord], keys: Sequence[EpisodeKey]) -> int:
    """Return the number of results of planned episodes that a stop made needless."""
    needless = {episode.key for episode in expand(protocol)} - set(keys)
    return sum(record.outcome != "error" and record.key in needless for record in finals)


def _due(
    protocol: Protocol, arms: Sequence[str], records: Records
) -> tuple[tuple[EpisodeKey, ...], tuple[Look, ...], str]:
    """Return the episodes of a complete run, its looks, and the reason against a look, if any."""
    if len(arms) < 2:
        return due_keys(protocol, arms, records), (), ""
    try:
        looks = looks_of(protocol, arms, records)
        return due_keys(protocol, arms, records), looks, ""
    except RunFolderError as error:
        return tuple(episode.key for episode in expand(protocol)), (), str(error)


def _unknown(arm: str, record: EpisodeRecord) -> bool:
    return record.arm == arm and not record.policy_known


def _summarise_arm(
    protocol: Protocol, arm: ArmEpisodes, identity: Mapping[str, JsonValue] | None
) -> ArmSummary:
    ended = list(arm.finals.values())
    times = inference_ms(ended)
    inferences = sum(record.inferences for record in ended)
    reasons = Counter(str(record.reason) for record in ended if record.reason)
    return ArmSummary(
        n=arm.n,
        successes=arm.successes,
        errors=len(arm.missing),
        pending=len(arm.pending),
        retried=len(arm.retried),
        mean_score=sum(record.score for record in ended) / len(ended) if ended else None,
        wilson95=rate_interval(arm, protocol.analysis),
        tasks={
            name: TaskRate(task.successes, task.n, rate_interval(task, protocol.analysis))
            for name, task in arm.by_task().items()
        },
        reasons=dict(reasons + Counter(arm.error_reasons)),
        clipped_actions=sum(record.clipped_actions for record in ended),
        counts=_counts(ended),
        seconds=phase_seconds(ended),
        infer_ms_p50=quantile(times, 0.50),
        infer_ms_p95=quantile(times, 0.95),
        nfe_per_chunk=sum(record.nfe for record in ended) / inferences if inferences else None,
        virtual=VirtualArm.of(ended, identity),
        reactions=reactions_of(ended),
    )


def _counts(ended: Iterable[EpisodeRecord]) -> dict[str, int]:
    sums: Counter[str] = Counter()
    for record in ended:
        sums.update(record.counts)
    return dict(sums)


def _pair(
    protocol: Protocol, ours: ArmEpisodes, theirs: ArmEpisodes, keys: Sequence[EpisodeKey]
) -> Pair:
    pairing = ledger.pair(keys, ours, theirs)
    outcomes = pairing.outcomes(worth=worth_of(protocol))
    return Pair(
        ours.name,
        theirs.name,
        judging(outcomes, protocol.analysis, judged_by(protocol)) if outcomes else None,
        len(pairing.unequal),
        len(pairing.unknown),
        measure_of(protocol),
        differences_within(protocol, keys, ours, theirs),
    )
