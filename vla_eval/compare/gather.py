"""Gathering the arms of one or several runs of one protocol."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from vla_eval.errors import RunFolderError, UsageError, did_you_mean
from vla_eval.judging.ledger import ArmEpisodes
from vla_eval.keys import EpisodeKey
from vla_eval.plan import expand
from vla_eval.protocol import Protocol
from vla_eval.record import EpisodeRecord
from vla_eval.runs.folder import RunFolder
from vla_eval.runs.header import Arm, identity_sha256, same_policy
from vla_eval.runs.store import Records

__all__ = ["Contest", "Entry", "gather"]


@dataclass(frozen=True)
class Entry:
    """One policy, with all its episodes."""

    name: str
    """The arm's name, after the folder's name if two policies have the same arm name."""
    arm: Arm
    folders: tuple[str, ...]
    episodes: ArmEpisodes
    """Results, missing and pending episodes of the plan."""

    @property
    def records(self) -> list[EpisodeRecord]:
        """Return the records of all results, in the plan's order."""
        return list(self.episodes.finals.values())


@dataclass(frozen=True)
class Contest:
    """All policies, and their common plan."""

    protocol: Protocol
    keys: tuple[EpisodeKey, ...]
    """The plan, in its order."""
    entries: tuple[Entry, ...]
    contradictions: tuple[str, ...] = ()
    """Sentences about episodes with two different results."""
    torn: tuple[str, ...] = ()


def gather(
    paths: Sequence[Path],
    *,
    only: Sequence[str] = (),
    labels: Mapping[Path, str] | None = None,
) -> Contest:
    """Gather the arms of run folders; the same arm in several folders counts once (shards of a run).

    Args:
        paths: run folders of one protocol.
        only: names of the arms to compare; default all.
        labels: names of the folders, where their paths must not be shown.

    Raises:
        RunFolderError: no run, damaged records, or different protocols.
        UsageError: fewer than two arms, or an unknown arm.
    """
    if not paths:
        raise UsageError("which runs? for example: vlaeval compare runs/a runs/b")
    folders = [RunFolder.open(path) for path in paths]
    _refuse_other_protocols(folders)
    protocol = folders[0].header.protocol
    keys = tuple(episode.key for episode in expand(protocol))
    labels = labels or {}
    groups = _group(folders, labels)
    records = {folder.path: folder.records() for folder in folders}
    known = list(groups)
    for name in only:
        if name not in groups:
            raise UsageError(f"--arm {name}: the runs have no such arm{did_you_mean(name, known)}")
    chosen = {name: group for name, group in groups.items() if not only or name in only}
    if len(chosen) < 2:
        raise UsageError(
            f"{' and '.join(map(str, paths))}: {len(chosen)} arm, and it takes two to compare; "
            "name another run of the same protocol"
        )
    contradictions: list[str] = []
    entries = [
        _entry(name, group, records, keys, contradictions, labels) for name, group in chosen.items()
    ]
    torn = [
        f"{labels.get(path, path.name)}/{name}"
        for path, content in records.items()
        for name in content.torn
    ]
    return Contest(protocol, keys, tuple(entries), tuple(contradictions), tuple(torn))


def _refuse_other_protocols(folders: Sequence[RunFolder]) -> None:
    first = folders[0]
    for folder in folders[1:]:
        if folder.header.protocol_sha256 != first.header.protocol_sha256:
            ours, theirs = (
                f"{run.header.protocol.label} ({run.header.protocol_sha256[:12]})"
                for run in (first, folder)
            )
            raise RunFolderError(
                f"{first.path} ran {ours} and {folder.path} ran {theirs}: policies can be compared "
                "on one protocol only, with all of its episodes the same"
            )


type _Found = list[tuple[RunFolder, Arm]]


def _group(folders: Sequence[RunFolder], labels: Mapping[Path, str]) -> dict[str, _Found]:
    """Return the arms by name; if two policies share a name, the folder's name distinguishes them."""
    policies: dict[str, list[_Found]] = {}
    for folder in folders:
        for arm in folder.header.arms:
            same = policies.setdefault(arm.name, [])
            home = next((group for group in same if same_policy(group[0][1], arm)), None)
            if home is None:
                same.append([(folder, arm)])
            else:
                home.append((folder, arm))
    named: dict[str, _Found] = {}
    for name, groups in policies.items():
        for group in groups:
            path = group[0][0].path
            label = labels.get(path)
            full = name if len(groups) == 1 else f"{label or path.name}/{name}"
            named[f"{label or path}/{name}" if full in named else full] = group
    return named


def _entry(
    name: str,
    group: _Found,
    records: dict[Path, Records],
    keys: Sequence[EpisodeKey],
    contradictions: list[str],
    labels: Mapping[Path, str],
) -> Entry:
    merged = Records()
    home = group[0][1]
    one_hash = {"policy_sha256": identity_sha256(home.identity)} if home.identity else {}
    for folder, arm in group:
        source = records[folder.path]
        contradictions += [text for text in source.contradictions if f"arm '{arm.name}'" in text]
        for record in source.attempts:
            if record.arm == arm.name:
                # Two specs of one policy have different hashes; they are still the same policy.
                same = record if arm == home else record.model_copy(update=one_hash)
                merged.add(same, str(folder.path))
    contradictions += [text for text in merged.contradictions if text not in contradictions]
    return Entry(
        name=name,
        arm=home,
        folders=tuple(labels.get(folder.path, str(folder.path)) for folder, _ in group),
        episodes=ArmEpisodes.of(merged, home.name, keys),
    )
