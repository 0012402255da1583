"""Replays one recorded episode, with an observation at every step.

A key decides its episode, so the replay has to execute exactly the same actions in exactly the same
scene. Every difference is reported; a replay with differences proves nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from vla_eval.errors import (
    MissingExtraError,
    PolicyLostError,
    PolicyTimeoutError,
    UsageError,
    did_you_mean,
)
from vla_eval.plan import PlannedEpisode, expand
from vla_eval.playback import Player
from vla_eval.realtime.latency import virtual_time
from vla_eval.record import EpisodeRecord
from vla_eval.recording.recorder import Frame, Recorder
from vla_eval.runs.folder import RunFolder
from vla_eval.runs.traces import Traces
from vla_eval.spec import build_policy
from vla_eval.trust import foreign_code, need_trust

__all__ = ["Differences", "Repeated", "Replay", "repeat", "replay", "replay_actions"]

type Differences = dict[str, tuple[Any, Any]]
"""Changed values by name: (then, now)."""

_COMPARED = (
    "scene_hash",
    "actions_sha256",
    "outcome",
    "reason",
    "steps",
    "score",
    "inferences",
    "nfe",
    "realtime",
)
_EXECUTED = ("scene_hash", "actions_sha256", "steps")


@dataclass(frozen=True)
class Replay:
    """Result of a replay."""

    record: EpisodeRecord
    """Record of the original episode."""
    differences: Differences


@dataclass(frozen=True)
class Repeated:
    """Result of a repeated episode."""

    differences: Differences
    """Differences of the episode; empty if it is reproduced."""
    environment: Differences
    """Differences that the environment reports of itself: simulator, renderer, model."""

    @property
    def explained(self) -> Differences:
        """Differences of the episode, if any, with those of the environment."""
        reasons = {f"provenance.{name}": pair for name, pair in self.environment.items()}
        return self.differences | reasons if self.differences else {}


def replay(
    run: Path, key: str, arm: str, *, video: Path | None = None, trust: bool = False
) -> Replay:
    """Run a recorded episode again and compare.

    Args:
        run: the run folder.
        key: key of the episode as in reports, ``suite/task/i3/e0/p0``.
        arm: name of the arm.
        video: video file to write, ``.mp4`` or ``.gif``, with the environment's cameras side by side.
        trust: whether to run code that the folder names and that no installed package provides.

    Raises:
        UsageError: there is no such arm or episode, the episode never ended, or its code is not trusted.
        MissingExtraError: a video is requested, and imageio is not installed.
    """
    folder = RunFolder.open(run)
    episode, record, spec = _recorded(folder, key, arm)
    if record is None or record.outcome == "error":
        raise UsageError(
            f"arm '{arm}' has not ended episode '{key}', so there is nothing to replay"
        )
    if record.reason == "policy_raised":
        message = record.error.message if record.error else "without words"
        raise UsageError(
            f"arm '{arm}' raised in episode '{key}', twice alike ({message}), so there is no episode to "
            "replay"
        )
    foreign = foreign_code(folder.header.protocol, [spec])
    need_trust(str(folder.path / "run.json"), foreign, trust=trust)
    return Replay(record, _again(folder, episode, spec, record, video))


def replay_actions(
    run: Path,
    key: str,
    arm: str,
    *,
    video: Path | None = None,
    size: int | None = None,
    trust: bool = False,
) -> EpisodeRecord | None:
    """Show a recorded episode again from its stored actions, without its policy, and compare.

    Args:
        run: the run folder.
        key: key of the episode as in reports, ``suite/task/i3/e0/p0``.
        arm: name of the arm.
        video: video file to write, as for `replay`.
        size: height and width of a camera's picture in px; None: as the policy saw them.
        trust: whether to import an environment that no installed package provides.

    Returns:
        The record of the episode; None if the run keeps no actions of it.

    Raises:
        UsageError: there is no such arm or episode, or its simulator or assets are not those of this machine.
        NotReproducedError: this is another episode than the recorded one.
        MissingExtraError: a video is requested, and imageio is not installed.
    """
    folder = RunFolder.open(run)
    _, record, _ = _recorded(folder, key, arm)
    trace = Traces(run).get(record) if record is not None else None
    if record is None or trace is None:
        return None
    pictures = video is not None
    with Player(folder, size=size, pictures=pictures, trust=trust) as player, ExitStack() as stack:
        film = None
        if video is not None:
            fps = int(player.env_of(record).metadata["render_fps"])
            film = stack.enter_context(_open_video(video, fps))
        for moment in player.play(record, trace):
            if film is not None:
                film.append_data(_picture(moment.frames))
    return record


def _recorded(
    folder: RunFolder, key: str, arm: str
) -> tuple[PlannedEpisode, EpisodeRecord | None, str]:
    """Return the planned episode, its record if there is one, and the arm's spec."""
    specs = {run_arm.name: run_arm.spec for run_arm in folder.header.arms}
    if arm not in specs:
        raise UsageError(f"the run has no arm '{arm}'{did_you_mean(arm, specs)}")
    planned = {str(episode.key): episode for episode in expand(folder.header.protocol)}
    if key not in planned:
        raise UsageError(f"the run has no episode '{key}'{_near(key, planned)}")
    return planned[key], folder.records().final.get((arm, planned[key].key)), specs[arm]


