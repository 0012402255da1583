"""Baselines: one arm's outcomes in a file that is small enough to be committed and reviewed.

One character an episode, in the protocol's order: ``1`` success, ``0`` failure, ``-`` missing. The
digest of the scenes makes sure that only episodes in equal scenes are paired.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from vla_eval.errors import UsageError, did_you_mean
from vla_eval.jsonfile import read_model
from vla_eval.keys import EpisodeKey
from vla_eval.plan import expand
from vla_eval.policy import server_identity
from vla_eval.record import EpisodeRecord
from vla_eval.runfile import identity_sha256, refuse_unidentified
from vla_eval.runfolder import RunFolder

__all__ = ["Baseline", "TaskOutcomes", "baseline_of", "read_baseline"]


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class TaskOutcomes(_Frozen):
    """One task's episodes."""

    outcomes: Annotated[str, Field(pattern=r"^[01-]*$")]
    scenes: str
    """Digest of the scene hashes, in the same order."""

    @property
    def successes(self) -> int:
        """Episodes that succeeded."""
        return self.outcomes.count("1")

    @property
    def n(self) -> int:
        """Episodes that ended."""
        return len(self.outcomes) - self.outcomes.count("-")


class Baseline(_Frozen):
    """One arm of one run."""

    format: Literal[1] = 1
    protocol: str
    protocol_sha256: str
    margin: float
    alpha: float
    arm: str
    spec: str
    policy_sha256: str
    declared: str | None = None
    """Where its server does not say who the policy is: what its user declared."""
    tasks: Mapping[str, TaskOutcomes]

    @property
    def successes(self) -> int:
        """Episodes that succeeded, over all tasks."""
        return sum(task.successes for task in self.tasks.values())

    @property
    def n(self) -> int:
        """Episodes that ended, over all tasks."""
        return sum(task.n for task in self.tasks.values())

    @property
    def missing(self) -> int:
        """Planned episodes without a result."""
        return sum(task.outcomes.count("-") for task in self.tasks.values())


def read_baseline(path: Path, arm: str | None = None) -> Baseline:
    """Read a baseline file, or take one arm of a run folder.

    Raises:
        UsageError: neither, or an arm that the run does not have.
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
        UsageError: no such arm, or nobody says which policy it is.
    """
    folder = RunFolder.open(path)
    arms = {each.name: each for each in folder.run.arms}
    name = arm or next(iter(arms))
    if name not in arms:
        raise UsageError(f"{path}: the run has no arm '{name}'{did_you_mean(name, arms)}")
    refuse_unidentified(arms[name])
    records = folder.records()
    by_task: dict[str, list[EpisodeRecord | None]] = {}
    for key in (episode.key for episode in expand(folder.run.protocol)):
        record = records.final.get((name, key))
        ended = record if record is not None and record.outcome != "error" else None
        by_task.setdefault(_task(key), []).append(ended)
    analysis = folder.run.protocol.analysis
    return Baseline(
        protocol=folder.run.protocol.label,
        protocol_sha256=folder.run.protocol_sha256,
        margin=analysis.margin,
        alpha=analysis.alpha,
        arm=name,
        spec=arms[name].spec,
        policy_sha256=identity_sha256(arms[name].identity or {}),
        declared=server_identity(arms[name].identity),
        tasks={task: _condense(each) for task, each in by_task.items()},
    )


def _task(key: EpisodeKey) -> str:
    return f"{key.suite}/{key.task}"


def _condense(records: list[EpisodeRecord | None]) -> TaskOutcomes:
    characters = ["-" if each is None else str(int(each.outcome == "success")) for each in records]
    scenes = "\n".join("" if each is None else each.scene_hash for each in records)
    digest = hashlib.sha256(scenes.encode()).hexdigest()[:16]
    return TaskOutcomes(outcomes="".join(characters), scenes=digest)
