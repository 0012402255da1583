"""Evidence: the episodes of a run, admitted only if they are beyond doubt.

Every refusal states its reason. An admitted fact that limits the verdict becomes a flag of the
certificate. The rule for pairs is in :mod:`vla_eval.judging.ledger`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path

from vla_eval.errors import RunFolderError, UsageError, did_you_mean
from vla_eval.files.differences import name_differences
from vla_eval.judging import ledger
from vla_eval.judging.ledger import ArmEpisodes, Pairing
from vla_eval.judging.look_files import checked_looks, looks_on_disk
from vla_eval.judging.looks import Look
from vla_eval.judging.resize_file import checked_resizing
from vla_eval.judging.resizing import Resizing
from vla_eval.judging.roles import (
    AnyRoles,
    RecipeRoles,
    Roles,
    roles_of_recipe,
    sequential_roles,
)
from vla_eval.keys import EpisodeKey
from vla_eval.plan import expand, in_stages
from vla_eval.protocol import Protocol
from vla_eval.record import EpisodeRecord
from vla_eval.runs.folder import Arm, RunFolder, RunHeader
from vla_eval.runs.header import refuse_unidentified
from vla_eval.runs.store import Records, records_digest

__all__ = [
    "Admitted",
    "Evidence",
    "RecipeEvidence",
    "gather",
    "gather_recipes",
    "refuse_mixed_simulators",
]


@dataclass(frozen=True)
class Admitted[R: AnyRoles]:
    """The admitted episodes of the arms that have a role."""

    header: RunHeader
    roles: R
    keys: tuple[EpisodeKey, ...]
    """Keys of the plan in its order; in a sequential run, up to the judged look."""
    arms: Mapping[str, ArmEpisodes]
    """Results, missing and retried episodes of each arm with a role."""
    records_sha256: str
    """Hash of the reproducible fields of the admitted records, in the plan's order."""
    timings_sha256: str
    """Hash of their other fields: inference times, starts and the calls of ``vlaeval run``."""
    first_attempt_at: str = ""
    """Start of the first attempt of any arm; ISO 8601 with its zone."""
    looks: tuple[Look, ...] = ()
    """All looks of a sequential run; the last one is judged. Empty in a run of fixed size."""
    resizing: Resizing | None = None
    """Decision about the size of a resized run; None in other runs."""
    sessions: Mapping[tuple[str, EpisodeKey], str] = field(default_factory=dict)
    """Call of ``vlaeval run`` that made the result, for each arm and key."""
    path: Path = Path()
    """The run folder, as the user typed it."""

    @property
    def protocol(self) -> Protocol:
        """The protocol of the run; of several runs the first one's, whose analysis is that of all."""
        return self.header.protocol

    @property
    def protocols(self) -> tuple[Protocol, ...]:
        """The protocols of the runs that are judged together; usually one."""
        return (self.protocol,)

    @property
    def protocol_label(self) -> str:
        """Label of the protocol; several runs: all different ones."""
        return ", ".join(dict.fromkeys(protocol.label for protocol in self.protocols))

    @property
    def protocol_sha256(self) -> str:
        """Hash of the protocol; several runs: of their protocols' hashes."""
        hashes = [protocol.sha256 for protocol in self.protocols]
        return (
            hashes[0] if len(hashes) == 1 else hashlib.sha256("".join(hashes).encode()).hexdigest()
        )

    @property
    def finals(self) -> dict[str, Mapping[EpisodeKey, EpisodeRecord]]:
        """Episodes that ended in success or failure, for each arm."""
        return {name: arm.finals for name, arm in self.arms.items()}

    @property
    def missing(self) -> dict[str, tuple[EpisodeKey, ...]]:
        """Planned episodes that ended in errors only, for each arm."""
        return {name: arm.missing for name, arm in self.arms.items()}

    def arm(self, name: str) -> Arm:
        """Return the arm with this name."""
        return next(arm for arm in self.header.arms if arm.name == name)

    def records(self) -> list[EpisodeRecord]:
        """Return all admitted records."""
        return [record for arm in self.arms.values() for record in arm.finals.values()]

    def pairing(self, candidate: str, reference: str) -> Pairing:
        """Pair two of the arms."""
        return ledger.pair(self.keys, self.arms[candidate], self.arms[reference])


@dataclass(frozen=True)
class Evidence(Admitted[Roles]):
    """The admitted episodes of two arms and of their control."""

    parts: tuple[Evidence, ...] = ()
    """Several runs that are judged together (:mod:`vla_eval.certificate.pooled`), by their start."""

    @property
    def runs(self) -> tuple[Evidence, ...]:
        """The runs that are judged together; usually this one alone."""
        return self.parts or (self,)

    @property
    def protocols(self) -> tuple[Protocol, ...]:
        """The protocols of the runs that are judged together; usually one."""
        return tuple(run.protocol for run in self.parts) or (self.protocol,)

    def alone(self) -> Evidence:
        """Return the evidence without the other candidates of a family."""
        roles = replace(self.roles, others=())
        parts = tuple(part.alone() for part in self.parts)
        arms = {name: self.arms[name] for name in roles.names}
        return replace(self, roles=roles, arms=arms, parts=parts)


