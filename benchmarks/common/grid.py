"""Outcomes of many arms on the same episodes, with several repeats of an initial state, and their table.

Repeats of a scene are not independent. Intervals are those of clusters, a cluster being an initial
state (vla_eval.stats.clusters): that of a difference holds for any dependence of a state's repeats. An
arm whose repeats execute the same actions counts once a state.
"""

from __future__ import annotations

import statistics
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from common.results import points
from vla_eval.errors import UsageError
from vla_eval.judging.ledger import ArmEpisodes, pair, won
from vla_eval.keys import EpisodeKey
from vla_eval.plan import expand
from vla_eval.record import EpisodeRecord
from vla_eval.runs.folder import RunFolder
from vla_eval.runs.header import Arm, refuse_unidentified
from vla_eval.stats import ClusteredPairs, ClusteredRate, tango_interval, wilson_interval

__all__ = ["Successes", "by_state", "cells_of", "collect", "difference", "rate", "table"]

type Successes = npt.NDArray[np.int64]
"""An arm's successes in a task, 1 or 0: (repeats, states)."""


def cells_of(path: Path) -> list[Path]:
    """Return the run folders of a sweep, or the one run folder.

    Raises:
        UsageError: there is none.
    """
    if (path / "run.json").is_file():
        return [path]
    cells = sorted(file.parent for file in path.glob("*/run.json"))
    if not cells:
        raise UsageError(f"{path}: is neither a run nor a sweep (there is no run.json)")
    return cells


def collect(paths: Iterable[Path]) -> dict[str, Any]:
    """Return every outcome of sweeps and runs that share a protocol, by arm and task.

    Raises:
        UsageError: the runs have several protocols, two arms have one name, an arm is incomplete or
            unidentified, or its scenes are not those of the first arm.
    """
    folders = [RunFolder.open(cell) for path in paths for cell in cells_of(path)]
    first = folders[0]
    keys = [episode.key for episode in expand(first.header.protocol)]
    arms: dict[str, Any] = {}
    reference: ArmEpisodes | None = None
    for folder in folders:
        _refuse_other_protocol(first, folder)
        records = folder.records()
        for arm in folder.header.arms:
            name = _name(folder, arm)
            if name in arms:
                raise UsageError(f"{folder.path}: a second arm is called '{name}'")
            episodes = ArmEpisodes.of(records, arm.name, keys)
            reference = reference or episodes
            _refuse_unusable(folder, keys, episodes, reference)
            arms[name] = _arm(arm, list(episodes.finals.values()))
    return {
        "protocol": {
            "label": first.header.protocol.label,
            "sha256": first.header.protocol_sha256,
        },
        "versions": dict(first.header.versions),
        "arms": arms,
    }


def _refuse_other_protocol(first: RunFolder, folder: RunFolder) -> None:
    if folder.header.protocol_sha256 != first.header.protocol_sha256:
        labels = [
            f"{run.header.protocol.label} ({run.header.protocol_sha256[:12]})"
            for run in (first, folder)
        ]
        raise UsageError(
            f"{first.path} ran {labels[0]} and {folder.path} ran {labels[1]}: one table needs one "
            "protocol"
        )


def _name(folder: RunFolder, arm: Arm) -> str:
    """Return an arm's name, with the cell of the sweep where the cell is part of the policy."""
    return f"{arm.name}, {folder.path.name}" if "=" in folder.path.name else arm.name


def _refuse_unusable(
    folder: RunFolder, keys: Sequence[EpisodeKey], arm: ArmEpisodes, reference: ArmEpisodes
) -> None:
    if arm.n != len(keys):
        raise UsageError(
            f"{folder.path}: arm '{arm.name}' has results of {arm.n} of {len(keys)} episodes; continue "
            "the run before its numbers are published"
        )
    objection = pair(keys, arm, reference).objection
    if objection:
        raise UsageError(f"{folder.path}: arms '{arm.name}' and '{reference.name}': {objection}")


