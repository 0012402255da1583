"""Baselines: one arm's outcomes in a file that is small enough to be committed and reviewed.

One character an episode, in the protocol's order: ``1`` success, ``0`` failure, ``S`` and ``F`` success
and failure after an attempt that was lost while the policy ran, ``x`` missing after errors, ``-`` not
run. The file holds digests of the scenes, so that only episodes in equal scenes are paired.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from vla_eval.blocks import MOST_EPISODES
from vla_eval.bounds import Alpha, Margin
from vla_eval.errors import RunFolderError, UsageError, did_you_mean
from vla_eval.files.atomic import write_atomically
from vla_eval.files.jsonfile import ArmName, read_model
from vla_eval.identity import server_identity
from vla_eval.judging.ledger import ArmEpisodes, Mark
from vla_eval.judging.looks import due_keys
from vla_eval.keys import EpisodeKey
from vla_eval.plan import expand
from vla_eval.runs.folder import RunFolder
from vla_eval.runs.header import identity_sha256, refuse_unidentified

__all__ = ["Baseline", "TaskOutcomes", "baseline_of", "read_baseline", "write_baseline"]


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class TaskOutcomes(_Frozen):
    """One task's episodes."""

    outcomes: Annotated[str, Field(pattern=r"^[01SFx-]*$")]
    scenes: str
    """Digest of the scene hashes, in the same order."""
    each_scene: Annotated[str, Field(pattern=r"^[0-9a-f.]*$")] = ""
    """Eight digits of each episode's scene hash, ``........`` if unknown. Without them (baselines of an
    earlier version) only tasks without a missing episode can be paired."""

    @property
    def successes(self) -> int:
        """Number of episodes that succeeded."""
        return sum(Mark(letter).won for letter in self.outcomes)

    @property
    def n(self) -> int:
        """Number of episodes with a result."""
        return sum(Mark(letter).ended for letter in self.outcomes)


class Baseline(_Frozen):
    """One arm of one run."""

    format: Literal[1] = 1
    protocol: str
    protocol_sha256: str
    margin: Margin
    alpha: Alpha
    arm: ArmName
    spec: str
    policy_sha256: str
    declared: str | None = None
    """The user's declaration of the policy, if its server does not identify it."""
    tasks: Mapping[str, TaskOutcomes]
    due: Annotated[int, Field(ge=1, le=MOST_EPISODES)] | None = None
    """Number of planned episodes that a run must hold if it was stopped at a look; None: all."""

    @property
    def successes(self) -> int:
        """Number of episodes that succeeded, over all tasks."""
        return sum(task.successes for task in self.tasks.values())

    @property
    def n(self) -> int:
        """Number of episodes with a result, over all tasks."""
        return sum(task.n for task in self.tasks.values())

    def count(self, mark: Mark) -> int:
        """Return the number of planned episodes with a mark."""
        return sum(task.outcomes.count(mark) for task in self.tasks.values())

    def marks(self, keys: Sequence[EpisodeKey]) -> dict[EpisodeKey, Mark]:
        """Return the mark of each episode of a plan.

        Raises:
            UsageError: the outcomes belong to another plan.
        """
        return {
            key: Mark(self.tasks[task].outcomes[place]) for key, task, place in self._places(keys)
        }

    def scenes(self, keys: Sequence[EpisodeKey]) -> dict[EpisodeKey, str]:
        """Return eight digits of each known scene; empty for a baseline of an earlier version."""
        scenes = {
            key: self.tasks[task].each_scene[8 * place : 8 * place + 8]
            for key, task, place in self._places(keys)
        }
        return {key: scene for key, scene in scenes.items() if scene.strip(".")}

    def _places(self, keys: Sequence[EpisodeKey]) -> Iterator[tuple[EpisodeKey, str, int]]:
        """Yield each episode of a plan with its task and its place in that task."""
        seen: Counter[str] = Counter()
        for key in keys:
            task = _task(key)
            if task not in self.tasks or seen[task] >= len(self.tasks[task].outcomes):
                raise UsageError(
                    f"the baseline of arm '{self.arm}' does not hold the episodes of "
                    f"{self.protocol}; write it again: vlaeval check RUN --write-baseline FILE"
                )
            yield key, task, seen[task]
            seen[task] += 1


