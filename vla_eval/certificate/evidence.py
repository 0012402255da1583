"""Evidence: the pairs of a run, admitted only if nothing about them can be doubted.

What is refused here is refused with its reason; what is admitted but limits the verdict becomes a
flag of the certificate.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from vla_eval.errors import RunFolderError, UsageError, did_you_mean
from vla_eval.keys import EpisodeKey
from vla_eval.looklog import checked_looks
from vla_eval.looks import Look, sequential_roles
from vla_eval.plan import expand, in_blocks
from vla_eval.protocol import Protocol
from vla_eval.record import EpisodeRecord
from vla_eval.runfile import refuse_unidentified
from vla_eval.runfolder import Arm, RunFile, RunFolder
from vla_eval.stats import ClusteredPairs, PairedTable
from vla_eval.store import Records, records_digest

__all__ = ["Evidence", "Roles", "gather"]


@dataclass(frozen=True)
class Roles:
    """Which arm is what."""

    candidate: str
    reference: str
    control: str | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """All arms that have a role."""
        return tuple(name for name in (self.candidate, self.reference, self.control) if name)


@dataclass(frozen=True)
class Evidence:
    """The admitted episodes of the arms that have a role."""

    run: RunFile
    roles: Roles
    keys: tuple[EpisodeKey, ...]
    """The plan in its order, of a sequential run up to the look that is judged."""
    finals: dict[str, dict[EpisodeKey, EpisodeRecord]]
    """For each arm the episodes that ended in success or failure."""
    missing: dict[str, tuple[EpisodeKey, ...]]
    """For each arm the planned episodes that ended in errors only."""
    records_sha256: str
    """Over what is reproducible in the admitted records, in the plan's order."""
    looks: tuple[Look, ...] = ()
    """Of a sequential run: all that were taken; the last one is judged."""
    sessions: Mapping[tuple[str, EpisodeKey], str] = field(default_factory=dict)
    """For each arm and key the call of ``vlaeval run`` that made its result."""

    @property
    def protocol(self) -> Protocol:
        """The protocol that was fixed before the first episode."""
        return self.run.protocol

    def arm(self, name: str) -> Arm:
        """Return the arm of that name."""
        return next(arm for arm in self.run.arms if arm.name == name)

    def pairs(self, candidate: str, reference: str) -> list[tuple[EpisodeRecord, EpisodeRecord]]:
        """Return the records of both arms for every key that both have, in the plan's order."""
        ours, theirs = self.finals[candidate], self.finals[reference]
        return [(ours[key], theirs[key]) for key in self.keys if key in ours and key in theirs]

    def table(self, candidate: str, reference: str, *, missing_wins: bool = False) -> PairedTable:
        """Return the counts of pairs; optionally with the worst that the missing could have been.

        Args:
            candidate: the arm whose success is the first digit.
            reference: the other arm.
            missing_wins: count every missing candidate episode as a failure and every missing
                reference episode as a success.
        """
        ours, theirs = self.finals[candidate], self.finals[reference]
        outcomes = []
        for key in self.keys:
            if key in ours and key in theirs:
                outcomes.append((_won(ours[key]), _won(theirs[key])))
            elif missing_wins:
                won = _won(ours[key]) if key in ours else False
                lost = _won(theirs[key]) if key in theirs else True
                outcomes.append((won, lost))
        return count(outcomes)

    def clusters(self, candidate: str, reference: str) -> ClusteredPairs | None:
        """Return the counts of each initial state, where the protocol repeats initial states."""
        if self.protocol.analysis.cluster == "none":
            return None
        counts: dict[tuple[str, str, int], list[int]] = defaultdict(lambda: [0, 0, 0])
        for ours, theirs in self.pairs(candidate, reference):
            cluster = counts[ours.suite, ours.task, ours.init_state]
            cluster[0] += 1
            cluster[1] += _won(ours) and not _won(theirs)
            cluster[2] += _won(theirs) and not _won(ours)
        pairs, wins, losses = np.array(list(counts.values()), dtype=np.int64).T
        return ClusteredPairs(pairs, wins, losses)

    def tables_by_task(self, candidate: str, reference: str) -> dict[str, PairedTable]:
        """Return the counts of pairs for each ``suite/task``, in the plan's order."""
        outcomes: dict[str, list[tuple[bool, bool]]] = defaultdict(list)
        for ours, theirs in self.pairs(candidate, reference):
            outcomes[f"{ours.suite}/{ours.task}"].append((_won(ours), _won(theirs)))
        return {task: count(each) for task, each in outcomes.items()}


def _won(record: EpisodeRecord) -> bool:
    return record.outcome == "success"


def count(outcomes: Sequence[tuple[bool, bool]]) -> PairedTable:
    """Count pairs of (candidate succeeded, reference succeeded)."""
    return PairedTable(
        n11=outcomes.count((True, True)),
        n10=outcomes.count((True, False)),
        n01=outcomes.count((False, True)),
        n00=outcomes.count((False, False)),
    )