RecipeEvidence = Admitted[RecipeRoles]
"""Evidence about two recipes."""


def gather(path: Path, roles: Roles) -> Evidence:
    """Admit the evidence of a run folder about two arms.

    Raises:
        RunFolderError: the records are damaged or belong to another run, policy, simulator or scene; or
            the plan was not run to its end (judging early is peeking).
        UsageError: the roles cannot be filled.
    """
    folder = RunFolder.open(path)
    as_fast = folder.header.protocol.analysis.as_fast
    ran = any(arm.name == as_fast for arm in folder.header.arms)
    roles = replace(roles, as_fast=as_fast if ran else None)
    _check_roles(folder.header, roles)
    return Evidence(**vars(_gathered(path, folder, roles, _pairs(roles))))


def gather_recipes(path: Path) -> RecipeEvidence:
    """Admit the evidence of a run folder about the two recipes that its protocol names.

    Raises:
        RunFolderError: as :func:`gather`.
        UsageError: the protocol is not about recipes, or the run lacks an arm that it names.
    """
    folder = RunFolder.open(path)
    roles = roles_of_recipe(folder.header.protocol, [arm.name for arm in folder.header.arms])
    for arm in folder.header.arms:
        if arm.name in roles.names:
            refuse_unidentified(arm)
    first, *others = roles.names
    return _gathered(path, folder, roles, [(name, first) for name in others])


def _pairs(roles: Roles) -> list[tuple[str, str]]:
    arms = (roles.candidate, *roles.others, roles.control, roles.as_fast)
    return [(arm, roles.reference) for arm in arms if arm]


def _gathered[R: AnyRoles](
    path: Path, folder: RunFolder, roles: R, pairs: Sequence[tuple[str, str]]
) -> Admitted[R]:
    """Admit the evidence, with these pairs of arms in the same scenes."""
    records = folder.records()
    if records.contradictions:
        raise RunFolderError(
            f"{path}: {records.contradictions[0]}; what is not deterministic cannot be certified"
        )
    keys = tuple(episode.key for episode in expand(folder.header.protocol))
    _refuse_strangers(path, records, keys)
    _refuse_early(path, folder.header, records)
    # Recipes have neither looks nor a size that is set later.
    looks = _looks(folder, records, roles) if isinstance(roles, Roles) else ()
    keys = keys[: looks[-1].pairs] if looks else keys
    resizing = _resizing(folder, records, roles) if isinstance(roles, Roles) else None
    keys = keys[: resizing.pairs] if resizing else keys
    arms = {name: ArmEpisodes.of(records, name, keys) for name in roles.names}
    for name, arm in arms.items():
        if arm.pending:
            raise RunFolderError(
                f"{path}: arm '{name}' has not run {len(arm.pending)} of {len(keys)} planned "
                f"episodes (the first is {arm.pending[0]}); judging before the plan is done is "
                "peeking: repeat the run command to finish it"
            )
    _refuse_attrition(path, folder.header, arms, len(keys))
    admitted = {(name, key): arm.finals[key] for name, arm in arms.items() for key in arm.finals}
    sessions = {slot: records.sessions[slot] for slot in admitted}
    evidence = Admitted(
        folder.header,
        roles,
        keys,
        arms,
        records_digest(admitted, roles.names, keys),
        _timings_digest(admitted, sessions),
        min((record.timing.started_at for record in records.attempts), key=datetime.fromisoformat),
        looks,
        resizing,
        sessions,
        path,
    )
    _refuse_doubtful_pairs(path, evidence, pairs)
    refuse_mixed_simulators(path, evidence)
    return evidence


def _timings_digest(
    admitted: Mapping[tuple[str, EpisodeKey], EpisodeRecord],
    sessions: Mapping[tuple[str, EpisodeKey], str],
) -> str:
    hasher = hashlib.sha256()
    for slot in sorted(admitted):
        timing = admitted[slot].timing
        parts = [slot[0], str(slot[1]), sessions[slot], timing.started_at, list(timing.infer_ms)]
        hasher.update(json.dumps(parts).encode())
    return hasher.hexdigest()


