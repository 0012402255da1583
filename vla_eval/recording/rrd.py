"""Episodes of a run as recordings of the Rerun viewer: one file for each key, the arms side by side.

==============================  ===============================================================
entity                          content
==============================  ===============================================================
``/ARM/cameras/NAME``           the pictures, one for each control step
``/ARM/state``, ``/ARM/action``  one series for each named dimension
``/ARM/task``                   score, success and the parts of the task
``/ARM/inference``              number of the inference that the action came from, -1 if stalled
``/ARM/episode``                instruction, key and outcome as text
==============================  ===============================================================

Timelines are ``step``, in control steps, and ``time``, in seconds of the simulation.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from vla_eval.errors import MissingExtraError
from vla_eval.keys import EpisodeKey
from vla_eval.recording.recorder import DatasetLayout, Evaluated, Frame
from vla_eval.stats._numeric import Array

__all__ = ["RrdWriter"]

_APPLICATION = "vla_eval"
_AV1 = ("-crf", "32", "-preset", "8", "-g", "30", "-svtav1-params", "lp=1")
"""AV1 is the one codec that the viewer decodes by itself; a key frame a second lets it seek."""

_COLOURS = (
    0x4E9FE5FF,
    0xF5A742FF,
    0x5CBF7AFF,
    0xE36C8BFF,
    0xA78BDEFF,
    0xD9C84AFF,
    0x52C7C7FF,
    0xC0C0C0FF,
)
"""RGBA of the series: a dimension has the same colour in every arm."""


class RrdWriter:
    """Implements :class:`~vla_eval.recording.writer.DatasetWriter` for episodes of a run.

    The arms of one key must come one after the other.

    Args:
        folder: a new folder, for ``SUITE-TASK-iI-eE-pP.rrd``.
        layout: cameras, states and actions of the frames.
        images: ``video`` (AV1, small, lossy) or ``png`` (exact).

    Raises:
        MissingExtraError: rerun-sdk or imageio is not installed.
    """

    def __init__(
        self, folder: Path, layout: DatasetLayout, *, images: Literal["video", "png"]
    ) -> None:
        try:
            import imageio_ffmpeg  # noqa: F401
            import rerun
        except ImportError:
            raise MissingExtraError("writing recordings of Rerun", "rerun") from None
        os.environ.setdefault("SVT_LOG", "1")  # errors only; by default it prints its settings
        self._rerun: Any = rerun
        self._folder, self._layout, self._images = folder, layout, images
        self._scratch = Path(tempfile.mkdtemp(prefix="vla_eval-rrd-"))
        self._arm: _Arm | None = None
        self._done: list[_Arm] = []
        folder.mkdir(parents=True)

    def add(self, frame: Frame) -> None:
        """Append a frame to the current episode."""
        assert frame.evaluated is not None  # noqa: S101 - only episodes of a run come here
        if self._arm is None:
            if self._done and self._done[0].key != frame.key:
                self._write()
            videos = self._scratch if self._images == "video" else None
            self._arm = _Arm(frame, frame.evaluated, self._layout, videos, len(self._done))
        self._arm.add(frame, frame.evaluated)

    def end_episode(self, *, keep: bool) -> None:
        """Keep the current episode for its key's file, or discard it."""
        if self._arm is not None:
            self._arm.close()
            self._done += [self._arm] if keep else []
        self._arm = None

    def close(self) -> None:
        """Write the last file."""
        self.end_episode(keep=False)
        try:
            self._write()
        finally:
            shutil.rmtree(self._scratch, ignore_errors=True)

    def _write(self) -> None:
        """Write the file of the episodes that are done, which have one key."""
        if not self._done:
            return
        rr, key = self._rerun, self._done[0].key
        stream = rr.RecordingStream(_APPLICATION, recording_id=str(key))
        blueprint = _blueprint(rr, self._layout, self._done)
        stream.save(self._folder / f"{str(key).replace('/', '-')}.rrd", default_blueprint=blueprint)
        for arm in self._done:
            arm.send(rr, stream)
        stream.flush()
        stream.disconnect()
        self._done = []


