"""Where the frames of demonstrations go: a tool that another package offers."""

from __future__ import annotations

from pathlib import Path
from typing import Final, Literal, Protocol

from vla_eval.recording.recorder import DatasetLayout, Frame
from vla_eval.tools import Tool

__all__ = ["DATASET_WRITER", "DatasetWriter", "DatasetWriterFactory"]


class DatasetWriter(Protocol):
    """Writes episodes frame by frame. Interrupted or not, ``close`` leaves a readable dataset."""

    def add(self, frame: Frame) -> None:
        """Append a frame to the episode at hand."""

    def end_episode(self, *, keep: bool) -> None:
        """Save the episode at hand, or forget it."""

    def close(self) -> None:
        """Make the folder complete."""


class DatasetWriterFactory(Protocol):
    """Opens a dataset's folder for writing."""

    def __call__(
        self, folder: Path, layout: DatasetLayout, *, resume: bool, images: Literal["video", "png"]
    ) -> DatasetWriter:
        """Return a writer.

        Args:
            folder: the dataset's; must not exist, unless ``resume``.
            layout: what the frames look like.
            resume: append to the dataset that is there.
            images: ``video`` is small and lossy, ``png`` exact.

        Raises:
            MissingExtraError: what writes the format is not installed.
        """


DATASET_WRITER: Final[Tool[DatasetWriterFactory]] = Tool("dataset-writer", extra="lerobot")
