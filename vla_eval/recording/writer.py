"""The writer of demonstrations: a tool that another package offers."""

from __future__ import annotations

from pathlib import Path
from typing import Final, Literal, Protocol

from vla_eval.recording.recorder import DatasetLayout, Frame
from vla_eval.tools import Tool

__all__ = ["DATASET_WRITER", "DatasetWriter", "DatasetWriterFactory"]


class DatasetWriter(Protocol):
    """Writes episodes frame by frame; ``close`` leaves a readable dataset, after an interrupt too."""

    def add(self, frame: Frame) -> None:
        """Append a frame to the current episode."""

    def end_episode(self, *, keep: bool) -> None:
        """Save the current episode, or discard it."""

    def close(self) -> None:
        """Make the folder complete."""


class DatasetWriterFactory(Protocol):
    """Opens a dataset's folder for writing."""

    def __call__(
        self, folder: Path, layout: DatasetLayout, *, resume: bool, images: Literal["video", "png"]
    ) -> DatasetWriter:
        """Return a writer.

        Args:
            folder: the dataset's folder; it must not exist unless ``resume`` is true.
            layout: the layout of all frames.
            resume: whether to append to the existing dataset.
            images: ``video`` is small and lossy, ``png`` exact.

        Raises:
            MissingExtraError: the package that writes the format is not installed.
        """


DATASET_WRITER: Final[Tool[DatasetWriterFactory]] = Tool("dataset-writer", extra="lerobot")