def _arm(arm: Arm, records: Sequence[EpisodeRecord]) -> dict[str, Any]:
    """Return the identity of an arm, and the summary of its records."""
    refuse_unidentified(arm)
    tasks: dict[str, list[EpisodeRecord]] = defaultdict(list)
    actions: dict[tuple[str, int], set[str]] = defaultdict(set)
    counts: Counter[str] = Counter()
    for record in records:
        tasks[record.task].append(record)
        actions[record.task, record.init_state].add(record.actions_sha256)
        counts.update(record.counts)
    inferences = sum(record.inferences for record in records)
    return {
        "spec": arm.spec,
        "weights_sha256": (arm.identity or {})["weights_sha256"],
        "nfe": round(sum(record.nfe for record in records) / inferences, 3),
        "deterministic": all(len(digests) == 1 for digests in actions.values()),
        "prefix_ms_p50": _median(ms for record in records for ms in record.timing.prefix_ms),
        "denoise_ms_p50": _median(ms for record in records for ms in record.timing.denoise_ms),
        **({"counts": dict(counts)} if counts else {}),
        "tasks": {task: _task(tasks[task]) for task in sorted(tasks)},
    }


def _median(values: Iterable[float]) -> float | None:
    known = list(values)
    return round(statistics.median(known), 2) if known else None


def _task(records: Sequence[EpisodeRecord]) -> dict[str, Any]:
    """Return the outcomes of a task: for each repeat a string with a digit for each initial state."""
    digits = {
        (record.env_seed, record.policy_seed, record.init_state): str(int(won(record)))
        for record in records
    }
    states = sorted({record.init_state for record in records})
    repeats = sorted({(record.env_seed, record.policy_seed) for record in records})
    return {
        "successes": ["".join(digits[(*seeds, state)] for state in states) for seeds in repeats],
        "mean_score": round(statistics.fmean(record.score for record in records), 4),
    }


def by_state(arm: Mapping[str, Any], task: str) -> Successes:
    """Return an arm's successes; of repeats with the same actions only the first."""
    rows = np.array([[int(digit) for digit in row] for row in arm["tasks"][task]["successes"]])
    return rows[:1] if arm["deterministic"] else rows


def rate(rows: Successes) -> tuple[int, int, float, float]:
    """Return successes, episodes and the limits of the 95 % interval."""
    repeats, states = rows.shape
    successes = rows.sum(0)
    low, high = ClusteredRate(np.full(states, repeats), successes).interval()
    if repeats == 1:
        low, high = wilson_interval(int(successes.sum()), states)
    return int(successes.sum()), int(rows.size), low, high


def difference(ours: Successes, theirs: Successes) -> tuple[float, float, float]:
    """Return the difference of success rates over all pairs of repeats, with its 95 % interval."""
    many = max(len(ours), len(theirs))
    ours, theirs = (np.resize(rows, (many, rows.shape[1])) for rows in (ours, theirs))
    wins = ((ours == 1) & (theirs == 0)).sum(0)
    losses = ((ours == 0) & (theirs == 1)).sum(0)
    if many == 1:
        n10, n01, states = int(wins.sum()), int(losses.sum()), ours.shape[1]
        return (n10 - n01) / states, *tango_interval(n10, n01, states)
    pairs = ClusteredPairs(np.full(ours.shape[1], many), wins, losses)
    return pairs.difference, *pairs.interval()


def table(results: Mapping[str, Any]) -> str:
    """Return the Markdown: success, difference to the reference and mean score, by arm and task."""
    arms, reference = results["arms"], results["reference"]
    tasks = list(arms[reference]["tasks"])
    head = ["arm", "NFE"]
    head += [f"{task} | minus {reference} | score" for task in tasks]
    guarded = any("counts" in arm for arm in arms.values())
    head += ["guard fired"] * guarded
    lines = [f"| {' | '.join(head)} |", "|---" * (2 + 3 * len(tasks) + guarded) + "|"]
    for name, arm in arms.items():
        fields = [name, f"{arm['nfe']:g}"]
        for task in tasks:
            ours, theirs = by_state(arm, task), by_state(arms[reference], task)
            successes, n, low, high = rate(ours)
            fields.append(f"{successes}/{n} [{low:.0%}, {high:.0%}]")
            fields.append("–" if name == reference else points(*difference(ours, theirs)))
            fields.append(f"{arm['tasks'][task]['mean_score']:.3f}")
        fields += [_share_of_guarded(arm)] * guarded
        lines.append(f"| {' | '.join(fields)} |")
    return "\n".join(lines) + "\n"


def _share_of_guarded(arm: Mapping[str, Any]) -> str:
    counts = arm.get("counts", {})
    selected = counts.get("keystone_selected", 0)
    return f"{counts['keystone_fired'] / selected:.0%}" if selected else "–"