def gather(path: Path, roles: Roles) -> Evidence:
    """Admit the evidence of a run folder.

    Raises:
        RunFolderError: the records are damaged, of another run, another policy or another scene; or
            the plan was not run to its end (judging early is peeking).
        UsageError: the roles cannot be filled.
    """
    folder = RunFolder.open(path)
    _check_roles(folder.run, roles)
    records = folder.records()
    if records.contradictions:
        raise RunFolderError(
            f"{path}: {records.contradictions[0]}; what is not deterministic cannot be certified"
        )
    keys = tuple(episode.key for episode in expand(folder.run.protocol))
    _refuse_strangers(path, records, keys)
    looks = _looks(folder, records, roles)
    keys = keys[: looks[-1].pairs] if looks else keys
    finals = {name: _ended(records, name, keys) for name in roles.names}
    missing = {name: tuple(key for key in keys if key not in finals[name]) for name in roles.names}
    for name in roles.names:
        never = [key for key in missing[name] if (name, key) not in records.final]
        if never:
            raise RunFolderError(
                f"{path}: arm '{name}' has not run {len(never)} of {len(keys)} planned episodes "
                f"(the first is {never[0]}); judging before the plan is done is peeking: "
                "repeat the run command to finish it"
            )
    _refuse_attrition(path, folder.run, missing, len(keys))
    digest = records_digest(
        {(name, key): record for name, each in finals.items() for key, record in each.items()},
        roles.names,
        keys,
    )
    evidence = Evidence(folder.run, roles, keys, finals, missing, digest, looks, records.sessions)
    _refuse_other_scenes(path, evidence)
    return evidence


def _looks(folder: RunFolder, records: Records, roles: Roles) -> tuple[Look, ...]:
    """Return the looks of a sequential run; the roles are those with which they were taken."""
    protocol = folder.run.protocol
    if protocol.analysis.stopping == "fixed":
        return ()
    taken = sequential_roles(protocol, [arm.name for arm in folder.run.arms])
    if (roles.candidate, roles.reference) != taken:
        raise UsageError(
            f"this run was stopped by looking at candidate '{taken[0]}' against reference "
            f"'{taken[1]}', so nothing else can be judged by it; for '{roles.candidate}' against "
            f"'{roles.reference}' run them in that order, in a folder of their own"
        )
    looks = checked_looks(folder, records)
    if not looks:
        first = in_blocks(protocol)[0]
        raise RunFolderError(
            f"{folder.path}: the first look needs all {len(first)} episodes of every arm, and they "
            "are not all there; judging before a look is peeking: repeat the run command"
        )
    return looks


def _check_roles(run: RunFile, roles: Roles) -> None:
    known = [arm.name for arm in run.arms]
    for name in roles.names:
        if name not in known:
            raise UsageError(f"the run has no arm '{name}'{did_you_mean(name, known)}")
    if len(set(roles.names)) != len(roles.names):
        raise UsageError("one arm cannot have two roles")
    planned = run.protocol.analysis
    for role, asked, fixed in (
        ("candidate", roles.candidate, planned.candidate),
        ("reference", roles.reference, planned.reference),
        ("negative control", roles.control, planned.negative_control),
    ):
        if fixed is not None and asked != fixed:
            raise UsageError(
                f"the protocol fixes the {role} as arm '{fixed}', not '{asked}'; "
                "roles cannot change after the fact"
            )
    for arm in run.arms:
        if arm.name in roles.names:
            refuse_unidentified(arm)


def _refuse_strangers(path: Path, records: Records, keys: Sequence[EpisodeKey]) -> None:
    planned = set(keys)
    strange = [record.key for record in records.attempts if record.key not in planned]
    if strange:
        raise RunFolderError(
            f"{path}: holds a record of {strange[0]}, which is not in the protocol's plan; "
            "move its file out of the folder"
        )


def _ended(
    records: Records, arm: str, keys: Sequence[EpisodeKey]
) -> dict[EpisodeKey, EpisodeRecord]:
    found = {key: records.final.get((arm, key)) for key in keys}
    return {
        key: record
        for key, record in found.items()
        if record is not None and record.outcome != "error"
    }


def _refuse_attrition(
    path: Path, run: RunFile, missing: dict[str, tuple[EpisodeKey, ...]], planned: int
) -> None:
    cap = run.protocol.run.limits.error_cap
    lost = sum(len(keys) for keys in missing.values()) / (planned * len(missing))
    if lost > cap:
        raise RunFolderError(
            f"{path}: {lost:.1%} of the episodes are missing after infrastructure errors, and the "
            f"protocol admits {cap:.1%} (run.limits.error_cap); repeat the run command to try them "
            "again"
        )


def _refuse_other_scenes(path: Path, evidence: Evidence) -> None:
    for name in evidence.roles.names:
        for ours, theirs in evidence.pairs(name, evidence.roles.reference):
            if not ours.scene_hash:
                raise RunFolderError(
                    f"{path}: the environment of {ours.key} gives no scene_hash, so nobody can "
                    "tell whether the arms saw the same scene; the run can be reported, not certified"
                )
            if ours.scene_hash != theirs.scene_hash:
                raise RunFolderError(
                    f"{path}: arms '{name}' and '{evidence.roles.reference}' saw different scenes "
                    f"in {ours.key} (scene_hash {ours.scene_hash[:12]} and "
                    f"{theirs.scene_hash[:12]}), so they cannot be paired; run both on one machine "
                    "set-up"
                )
