"""Demonstrations for LeRobot's policies: any LeRobotDataset v3, through the checkpoint's own processor.

Frames are drawn uniformly, with replacement, by the generator of the training step. Other processes may
decode them in advance: they draw the same numbers from the same generators.
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import pad
from torch.utils.data import ConcatDataset, DataLoader, Sampler

from vla_eval.errors import MissingExtraError, UsageError
from vla_eval.recording.folder import scenes_of
from vla_eval.trainedon import Scenes, together
from vla_eval_policies.lerobot_policy.embodiment import STATE, Wants
from vla_eval_policies.lerobot_policy.loading import Loaded
from vla_eval_policies.methods import Batch
from vla_eval_policies.training.data import cameras_of
from vla_eval_policies.training.loop import step_generator

__all__ = ["LeRobotDataset"]

_IMAGES = "observation.images."
_ACTION = "action"
_HASHED = ("meta/info.json", "meta/tasks.parquet", "meta/episodes", "data", "videos")


class LeRobotDataset:
    """Minibatches for a checkpoint.

    Args:
        datasets: folders or hub ids of datasets of the same robot.
        loaded: the policy, whose processor normalises pictures, states and actions.
        wants: inputs and action size of the policy.
        batch: number of frames in a minibatch.
        seed: seed of the trainer.
        workers: number of processes that decode in advance.

    Raises:
        UsageError: a dataset cannot be read, or is of another robot than the checkpoint.
        MissingExtraError: the packages that read datasets are not installed.
    """

    def __init__(
        self,
        datasets: Sequence[str],
        loaded: Loaded,
        wants: Wants,
        *,
        batch: int,
        seed: int,
        workers: int = 0,
    ) -> None:
        config = loaded.policy.config
        self._parts = [_open(name, int(config.chunk_size)) for name in datasets]
        for name, part in zip(datasets, self._parts, strict=True):
            _check(name, part.meta.features, wants)
        features = self._parts[0].meta.features
        columns = {wanted: _column(wanted, wants, features) for wanted in wants.images}
        self._collate = _Collate(columns, takes_state=wants.state is not None)
        self._frames: ConcatDataset[Any] = ConcatDataset(self._parts)
        self._loaded = loaded
        self._padded, self._real = int(config.max_action_dim), wants.action
        self._batch, self._seed, self._workers = batch, seed, workers
        self._ahead: Iterator[dict[str, Any]] | None = None
        self._next = -1

    def describe(self) -> str:
        """Return the numbers of episodes and frames, and the instructions, as text."""
        episodes = sum(part.num_episodes for part in self._parts)
        tasks = dict.fromkeys(text for part in self._parts for text in part.meta.tasks.index)
        return f"{episodes} episodes, {len(self._frames)} frames: {'; '.join(tasks)}"

    def scenes(self) -> Scenes:
        """Return the scenes in which the episodes began; None if a dataset does not list them."""
        return together(scenes_of(Path(part.root)) for part in self._parts)

    def sha256(self) -> str:
        """Hash the files that training reads."""
        hasher = hashlib.sha256()
        for part in self._parts:
            root = Path(part.root)
            for top in _HASHED:
                for path in sorted([root / top, *(root / top).rglob("*")]):
                    if path.is_file():
                        hasher.update(f"{path.relative_to(root).as_posix()}\0".encode())
                        with path.open("rb") as file:
                            hasher.update(hashlib.file_digest(file, "sha256").digest())
        return hasher.hexdigest()

    def draw(self, step: int, generator: torch.Generator) -> tuple[Mapping[str, Any], Batch]:
        """Return the minibatch of a step: the preprocessed observations, and their chunks.

        After the end of an episode, a chunk repeats the last action, and these entries are padding.
        """
        frame_numbers(generator, self._batch, len(self._frames))  # as the loader draws them
        if self._ahead is None or self._next != step:
            self._ahead = iter(self._loader(step))
        self._next = step + 1
        raw = next(self._ahead)
        absent = raw.pop("action_is_pad")
        batch = self._loaded.preprocess(raw)
        actions = batch.pop(_ACTION).float()
        real = torch.zeros(*actions.shape[:2], self._padded, dtype=torch.bool)
        real[..., : self._real] = ~absent[..., None]
        return batch, Batch(pad(actions, (0, self._padded - self._real)), real.to(actions.device))

    def _loader(self, first: int) -> DataLoader[Any]:
        numbers = _Numbers(self._seed, first, self._batch, len(self._frames))
        return DataLoader(
            self._frames,
            batch_sampler=numbers,
            num_workers=self._workers,
            collate_fn=self._collate,
        )


@dataclass(frozen=True)
class _Collate:
    """Stacks frames to a minibatch, in whatever process: it knows nothing of the policy."""

    images: Mapping[str, str]
    """The dataset's column of each picture that the policy wants."""
    takes_state: bool

    def __call__(self, items: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        def stacked(column: str) -> Tensor:
            return torch.stack([item[column] for item in items])

        raw: dict[str, Any] = {
            wanted: stacked(column).float() for wanted, column in self.images.items()
        }
        if self.takes_state:
            raw[STATE] = stacked(STATE).float()
        raw[_ACTION] = stacked(_ACTION).float()
        raw["action_is_pad"] = stacked("action_is_pad")
        raw["task"] = [item["task"] for item in items]
        return raw


def frame_numbers(generator: torch.Generator, size: int, count: int) -> list[int]:
    """Draw the frame numbers of a minibatch."""
    numbers: list[int] = torch.randint(count, (size,), generator=generator).tolist()
    return numbers


class _Numbers(Sampler[list[int]]):
    """Frame numbers of every step from ``first`` on, without end."""

    def __init__(self, seed: int, first: int, size: int, count: int) -> None:
        self._seed, self._first, self._size, self._count = seed, first, size, count

    def __iter__(self) -> Iterator[list[int]]:
        step = self._first
        while True:
            yield frame_numbers(step_generator(self._seed, step), self._size, self._count)
            step += 1


def _open(name: str, chunk_size: int) -> Any:
    """Return a LeRobotDataset in which every frame has the chunk of actions that begins there."""
    try:
        from lerobot.datasets.lerobot_dataset import LeRobotDataset, LeRobotDatasetMetadata
    except ImportError as error:
        raise MissingExtraError("training on LeRobotDatasets", "lerobot") from error
    folder = Path(name).expanduser()
    if folder.is_dir():
        cameras_of(folder)  # raises the error for a folder that is no dataset
    elif name.count("/") != 1 or name.startswith((".", "/", "~")):
        raise UsageError(f"dataset {name}: there is no such folder")
    where = {"root": folder} if folder.is_dir() else {}
    repository = folder.name if folder.is_dir() else name
    try:
        with redirect_stdout(sys.stderr):
            rate = LeRobotDatasetMetadata(repository, **where).fps
            ahead = [i / rate for i in range(chunk_size)]
            return LeRobotDataset(
                repository, delta_timestamps={_ACTION: ahead}, video_backend="pyav", **where
            )
    except Exception as error:
        reason = (str(error).strip().splitlines() or [""])[0]
        raise UsageError(
            f"dataset {name}: LeRobot cannot open it as a LeRobotDataset v3 "
            f"({type(error).__name__}: {reason})"
        ) from error


def _check(name: str, features: Mapping[str, Any], wants: Wants) -> None:
    """Refuse a dataset of another robot than the checkpoint's."""
    for wanted in wants.images:
        _column(wanted, wants, features, name)
    for column, size in ((STATE, wants.state), (_ACTION, wants.action)):
        if size is None:
            continue
        shape = features[column]["shape"] if column in features else None
        if shape is None or int(np.prod(shape)) != size:
            has = "none" if shape is None else f"{int(np.prod(shape))} numbers"
            raise UsageError(
                f"dataset {name}: {wants.where} has {column} of {size} numbers, the dataset {has}; it "
                "was trained for another robot or another choice of features"
            )


def _column(wanted: str, wants: Wants, features: Mapping[str, Any], name: str = "") -> str:
    """Return the dataset's column for an input picture of the checkpoint."""
    theirs = {feature: camera for camera, feature in wants.cameras.items()}
    column = _IMAGES + theirs.get(wanted.removeprefix(_IMAGES), wanted.removeprefix(_IMAGES))
    if column not in features:
        has = [key.removeprefix(_IMAGES) for key in features if key.startswith(_IMAGES)]
        example = f"{has[0]}:{wanted.removeprefix(_IMAGES)}" if has else "CAMERA:NAME"
        raise UsageError(
            f"dataset {name}: there is no {column}, which {wants.where} wants as {wanted}; it has "
            f"{', '.join(has) or 'no camera'}; say which is which behind the base, for example "
            f"--base '{wants.where}?cameras={example}'"
        )
    return column
