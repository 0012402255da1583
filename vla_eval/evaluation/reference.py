"""The frozen run that an evaluation during training is paired with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from vla_eval.errors import UsageError, did_you_mean
from vla_eval.judging import ledger
from vla_eval.judging.ledger import ArmEpisodes, Case
from vla_eval.keys import EpisodeKey
from vla_eval.plan import PlannedEpisode, expand, tasks_of
from vla_eval.protocol import Protocol
from vla_eval.runs.folder import RunFolder
from vla_eval.runs.header import identity_sha256
from vla_eval.runs.store import Records
from vla_eval.stats import AnytimeDifference, PairedTable
from vla_eval.stats._numeric import Array

__all__ = ["Compared", "Reference"]


@dataclass(frozen=True)
class Compared:
    """The pairs of whole rounds over the tasks, and what they show."""

    difference: AnytimeDifference
    table: PairedTable
    """Counts of pairs with two results."""
    lost: tuple[str, ...]
    """Keys of the pairs that only the reference won."""


@dataclass(frozen=True)
class Reference:
    """One arm of a finished run."""

    folder: Path
    arm: str
    policy_sha256: str
    episodes: ArmEpisodes

    @classmethod
    def read(cls, path: Path, arm: str | None, protocol: Protocol) -> Reference:
        """Read the reference's results of a protocol's episodes.

        Args:
            path: run folder; of an earlier evaluation, or of any run on the same states.
            arm: name of the arm; None: the folder's only one.
            protocol: the evaluation's protocol.

        Raises:
            UsageError: no run, no such arm, other settings, or episodes without a result.
        """
        folder = RunFolder.open(path)
        arms = {each.name: each for each in folder.header.arms}
        if arm is None and len(arms) > 1:
            raise UsageError(
                f"{path}: the run has the arms {', '.join(arms)}; say which one is the reference"
            )
        name = next(iter(arms)) if arm is None else arm
        if name not in arms:
            raise UsageError(f"{path}: the run has no arm '{name}'{did_you_mean(name, arms)}")
        _refuse_other_settings(path, folder.header.protocol, protocol)
        keys = tuple(episode.key for episode in expand(protocol))
        episodes = ArmEpisodes.of(folder.records(), name, keys)
        if lacking := len(episodes.missing) + len(episodes.pending):
            raise UsageError(
                f"{path}: the reference has no result of {lacking} of the {len(keys)} episodes; "
                "evaluate it first on as many episodes, by vla_eval.evaluate with its spec and the "
                "same protocol"
            )
        return cls(path, name, identity_sha256(arms[name].identity or {}), episodes)

    def compare(self, protocol: Protocol, records: Records, arm: str) -> Compared:
        """Pair an arm's results so far; only rounds count in which every episode was tried.

        Raises:
            UsageError: the scenes of a pair differ, or are unknown.
        """
        keys = _whole_rounds(protocol, records, arm)
        ours = ArmEpisodes.of(records, arm, keys)
        theirs = _only(self.episodes, keys)
        pairing = ledger.pair(keys, ours, theirs)
        if pairing.unequal or pairing.unknown:
            raise UsageError(f"{self.folder}: cannot be paired: {pairing.objection}")

        def values(case: Case) -> Array:
            outcomes = pairing.outcomes(case)
            return np.array([float(each.ours) - float(each.theirs) for each in outcomes])

        analysis = protocol.analysis
        difference = AnytimeDifference(
            values("worst"), values("best"), margin=analysis.margin, alpha=analysis.alpha
        )
        seen = pairing.outcomes()
        lost = tuple(str(each.key) for each in seen if each.theirs and not each.ours)
        return Compared(difference, ledger.table(seen), lost)


def _whole_rounds(protocol: Protocol, records: Records, arm: str) -> tuple[EpisodeKey, ...]:
    """Return the keys of the plan's beginning that was tried without a gap, in whole rounds."""
    keys = [episode.key for episode in expand(protocol)]
    tried = next((i for i, key in enumerate(keys) if (arm, key) not in records.final), len(keys))
    return tuple(keys[: tried - tried % tasks_of(protocol)])


def _only(episodes: ArmEpisodes, keys: Sequence[EpisodeKey]) -> ArmEpisodes:
    finals = {key: episodes.finals[key] for key in keys}
    return ArmEpisodes(episodes.name, finals, retried=episodes.retried & set(keys))


def _refuse_other_settings(path: Path, theirs: Protocol, ours: Protocol) -> None:
    """Refuse a reference whose episodes were run under other conditions."""
    known = {episode.key: episode for episode in expand(theirs)}
    planned = expand(ours)
    absent = [episode.key for episode in planned if episode.key not in known]
    if absent:
        raise UsageError(
            f"{path}: {len(absent)} of the {len(planned)} episodes are not in the reference's "
            f"protocol {theirs.label} (the first is {absent[0]}); evaluate the reference with the "
            "same protocol and at least as many episodes"
        )
    changed = [
        name
        for name, differ in (
            ("environment", any(_settings(known[each.key]) != _settings(each) for each in planned)),
            ("n_action_steps", theirs.run.n_action_steps != ours.run.n_action_steps),
            ("latency", theirs.run.realtime != ours.run.realtime),
        )
        if differ
    ]
    if changed:
        raise UsageError(
            f"{path}: the reference ran under another {' and another '.join(changed)} than "
            f"{ours.label}; evaluate it with the same protocol"
        )


def _settings(episode: PlannedEpisode) -> object:
    return episode.env_id, dict(episode.env_kwargs), episode.max_steps