class _Arm:
    """One arm's episode."""

    def __init__(
        self,
        frame: Frame,
        about: Evaluated,
        layout: DatasetLayout,
        videos: Path | None,
        number: int,
    ) -> None:
        self.key: EpisodeKey = frame.key
        self.name = about.arm
        self._layout = layout
        self._rows: list[tuple[NDArray[np.float32], NDArray[np.float32], Mapping[str, float]]] = []
        self._inferences: list[int] = []
        self._text = (
            f"**{frame.instruction}**\n\n{frame.key}, arm {about.arm}: {about.outcome}"
            f"{f' ({about.reason})' if about.reason else ''}"
        )
        self._cameras: dict[str, _Video | _Pictures] = {
            name: _Pictures()
            if videos is None
            else _Video(videos / f"{number}-{i}.mp4", shape, layout.fps)
            for i, (name, shape) in enumerate(layout.cameras)
        }

    def add(self, frame: Frame, about: Evaluated) -> None:
        """Append a frame."""
        for name, camera in self._cameras.items():
            camera.add(frame.observation["pixels"][name])
        state = np.asarray(frame.observation["agent_pos"], dtype=np.float32)
        parts = {"score": frame.score, "success": float(frame.success)}
        parts |= {name: float(on) for name, on in about.subgoals.items() if name not in parts}
        self._rows.append((state, frame.action, parts))
        self._inferences.append(about.inference)

    def close(self) -> None:
        """Finish the videos."""
        for camera in self._cameras.values():
            camera.close()

    def send(self, rr: Any, stream: Any) -> None:
        """Send everything to an open recording."""
        root, steps = f"/{self.name}", np.arange(len(self._rows))
        times = [
            rr.TimeColumn("step", sequence=steps),
            rr.TimeColumn("time", duration=steps / self._layout.fps),
        ]
        stream.log(
            f"{root}/episode", rr.TextDocument(self._text, media_type="text/markdown"), static=True
        )
        for name, camera in self._cameras.items():
            camera.send(rr, stream, f"{root}/cameras/{name}", times)
        states, actions, parts = zip(*self._rows, strict=True)
        # A part that a later frame names first is not done before.
        names = list(dict.fromkeys(name for row in parts for name in row))
        tasks = [[row.get(name, 0.0) for name in names] for row in parts]
        for entity, labels, rows in (
            ("state", self._layout.state_names, states),
            ("action", self._layout.action_names, actions),
            ("task", names, tasks),
            ("inference", ["inference"], [[each] for each in self._inferences]),
        ):
            values = np.asarray(rows, dtype=np.float64)
            _send_series(rr, stream, f"{root}/{entity}", labels, values, times)


def _send_series(
    rr: Any, stream: Any, entity: str, names: Sequence[str], values: Array, times: list[Any]
) -> None:
    """Send values (T, D), one series for each name."""
    colours = np.resize(np.array(_COLOURS, dtype=np.uint32), len(names))
    stream.log(entity, rr.SeriesLines(names=list(names), colors=colours), static=True)
    stream.send_columns(entity, times, rr.Scalars.columns(scalars=values))


class _Video:
    """A camera's pictures as a video in AV1."""

    def __init__(self, file: Path, shape: tuple[int, int, int], fps: int) -> None:
        import imageio_ffmpeg

        height, width, _ = shape
        self._file = file
        self._size = height - height % 2, width - width % 2  # the codec wants even sizes
        self._writer = imageio_ffmpeg.write_frames(
            str(file),
            self._size[::-1],
            fps=fps,
            codec="libsvtav1",
            quality=None,
            macro_block_size=2,
            ffmpeg_log_level="error",
            output_params=list(_AV1),
        )
        self._writer.send(None)

    def add(self, picture: NDArray[np.uint8]) -> None:
        height, width = self._size
        self._writer.send(np.ascontiguousarray(picture[:height, :width]))

    def close(self) -> None:
        self._writer.close()

    def send(self, rr: Any, stream: Any, entity: str, times: list[Any]) -> None:
        video = rr.AssetVideo(path=self._file)
        stream.log(entity, video, static=True)
        moments = video.read_frame_timestamps_nanos()
        stream.send_columns(entity, times, rr.VideoFrameReference.columns_nanos(moments))


class _Pictures:
    """A camera's pictures as they are."""

    def __init__(self) -> None:
        self._encoded: list[bytes] = []

    def add(self, picture: NDArray[np.uint8]) -> None:
        import imageio.v2 as imageio

        self._encoded.append(imageio.imwrite("<bytes>", picture, format="png"))

    def close(self) -> None:
        """Have nothing to finish."""

    def send(self, rr: Any, stream: Any, entity: str, times: list[Any]) -> None:
        kinds = ["image/png"] * len(self._encoded)
        columns = rr.EncodedImage.columns(blob=self._encoded, media_type=kinds)
        stream.send_columns(entity, times, columns)


def _blueprint(rr: Any, layout: DatasetLayout, arms: Sequence[_Arm]) -> Any:
    """Return the viewer's first arrangement: a column for each arm."""
    from rerun import blueprint as shown

    del rr
    columns = []
    for arm in arms:
        root = f"/{arm.name}"
        cameras = [
            shown.Spatial2DView(origin=f"{root}/cameras/{name}", name=name)
            for name, _ in layout.cameras
        ]
        plots = [
            shown.TimeSeriesView(origin=f"{root}/{entity}", name=entity)
            for entity in ("action", "task")
        ]
        text = shown.TextDocumentView(origin=f"{root}/episode", name=arm.name)
        columns.append(
            shown.Vertical(text, shown.Horizontal(*cameras), *plots, row_shares=[1, 4, 3, 2])
        )
    return shown.Blueprint(shown.Horizontal(*columns), collapse_panels=True)