def _looks(folder: RunFolder, records: Records, roles: Roles) -> tuple[Look, ...]:
    """Return the looks of a sequential run; refuse other roles than those of the looks."""
    protocol = folder.header.protocol
    if protocol.analysis.stopping == "fixed":
        return ()
    _refuse_other_roles(folder, roles, "was stopped by looking at")
    looks = checked_looks(folder, records)
    if not looks:
        first = in_stages(protocol)[0]
        raise RunFolderError(
            f"{folder.path}: the first look needs all {len(first)} episodes of every arm, and they "
            "are not all there; judging before a look is peeking: repeat the run command"
        )
    logged = looks_on_disk(folder.path)
    for look in looks:
        if look.number not in logged:
            raise RunFolderError(
                f"{folder.path}: look {look.number} follows from the records, and looks/"
                f"{look.number}.json is missing: nobody can tell for which comparison it was taken; "
                "restore it (where the run was killed just then: repeat the run command)"
            )
    return looks


def _resizing(folder: RunFolder, records: Records, roles: Roles) -> Resizing | None:
    """Return the decision about the size of a resized run; refuse a run in which it was not made."""
    resize = folder.header.protocol.analysis.resize
    if resize is None:
        return None
    _refuse_other_roles(folder, roles, "got its size from")
    resizing = checked_resizing(folder, records, must_be_there=True)
    if resizing is None:
        raise RunFolderError(
            f"{folder.path}: the size of the run is set by its first {resize.after} episodes of every "
            "arm, and they are not all there; judging before that is peeking: repeat the run command"
        )
    return resizing


def _refuse_other_roles(folder: RunFolder, roles: Roles, what: str) -> None:
    """Refuse other roles than those whose pairs decided how far the plan was run."""
    taken = sequential_roles(folder.header.protocol, [arm.name for arm in folder.header.arms])
    if (roles.candidate, roles.reference) != taken:
        raise UsageError(
            f"this run {what} candidate '{taken[0]}' against reference "
            f"'{taken[1]}', so nothing else can be judged by it; for '{roles.candidate}' against "
            f"'{roles.reference}' run them in that order, in a folder of their own"
        )


def _check_roles(run: RunHeader, roles: Roles) -> None:
    known = [arm.name for arm in run.arms]
    for name in roles.names:
        if name not in known:
            raise UsageError(f"the run has no arm '{name}'{did_you_mean(name, known)}")
    if len(set(roles.names)) != len(roles.names):
        raise UsageError("one arm cannot have two roles")
    planned = run.protocol.analysis
    if planned.recipe is not None:
        raise UsageError(
            f"{run.protocol.label} is about recipes, and names the arms of their training seeds "
            "itself; leave out --candidate, --reference and --control"
        )
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
    asked_together = (roles.candidate, *roles.others)
    if planned.candidates is not None and set(asked_together) != set(planned.candidates):
        raise UsageError(
            f"the protocol fixes the candidates as {', '.join(planned.candidates)}, judged together, not "
            f"{', '.join(asked_together)}; leave out --candidate and --candidates"
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


def _refuse_early(path: Path, run: RunHeader, records: Records) -> None:
    """Refuse episodes that began before their run was created: then run.json is not theirs."""
    created = datetime.fromisoformat(run.created_at)
    for record in records.attempts:
        if datetime.fromisoformat(record.timing.started_at) < created:
            raise RunFolderError(
                f"{path}: an episode of arm '{record.arm}' ({record.key}) began at "
                f"{record.timing.started_at}, before the run was created ({run.created_at}); "
                "run.json is not the one that these episodes were run under: restore it"
            )


def _refuse_attrition(
    path: Path, run: RunHeader, arms: Mapping[str, ArmEpisodes], planned: int
) -> None:
    cap = run.protocol.run.limits.error_cap
    lost = sum(len(arm.missing) for arm in arms.values()) / (planned * len(arms))
    if lost > cap:
        raise RunFolderError(
            f"{path}: {lost:.1%} of the episodes are missing after infrastructure errors, and the "
            f"protocol admits {cap:.1%} (run.limits.error_cap); repeat the run command to try them "
            "again"
        )


def _refuse_doubtful_pairs[R: AnyRoles](
    path: Path, evidence: Admitted[R], pairs: Sequence[tuple[str, str]]
) -> None:
    for name, other in pairs:
        objection = evidence.pairing(name, other).objection
        if objection:
            raise RunFolderError(
                f"{path}: arms '{name}' and '{other}' cannot be paired: {objection}; run "
                "both on one machine set-up"
            )


def refuse_mixed_simulators[R: AnyRoles](path: Path, evidence: Admitted[R]) -> None:
    """Refuse episodes of one task that name different simulators, renderers or assets."""
    seen: dict[tuple[str, str], EpisodeRecord] = {}
    for record in evidence.records():
        first = seen.setdefault((record.suite, record.task), record)
        if first.provenance != record.provenance:
            raise RunFolderError(
                f"{path}: episodes of {record.suite}/{record.task} ran in different simulators "
                f"({name_differences(first.provenance, record.provenance)}); run all arms with "
                "the same one, in a new folder"
            )