def read_baseline(path: Path, arm: str | None = None) -> Baseline:
    """Read a baseline file, or take one arm of a run folder.

    Raises:
        UsageError: neither a baseline nor a run, or an arm that the run does not have.
    """
    if path.is_dir():
        return baseline_of(path, arm)
    return read_model(
        path,
        Baseline,
        wrong="is no baseline",
        missing=(
            f"{path}: there is no such baseline; write one from a run: "
            f"vlaeval check RUN --write-baseline {path}"
        ),
    )


def baseline_of(path: Path, arm: str | None = None) -> Baseline:
    """Condense one arm of a run; without a name, the run's only arm or its first.

    Raises:
        RunFolderError: no run, or damaged records.
        UsageError: unknown arm, an unidentified policy, or a protocol that judges more than successes.
    """
    folder = RunFolder.open(path)
    measure = folder.header.protocol.analysis.measure
    if measure is not None:
        raise UsageError(
            f"{path}: a baseline holds successes only, and {folder.header.protocol.label} judges "
            f"'{measure}': compare the two policies in one run, by vlaeval certify"
        )
    arms = {header_arm.name: header_arm for header_arm in folder.header.arms}
    name = arm or next(iter(arms))
    if name not in arms:
        raise UsageError(f"{path}: the run has no arm '{name}'{did_you_mean(name, arms)}")
    refuse_unidentified(arms[name])
    records = folder.records()
    if records.contradictions:
        raise RunFolderError(
            f"{path}: {records.contradictions[0]}; what is not deterministic cannot be gated"
        )
    keys = tuple(episode.key for episode in expand(folder.header.protocol))
    episodes = ArmEpisodes.of(records, name, keys)
    due = len(due_keys(folder.header.protocol, list(arms), records))
    analysis = folder.header.protocol.analysis
    return Baseline(
        protocol=folder.header.protocol.label,
        protocol_sha256=folder.header.protocol_sha256,
        margin=analysis.margin,
        alpha=analysis.alpha,
        arm=name,
        spec=arms[name].spec,
        policy_sha256=identity_sha256(arms[name].identity or {}),
        declared=server_identity(arms[name].identity),
        tasks=_condense(keys, episodes),
        due=due if due < len(keys) else None,
    )


def write_baseline(baseline: Baseline, run: Path, file: Path) -> None:
    """Write a baseline for later checks; create the file's folder.

    Args:
        baseline: one arm of a run.
        run: the run folder, for the message.
        file: the new file.

    Raises:
        UsageError: planned episodes have no result, so the run is no baseline.
    """
    gaps = baseline.count(Mark.MISSING)
    gaps += baseline.count(Mark.PENDING) if baseline.due is None else 0
    if gaps:
        raise UsageError(
            f"{run}: {gaps} planned episodes of arm '{baseline.arm}' have no result, so this is no "
            "baseline; repeat the run command to finish it"
        )
    file.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(file, baseline.model_dump_json(indent=1, exclude_none=True) + "\n")


def _task(key: EpisodeKey) -> str:
    return f"{key.suite}/{key.task}"


def _condense(keys: Sequence[EpisodeKey], episodes: ArmEpisodes) -> dict[str, TaskOutcomes]:
    marks = episodes.marks()
    tasks: dict[str, list[EpisodeKey]] = {}
    for key in keys:
        tasks.setdefault(_task(key), []).append(key)
    scenes = {key: record.scene_hash for key, record in episodes.finals.items()}
    return {
        name: TaskOutcomes(
            outcomes="".join(marks[key] for key in task_keys),
            scenes=hashlib.sha256(
                "\n".join(scenes.get(key, "") for key in task_keys).encode()
            ).hexdigest()[:16],
            each_scene="".join(_digits(scenes.get(key, "")) for key in task_keys),
        )
        for name, task_keys in tasks.items()
    }


def _digits(scene: str) -> str:
    """Return eight hexadecimal digits for a scene's hash of any form; dots without a hash."""
    return hashlib.sha256(scene.encode()).hexdigest()[:8] if scene else "." * 8
