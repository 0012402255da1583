"""The episodes of a run as a dataset: played again from their stored actions, without their policies.

A frame holds what a recording's frame holds, but no reward, and in addition the arm, the outcome and the
inference that the action came from. ``meta/vla_eval.json`` lists the episodes with their scenes, so a policy
that learns from them is known to have seen them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Literal

from vla_eval.errors import InterruptedRunError, RunFolderError, UsageError, did_you_mean
from vla_eval.files.atomic import write_atomically
from vla_eval.playback import PlayedStep, Player
from vla_eval.record import EpisodeRecord
from vla_eval.recording.folder import Demonstration, Demonstrations
from vla_eval.recording.recorder import DatasetLayout, Evaluated, Frame
from vla_eval.recording.rrd import RrdWriter
from vla_eval.recording.writer import DATASET_WRITER, DatasetWriter
from vla_eval.runs.folder import RunFolder
from vla_eval.runs.traces import Traces
from vla_eval.stopping import stop_requested
from vla_eval.tools import load_tool
from vla_eval.trace import STALLED, Trace

__all__ = ["Form", "Selection", "record_run"]

type Form = Literal["lerobot", "rerun"]
"""``lerobot``: a LeRobotDataset v3. ``rerun``: a recording of the Rerun viewer for each key."""


@dataclass(frozen=True)
class Selection:
    """Which episodes of a run are recorded; empty parts leave nothing out."""

    arms: Sequence[str] = ()
    tasks: Sequence[str] = ()
    init_states: Sequence[int] = ()
    outcome: Literal["success", "failure"] | None = None

    def has(self, record: EpisodeRecord) -> bool:
        """Return whether an episode belongs to it."""
        return (
            record.outcome == (self.outcome or record.outcome)
            and (not self.arms or record.arm in self.arms)
            and (not self.tasks or record.task in self.tasks)
            and (not self.init_states or record.init_state in self.init_states)
        )


def record_run(
    run: Path,
    out: Path,
    selection: Selection,
    *,
    form: Form = "lerobot",
    images: Literal["video", "png"] = "video",
    size: int | None = None,
    trust: bool = False,
    on_episode: Callable[[Demonstration, int], None] = lambda *_: None,
) -> Demonstrations:
    """Play a run's episodes and write them as a dataset.

    Args:
        run: the run folder, with its stored actions.
        out: a new folder.
        selection: the episodes.
        form: format of the dataset.
        images: ``video`` is small and lossy, ``png`` exact.
        size: height and width of the pictures in px; None: as the policies saw them.
        trust: whether to import environments that no installed package provides.
        on_episode: called with every episode and the number of all.

    Raises:
        RunFolderError: the run keeps no actions, or the folder exists.
        UsageError: no episode is selected, or their cameras, states or actions differ.
        NotReproducedError: an episode is another one here; it is not in the dataset, the ones before are.
        MissingExtraError: the package that writes the format is not installed.
        InterruptedRunError: Ctrl-C, SIGTERM or SIGHUP; the dataset holds the episodes until then.
    """
    if out.exists():
        raise RunFolderError(f"{out} exists; name a new folder with --out")
    folder = RunFolder.open(run)
    chosen = _chosen(folder, selection)
    with Player(folder, size=size, trust=trust) as player:
        layout = _layout(player, folder, chosen[0][0])
        writer = _writer(form, out, layout, images)
        session = _Session(player, writer, layout)
        try:
            with stop_requested() as stopped:
                for record, trace in chosen:
                    on_episode(session.add(record, trace, stopped), len(chosen))
        finally:
            writer.close()
            content = Demonstrations(
                closed=True,
                request={
                    "run": folder.header.protocol.label,
                    "protocol": folder.header.protocol_sha256,
                },
                episodes=tuple(session.episodes),
            )
            (out / "meta").mkdir(exist_ok=True)
            write_atomically(
                out / "meta" / "vla_eval.json", content.model_dump_json(indent=1) + "\n"
            )
    return content


def _writer(
    form: Form, out: Path, layout: DatasetLayout, images: Literal["video", "png"]
) -> DatasetWriter:
    if form == "rerun":
        return RrdWriter(out, layout, images=images)
    return load_tool(DATASET_WRITER)(out, layout, resume=False, images=images)


def _chosen(folder: RunFolder, selection: Selection) -> list[tuple[EpisodeRecord, Trace]]:
    """Return the selected results with their actions, scene by scene in the order of the plan's keys."""
    known = [arm.name for arm in folder.header.arms]
    for arm in selection.arms:
        if arm not in known:
            raise UsageError(f"--arm {arm}: the run has no such arm{did_you_mean(arm, known)}")
    finals = folder.records().final.values()
    records = [
        record
        for record in finals
        if record.outcome != "error" and record.steps and selection.has(record)
    ]
    if not records:
        raise UsageError(f"{folder.path}: no episode of this run is selected")
    traces, chosen = Traces(folder.path), []
    for record in sorted(
        records, key=lambda record: (record.suite, record.task, record.key, record.arm)
    ):
        trace = traces.get(record)
        if trace is None:
            raise RunFolderError(
                f"{folder.path}: keeps no actions of {record.key}, arm '{record.arm}'; run it again without "
                "--no-actions, or record its policy: vlaeval record PROTOCOL --policy SPEC"
            )
        chosen.append((record, trace))
    return chosen


def _layout(player: Player, folder: RunFolder, record: EpisodeRecord) -> DatasetLayout:
    stalls = folder.header.protocol.run.realtime is not None
    return DatasetLayout.of(player.env_of(record), record.suite, stalls=stalls, evaluation=True)


class _Session:
    """The dataset that is being written."""

    def __init__(self, player: Player, writer: DatasetWriter, layout: DatasetLayout) -> None:
        self.episodes: list[Demonstration] = []
        self._player, self._writer, self._layout = player, writer, layout

    def add(
        self, record: EpisodeRecord, trace: Trace, stopped: Callable[[], bool]
    ) -> Demonstration:
        """Play one episode to its end, and save it."""
        env, layout = self._player.env_of(record), self._layout
        if DatasetLayout.of(env, record.suite, stalls=layout.stalls, evaluation=True) != layout:
            raise UsageError(
                f"{record.key}: its cameras, state or actions are not those of the episodes before; record "
                "it into a folder of its own, with --tasks"
            )
        for before, after in pairwise(self._player.play(record, trace)):
            if stopped():
                raise InterruptedRunError("interrupted; the dataset holds the episodes until here")
            self._writer.add(_frame(record, trace, before, after))
        self._writer.end_episode(keep=True)
        success = record.outcome == "success"
        self.episodes.append(
            Demonstration(
                key=record.key,
                arm=record.arm,
                success=success,
                score=record.score,
                steps=record.steps,
                reason=record.reason,
                scene_hash=record.scene_hash,
                episode_index=len(self.episodes),
            )
        )
        return self.episodes[-1]


def _frame(record: EpisodeRecord, trace: Trace, before: PlayedStep, after: PlayedStep) -> Frame:
    assert before.action is not None  # noqa: S101 - only the last moment has none
    source, last = int(trace.source[before.step]), after.action is None
    return Frame(
        key=record.key,
        instruction=record.instruction,
        observation=before.observation,
        action=before.action,
        reward=0.0,
        success=after.success,
        score=after.score,
        done=last and (record.outcome == "success" or record.reason == "truncated"),
        is_stalled=source == STALLED,
        evaluated=Evaluated(
            arm=record.arm,
            outcome=record.outcome,
            reason=record.reason or "",
            inference=source,
            subgoals=after.subgoals,
        ),
    )
