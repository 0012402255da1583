"""Demonstrations as arrays: folders of ``vlaeval record`` (LeRobotDataset v3), read completely.

The videos are decoded once, in order, and averaged down to the network's picture size. Random access
into a video would cost a seek for every frame, and all frames of some hundred episodes fit into memory.
:mod:`vla_eval_policies.training.expert_data` generates demonstrations during training instead.
"""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import ValidationError

from vla_eval.errors import MissingExtraError, UsageError
from vla_eval.files.complaints import first_complaint
from vla_eval.files.jsonfile import read_json
from vla_eval.recording.folder import scenes_of
from vla_eval.trainedon import Scenes, together
from vla_eval_policies.flow.inputs import shrink, word_numbers
from vla_eval_policies.flow.network import FlowConfig, FlowNetwork, Inputs
from vla_eval_policies.methods import Batch

__all__ = ["Frames", "cameras_of", "chunks_of", "draw_batch", "fit_scales", "read_frames"]

_IMAGES = "observation.images."


@dataclass(frozen=True)
class Frames:
    """Moments of demonstrations, each with the chunk of actions that follows it."""

    pictures: NDArray[np.uint8]
    """(N, cameras, 3 · n_obs_steps, size, size), oldest step first."""
    states: NDArray[np.float32]
    """(N, S)."""
    chunks: NDArray[np.float32]
    """(N, H, A)."""
    lengths: NDArray[np.int64]
    """Number of actions in each chunk, (N,); the rest of a chunk repeats its last action."""
    episode: NDArray[np.int64]
    """Number of each moment's episode, (N,)."""
    instructions: tuple[str, ...]
    instruction: NDArray[np.int64]
    """Index of each moment's instruction in ``instructions``, (N,)."""
    scenes: Scenes = None
    """Scenes in which the episodes began; training does not use them."""

    def sha256(self) -> str:
        """Hash all data that training uses."""
        hasher = hashlib.sha256(json.dumps(self.instructions).encode())
        arrays = (self.pictures, self.states, self.chunks, self.lengths, self.episode)
        for array in (*arrays, self.instruction):
            hasher.update(f"{array.dtype}{array.shape}".encode())
            hasher.update(np.ascontiguousarray(array).data)
        return hasher.hexdigest()

    def describe(self) -> str:
        """Return the numbers of episodes and frames, and the instructions, as text."""
        episodes = len(np.unique(self.episode))
        return f"{episodes} episodes, {len(self.states)} frames: {'; '.join(self.instructions)}"

    @classmethod
    def joined(cls, parts: Sequence[Frames]) -> Frames:
        """Concatenate frames of the same robot."""
        if len(parts) == 1:
            return parts[0]
        texts = tuple(dict.fromkeys(text for part in parts for text in part.instructions))
        numbers = [
            np.array([texts.index(text) for text in part.instructions])[part.instruction]
            for part in parts
        ]
        first = np.cumsum([0, *(int(part.episode.max()) + 1 for part in parts)])
        return cls(
            pictures=np.concatenate([part.pictures for part in parts]),
            states=np.concatenate([part.states for part in parts]),
            chunks=np.concatenate([part.chunks for part in parts]),
            lengths=np.concatenate([part.lengths for part in parts]),
            episode=np.concatenate(
                [part.episode + start for part, start in zip(parts, first, strict=False)]
            ),
            instructions=texts,
            instruction=np.concatenate(numbers),
            scenes=together(part.scenes for part in parts),
        )


