"""A folder of demonstrations: its episodes, its request, and its continuation by a second call.

Beside the dataset's own files lies ``meta/vla_eval.json``: the request, and one entry for every
attempted episode, kept or not. The same command on the same folder continues after Ctrl-C or SIGTERM,
and adds episodes if the plan has more; another policy is refused.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue

from vla_eval.errors import InterruptedRunError, RunFolderError, UsageError
from vla_eval.files.atomic import write_atomically
from vla_eval.files.jsonfile import read_json, read_model
from vla_eval.keys import EpisodeKey
from vla_eval.plan import PlannedEpisode
from vla_eval.policy import Policy
from vla_eval.realtime.latency import virtual_time
from vla_eval.realtime.settings import Realtime
from vla_eval.recording.recorder import DatasetLayout, Frame, Recorder
from vla_eval.recording.writer import DATASET_WRITER, DatasetWriter
from vla_eval.spec import build_policy
from vla_eval.stopping import stop_requested
from vla_eval.tools import load_tool
from vla_eval.trainedon import Scenes, shorten

__all__ = ["ARM", "Demonstration", "Demonstrations", "RecordingRequest", "record", "scenes_of"]


class Demonstration(BaseModel):
    """One attempted episode."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    key: EpisodeKey
    success: bool
    score: float
    steps: int
    reason: str | None
    """Reason of the failure."""
    scene_hash: str
    episode_index: int | None
    """Number of the episode in the dataset; None if it was not kept."""
    arm: str | None = Field(default=None, exclude_if=lambda value: value is None)
    """Arm of the run that the episode comes from; None: it was recorded, not evaluated."""


class Demonstrations(BaseModel):
    """The content of ``meta/vla_eval.json``."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: Literal[1] = 1
    closed: bool
    """Whether the dataset was closed; an unclosed one is being written, or cannot be read."""
    request: Mapping[str, JsonValue]
    episodes: tuple[Demonstration, ...] = ()

    @property
    def kept(self) -> int:
        """Number of episodes in the dataset."""
        return sum(episode.episode_index is not None for episode in self.episodes)

    @property
    def successes(self) -> int:
        """Number of successes among the attempted episodes."""
        return sum(episode.success for episode in self.episodes)

    @property
    def scenes(self) -> Scenes:
        """Initial scenes of the dataset's episodes."""
        kept = (episode for episode in self.episodes if episode.episode_index is not None)
        return shorten(episode.scene_hash for episode in kept)

    @property
    def frames(self) -> int:
        """Number of frames in the dataset."""
        return sum(episode.steps for episode in self.episodes if episode.episode_index is not None)


@dataclass(frozen=True)
class RecordingRequest:
    """Request for a recording; a folder belongs to one request."""

    source: str
    """Name of the suite, or label and hash of the protocol."""
    policy: str
    """Spec of the policy."""
    env_kwargs: Mapping[str, Any] = field(default_factory=dict)
    """Arguments of the environment beyond those of the source."""
    only_successes: bool = False
    images: Literal["video", "png"] = "video"
    n_action_steps: int | None = None
    realtime: Realtime | None = None
    """Virtual time of the protocol; None: time stands still while the policy thinks."""

    def facts(self, policy: Policy, layout: DatasetLayout) -> dict[str, JsonValue]:
        """Return everything by which two recordings are told apart; without virtual time as ever."""
        parts = {**asdict(self), "identity": asdict(policy.metadata), "layout": asdict(layout)}
        del parts["layout"]["evaluation"]  # the same for all recordings
        if self.realtime is None:
            del parts["realtime"], parts["layout"]["stalls"]
        else:
            parts["realtime"] = self.realtime.model_dump(mode="json", exclude_none=True)
        facts: dict[str, JsonValue] = json.loads(json.dumps(parts, default=str))
        return facts


ARM = "policy"
"""Name of a recording's arm, where a protocol gives arms a latency of their own."""