def _near(key: str, planned: dict[str, PlannedEpisode]) -> str:
    return (
        did_you_mean(key, planned)
        if len(planned) <= 50
        else f"; the first is {next(iter(planned))}"
    )


def _again(
    folder: RunFolder, episode: PlannedEpisode, spec: str, record: EpisodeRecord, video: Path | None
) -> Differences:
    policy, settings = build_policy(spec), folder.header.protocol.run
    recorder = Recorder(
        policy,
        n_action_steps=settings.n_action_steps,
        virtual=virtual_time(settings.realtime, record.arm, policy.metadata),
    )
    with ExitStack() as stack:
        stack.callback(recorder.close)
        if video is None:
            return repeat(recorder, episode, record).explained
        fps = recorder.layout(episode).fps
        writer = stack.enter_context(_open_video(video, fps))

        def film(frame: Frame) -> None:
            writer.append_data(_picture(frame.observation["pixels"]))

        return repeat(recorder, episode, record, film).explained


def repeat(
    recorder: Recorder,
    episode: PlannedEpisode,
    record: EpisodeRecord,
    listen: Callable[[Frame], None] | None = None,
) -> Repeated:
    """Run a recorded episode again; return the differences.

    A record with the reason ``policy_raised`` is reproduced if the policy raises the same exception in
    the same place.

    Args:
        recorder: recorder with the arm's policy.
        episode: the planned episode.
        record: record of the original episode.
        listen: called with the frame of every step.

    Raises:
        Exception: the environment or the policy raised, and the record has another reason than
            ``policy_raised``.
    """
    try:
        result = recorder.run(episode, listen)
    except (UsageError, PolicyLostError, PolicyTimeoutError):
        raise
    except Exception as raised:
        by_policy = recorder.executed.phase in ("warm_up", "infer", "end_episode")
        if str(record.reason) != "policy_raised" or not by_policy:
            raise
        return Repeated(_unequal(_raised(recorder, record, raised)), {})
    pairs = {name: (getattr(record, name), getattr(result, name)) for name in _COMPARED}
    provenance = {
        name: (value, result.provenance.get(name)) for name, value in record.provenance.items()
    }
    return Repeated(_unequal(pairs), _unequal(provenance))


def _unequal(pairs: Differences) -> Differences:
    return {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}


def _raised(recorder: Recorder, record: EpisodeRecord, raised: Exception) -> Differences:
    """Return the values by which exceptions of a policy are compared: (then, now)."""
    now = f"{type(raised).__name__}: {raised}"
    then = ""
    if record.error is not None:
        # A policy host reports type and message in one text.
        hosted = record.error.type == "PolicyRaisedError"
        then = record.error.message if hosted else f"{record.error.type}: {record.error.message}"
    pairs: Differences = {"error": (then, now)}
    if record.scene_hash:  # older records of errors lack scene, steps and actions
        pairs |= {
            name: (getattr(record, name), getattr(recorder.executed, name)) for name in _EXECUTED
        }
    return pairs


def _open_video(video: Path, fps: int) -> Any:
    try:
        import imageio.v2 as imageio
    except ImportError:
        raise MissingExtraError("a video", "so101") from None
    video.parent.mkdir(parents=True, exist_ok=True)
    if video.suffix == ".gif":
        return imageio.get_writer(video, duration=1000 / fps, loop=0)
    try:
        return imageio.get_writer(video, fps=fps, macro_block_size=2, codec="libx264")
    except (ImportError, ValueError) as error:
        raise UsageError(
            f"{video}: cannot be written ({error}); name a .gif, or run: pip install 'imageio[ffmpeg]'"
        ) from None


def _picture(frames: Mapping[str, npt.NDArray[np.uint8]]) -> npt.NDArray[np.uint8]:
    """Return the cameras side by side, (H, W, 3), cut to the lowest; video needs an even size."""
    if not frames:
        raise UsageError("the environment has no cameras, so there is no video; leave --video out")
    images = [np.asarray(image, dtype=np.uint8) for image in frames.values()]
    height = min(image.shape[0] for image in images)
    picture = np.concatenate([image[:height] for image in images], axis=1)
    return picture[: height - height % 2, : picture.shape[1] - picture.shape[1] % 2]