def chunks_of(
    actions: NDArray[np.float32], ends: NDArray[np.int64], size: int
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Return the chunk that begins at each step, (N, size, A), and its number of actions, (N,).

    Args:
        actions: (N, A), the episodes one after another.
        ends: (N,), for each step the end of its episode: the index after its last step.
        size: number of actions in a chunk.
    """
    steps = np.arange(len(ends))[:, None] + np.arange(size)
    chunks = actions[np.minimum(steps, ends[:, None] - 1)]
    return chunks, np.minimum(ends - np.arange(len(ends)), size)


def cameras_of(folder: Path) -> tuple[str, ...]:
    """Return the names of a dataset's cameras, in its order.

    Raises:
        UsageError: the folder is no dataset, or its recording was not finished.
    """
    features = _info(folder)["features"]
    return tuple(name.removeprefix(_IMAGES) for name in features if name.startswith(_IMAGES))


def read_frames(
    folders: Sequence[Path],
    cameras: Sequence[str],
    size: int,
    chunk_size: int,
    n_obs_steps: int = 1,
) -> Frames:
    """Read datasets of the same robot and concatenate them.

    Raises:
        UsageError: a folder is no dataset, is unfinished, or lacks a camera.
        MissingExtraError: the packages that read datasets are not installed.
    """
    parts = [_read(folder, cameras, size, chunk_size, n_obs_steps) for folder in folders]
    return Frames.joined(parts)


def draw_batch(
    frames: Frames, network: FlowNetwork, size: int, generator: torch.Generator
) -> tuple[Inputs, Batch]:
    """Draw frames uniformly, with their chunks."""
    config = network.config
    index = torch.randint(len(frames.states), (size,), generator=generator).numpy()
    words = np.stack([word_numbers(text, config.words) for text in frames.instructions])
    device = network.action_mean.device
    inputs = Inputs(
        torch.from_numpy(frames.pictures[index]).to(device),
        torch.from_numpy(words[frames.instruction[index]]).to(device),
        torch.from_numpy(frames.states[index]).to(device),
    )
    actions = network.normalise(torch.from_numpy(frames.chunks[index]).to(device), inputs.state)
    real = torch.zeros_like(actions, dtype=torch.bool)
    present = np.arange(config.chunk_size) < frames.lengths[index, None]
    real[..., : config.action_size] = torch.from_numpy(present)[..., None].to(device)
    return inputs, Batch(actions, real)


def fit_scales(network: FlowNetwork, frames: Frames) -> None:
    """Set the network's scales, so that all states and actions have unit standard deviation.

    Actions have a scale for each step of a chunk, since relative actions spread more with each step.
    The scale is at least 1 % of the dimension's largest, so that noise is not amplified.
    """
    chunks, size = np.array(frames.chunks), network.config.relative_size
    chunks[..., :size] -= frames.states[:, None, :size]
    std = chunks.std(0)
    floor = np.maximum(0.01 * std.max(0, keepdims=True), 1e-6)
    network.action_mean.copy_(torch.from_numpy(chunks.mean(0)))
    network.action_std.copy_(torch.from_numpy(np.maximum(std, floor)))
    network.state_mean.copy_(torch.from_numpy(frames.states.mean(0)))
    network.state_std.copy_(torch.from_numpy(np.maximum(frames.states.std(0), 1e-3)))


def sizes_of(frames: Frames) -> dict[str, int]:
    """Return the sizes that a network's configuration takes from the data."""
    return {"state_size": frames.states.shape[1], "action_size": frames.chunks.shape[2]}


def _info(folder: Path) -> Any:
    mark, file = folder / "meta" / "vla_eval.json", folder / "meta" / "info.json"
    if mark.is_file() and not read_json(mark, wrong="is damaged").get("closed"):
        raise UsageError(f"{folder} is still being recorded, or its recording was killed")
    if not file.exists():
        raise UsageError(
            f"{folder} is no dataset: it has no meta/info.json; record one with `vlaeval record`"
        )
    info = read_json(file, wrong="is no description of a dataset")
    if not isinstance(info.get("features"), dict):
        raise UsageError(f"{file}: is no description of a dataset ('features' is missing)")
    return info


def _read(
    folder: Path, cameras: Sequence[str], size: int, chunk_size: int, n_obs_steps: int
) -> Frames:
    try:
        import pyarrow.parquet
    except ModuleNotFoundError:
        raise MissingExtraError("reading demonstrations", "lerobot") from None
    features = _info(folder)["features"]
    missing = [name for name in cameras if _IMAGES + name not in features]
    if missing:
        raise UsageError(
            f"{folder} has no camera '{missing[0]}'; it has {', '.join(cameras_of(folder))}"
        )
    table = pyarrow.parquet.read_table(folder / "data").sort_by("index")
    episode = table["episode_index"].to_numpy()
    tasks = pyarrow.parquet.read_table(folder / "meta" / "tasks.parquet").to_pandas()
    ends = np.searchsorted(episode, episode, side="right").astype(np.int64)
    actions = np.stack(table["action"].to_numpy()).astype(np.float32)
    chunks, lengths = chunks_of(actions, ends, chunk_size)
    pictures = np.empty((len(episode), len(cameras), 3, size, size), np.uint8)
    for i, name in enumerate(cameras):
        column = _IMAGES + name
        is_video = features[column]["dtype"] == "video"
        frames = _videos(folder / "videos" / column) if is_video else _images(table[column])
        _fill(pictures[:, i], frames, folder, name)
    return Frames(
        pictures=_with_earlier(pictures, episode, n_obs_steps),
        states=np.stack(table["observation.state"].to_numpy()).astype(np.float32),
        chunks=chunks,
        lengths=lengths,
        episode=episode.astype(np.int64),
        instructions=tuple(tasks.sort_values("task_index").index),
        instruction=table["task_index"].to_numpy().astype(np.int64),
        scenes=scenes_of(folder),
    )


def _with_earlier(
    pictures: NDArray[np.uint8], episode: NDArray[np.int64], n_obs_steps: int
) -> NDArray[np.uint8]:
    """Put the pictures of the steps before beside each step's own, within its episode."""
    if n_obs_steps == 1:
        return pictures
    begins = np.searchsorted(episode, episode, side="left")
    steps = np.arange(len(episode))
    ages = range(n_obs_steps - 1, -1, -1)
    return np.concatenate([pictures[np.maximum(steps - age, begins)] for age in ages], axis=2)


def _fill(
    target: NDArray[np.uint8], frames: Iterable[NDArray[np.uint8]], folder: Path, camera: str
) -> None:
    """Write a camera's frames into ``target``, (N, 3, size, size); there must be exactly N."""
    count = 0
    for frame in frames:
        if count < len(target):
            target[count] = shrink(frame, target.shape[-1]).transpose(2, 0, 1)
        count += 1
    if count != len(target):
        raise UsageError(f"{folder}: camera '{camera}' has {count} frames for {len(target)} steps")


def _videos(folder: Path) -> Iterator[NDArray[np.uint8]]:
    """Decode all files of a camera, in order; each file holds whole episodes."""
    import av

    for file in sorted(folder.rglob("*.mp4")):
        with av.open(str(file)) as container:
            for frame in container.decode(video=0):
                yield frame.to_ndarray(format="rgb24").astype(np.uint8, copy=False)


def _images(column: Any) -> Iterator[NDArray[np.uint8]]:
    """Decode the png files in a column of a table."""
    from PIL import Image

    for cell in column:
        with Image.open(io.BytesIO(cell["bytes"].as_py())) as image:
            yield np.asarray(image.convert("RGB"))


def network_for(config: dict[str, Any], frames: Frames, cameras: Sequence[str]) -> FlowConfig:
    """Return the network's configuration for these data; raises UsageError."""
    try:
        return FlowConfig.model_validate({**config, **sizes_of(frames), "cameras": tuple(cameras)})
    except ValidationError as error:
        raise UsageError(
            f"the recipe's network does not fit the data: {first_complaint(error)}"
        ) from None