def record(
    plan: Sequence[PlannedEpisode],
    request: RecordingRequest,
    folder: Path,
    *,
    on_episode: Callable[[Demonstration], None] = lambda _: None,
) -> Demonstrations:
    """Record the episodes of a plan that the folder does not have yet.

    Args:
        plan: the episodes, in order.
        request: source, policy and settings of the recording.
        folder: the dataset's folder; it is created or continued.
        on_episode: called with every episode, beginning with those of earlier calls.

    Raises:
        UsageError: the folder holds something else, or the environments do not fit into one dataset.
        MissingExtraError: lerobot is not installed.
        InterruptedRunError: Ctrl-C, SIGTERM or SIGHUP; the dataset is readable, repeat to continue.
    """
    policy = build_policy(request.policy)
    virtual = virtual_time(request.realtime, ARM, policy.metadata)
    recorder = Recorder(policy, n_action_steps=request.n_action_steps, virtual=virtual)
    layout = recorder.layout(plan[0])
    wanted = request.facts(policy, layout)
    content = _open_folder(folder, wanted)
    done = {demonstration.key for demonstration in content.episodes}
    todo = [episode for episode in plan if episode.key not in done]
    for demonstration in content.episodes:
        on_episode(demonstration)
    if not todo:
        return content
    if folder.exists() and not content.kept:  # it is ours, and holds no episode to append to
        shutil.rmtree(folder)
    open_writer = load_tool(DATASET_WRITER)
    writer = open_writer(folder, layout, resume=bool(content.kept), images=request.images)
    session = _Session(folder, content, recorder, writer, layout)
    try:
        with stop_requested() as stopped:
            session.run(todo, stopped, on_episode)
    finally:
        writer.close()
        recorder.close()
        session.save(closed=True)
    return session.content


class _Session:
    def __init__(
        self,
        folder: Path,
        content: Demonstrations,
        recorder: Recorder,
        writer: DatasetWriter,
        layout: DatasetLayout,
    ) -> None:
        self.content = content
        self._file = _file_of(folder)
        self._recorder = recorder
        self._writer = writer
        self._layout = layout
        self.save(closed=False)

    def save(self, *, closed: bool) -> None:
        self.content = self.content.model_copy(update={"closed": closed})
        write_atomically(self._file, self.content.model_dump_json(indent=1) + "\n")

    def run(
        self,
        plan: Sequence[PlannedEpisode],
        stopped: Callable[[], bool],
        on_episode: Callable[[Demonstration], None],
    ) -> None:
        def listen(frame: Frame) -> None:
            if stopped():
                raise InterruptedRunError(
                    "interrupted; the dataset is complete up to here, repeat the command to continue"
                )
            self._writer.add(frame)

        for episode in plan:
            if self._recorder.layout(episode) != self._layout:
                raise UsageError(
                    f"{episode.key}: its cameras, state or actions are not those of the episodes "
                    "before; record it into a folder of its own"
                )
            result = self._recorder.run(episode, listen)
            success = result.outcome == "success"
            keep = result.steps > 0 and (success or not self.content.request["only_successes"])
            self._writer.end_episode(keep=keep)
            demonstration = Demonstration(
                key=episode.key,
                success=success,
                score=result.score,
                steps=result.steps,
                reason=result.reason,
                scene_hash=result.scene_hash,
                episode_index=self.content.kept if keep else None,
            )
            episodes = (*self.content.episodes, demonstration)
            self.content = self.content.model_copy(update={"episodes": episodes})
            on_episode(demonstration)


def _file_of(folder: Path) -> Path:
    return folder / "meta" / "vla_eval.json"


def scenes_of(folder: Path) -> Scenes:
    """Return the initial scenes of a dataset's episodes; None if they are unknown.

    They are known for datasets of :func:`record` to which no other program has added episodes.

    Raises:
        RunFolderError: ``meta/vla_eval.json`` or ``meta/info.json`` is damaged.
    """
    file = _file_of(folder)
    if not file.exists():
        return None
    content = _read(file)
    info = read_json(file.with_name("info.json"), wrong="is damaged", error=RunFolderError)
    total = info.get("total_episodes")
    return content.scenes if isinstance(total, int) and total <= content.kept else None


def _read(file: Path) -> Demonstrations:
    return read_model(file, Demonstrations, wrong="is damaged", error=RunFolderError)


def _open_folder(folder: Path, wanted: Mapping[str, JsonValue]) -> Demonstrations:
    """Return the demonstrations in a folder; none if it does not exist yet."""
    if not folder.exists():
        return Demonstrations(closed=False, request=wanted)
    file = _file_of(folder)
    if not file.exists():
        raise RunFolderError(
            f"{folder} exists and was not written by `vlaeval record`; choose another --out"
        )
    content = _read(file)
    if not content.closed:
        raise RunFolderError(
            f"{folder} was left unfinished, its process was killed (or still writes there); "
            "a dataset without its last page cannot be read: remove the folder and record again"
        )
    for name in wanted:
        if content.request.get(name) != wanted[name]:
            raise RunFolderError(
                f"{folder} holds a recording with another {name} "
                f"({json.dumps(content.request.get(name))}); choose another --out"
            )
    return content
