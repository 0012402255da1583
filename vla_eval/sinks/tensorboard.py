"""TensorBoard, by tensorboardX: curves with their interval as a band; no torch is needed."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from vla_eval.errors import MissingExtraError, UsageError
from vla_eval.sinks.sink import Facts, Sink, take_options

__all__ = ["TensorBoardFactory"]


class TensorBoardFactory:
    """``tensorboard[:DIR]``; default ``runs/tensorboard``."""

    help = "TensorBoard: intervals as bands, tables as text; tensorboard[:DIR]"

    def __call__(self, target: str | None, options: Mapping[str, str], facts: Facts) -> Sink:
        """Write a new folder of events; an earlier one of the same run is replaced."""
        take_options("tensorboard", options, ())
        try:
            from tensorboardX import SummaryWriter
        except ImportError:
            raise MissingExtraError("tensorboard", "tensorboard") from None
        folder = Path(target or "runs/tensorboard") / f"{facts.arm}-{facts.identity[:6]}"
        if folder.exists():
            if any(not file.name.startswith("events.out.tfevents") for file in folder.iterdir()):
                raise UsageError(f"{folder}: holds other files than events; name another folder")
            shutil.rmtree(folder)
        return _TensorBoard(SummaryWriter(str(folder)), facts)


class _TensorBoard:
    def __init__(self, writer: Any, facts: Facts) -> None:
        self._writer = writer
        names = facts.points[-1][1] if facts.points else {}
        bands = {
            name: ["Margin", [name, f"{name}_low", f"{name}_high"]]
            for name in names
            if f"{name}_low" in names
        }
        if bands:
            writer.add_custom_scalars({"vla_eval": bands})
        writer.add_text("config", "\n".join(f"- {k}: `{v}`" for k, v in facts.config.items()), 0)

    def point(self, step: int, numbers: Mapping[str, float]) -> None:
        for name, value in numbers.items():
            self._writer.add_scalar(name, value, step)
        self._writer.flush()

    def finish(self, facts: Facts) -> None:
        step = facts.points[-1][0]
        for table in facts.tables:
            self._writer.add_text(table.name, table.markdown(), step)
        self._writer.add_text("report", f"```\n{facts.report}\n```", step)
        for video in facts.videos:
            self._add_video(video, step)

    def _add_video(self, video: Path, step: int) -> None:
        """Add a video as a moving picture, the only form that TensorBoard has for one."""
        from tensorboardX.proto.summary_pb2 import Summary

        from vla_eval.sinks.videos import as_gif

        gif, (height, width) = as_gif(video)
        image = Summary.Image(height=height, width=width, colorspace=3, encoded_image_string=gif)
        value = Summary.Value(tag=f"failures/{video.stem}", image=image)
        self._writer.file_writer.add_summary(Summary(value=[value]), step)

    def close(self) -> None:
        self._writer.close()
