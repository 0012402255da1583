"""Observations as the network's tensors; training and evaluation use the same functions."""

from __future__ import annotations

import re
import zlib
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from vla_eval.environment import Observation
from vla_eval.errors import PolicySpecError
from vla_eval_policies.flow.network import FlowConfig, Inputs

__all__ = ["MAX_WORDS", "inputs_of", "shrink", "stacked", "word_numbers"]

MAX_WORDS = 16


def shrink(picture: NDArray[np.uint8], size: int) -> NDArray[np.uint8]:
    """Average a square picture (H, H, 3) down to (size, size, 3) over whole blocks of pixels.

    Raises:
        PolicySpecError: the picture is not square, or H is not a multiple of the size.
    """
    height, width = picture.shape[:2]
    if height != width or height % size:
        raise PolicySpecError(
            f"the policy sees pictures of {size}×{size} pixels and averages larger square ones down to "
            f"that, by whole factors; {width}×{height} cannot be (set env_kwargs.image_size)"
        )
    factor = height // size
    if factor == 1:
        return picture
    wide = np.uint16 if factor <= 16 else np.uint32  # holds 255·factor²
    rows: NDArray[Any] = picture[::factor].astype(wide)
    for i in range(1, factor):
        rows += picture[i::factor]
    blocks = rows.reshape(size, size, factor, 3)
    sums: NDArray[Any] = blocks[:, :, 0].copy()
    for i in range(1, factor):
        sums += blocks[:, :, i]
    means: NDArray[np.uint8] = np.rint(sums / np.float32(factor**2)).astype(np.uint8)
    return means


def word_numbers(instruction: str, words: int) -> NDArray[np.int64]:
    """Return the instruction's words as rows of the word table, int64 (16,); 0 is no word.

    Words are hashed, so any instruction can be read; words outside the training data have no meaning.
    """
    tokens = re.findall(r"[a-z0-9]+", instruction.lower())[:MAX_WORDS]
    numbers = np.zeros(MAX_WORDS, dtype=np.int64)
    numbers[: len(tokens)] = [1 + zlib.crc32(token.encode()) % (words - 1) for token in tokens]
    return numbers


def inputs_of(
    observations: Sequence[Observation],
    instructions: Sequence[str],
    config: FlowConfig,
    histories: Sequence[Sequence[Observation]] = (),
) -> Inputs:
    """Return the inputs of a batch, on the CPU.

    Args:
        observations: the present observations.
        instructions: their instructions.
        config: sizes of the network.
        histories: the observations just before each of them, oldest first; where they are fewer than the
            network sees, the oldest one counts several times. Without any, the present ones do.

    Raises:
        PolicySpecError: a camera of the training data is missing, or the state has another size.
    """
    befores = histories or [()] * len(observations)
    pictures = np.stack(
        [
            stacked([_pictures(each, config) for each in [*before, present]], config.n_obs_steps)
            for before, present in zip(befores, observations, strict=True)
        ]
    )
    states = np.stack(
        [np.asarray(observation["agent_pos"], np.float32) for observation in observations]
    )
    if states.shape[1:] != (config.state_size,):
        raise PolicySpecError(
            f"the policy was trained on an agent_pos of size {config.state_size}, "
            f"the environment's has {states.shape[1:]}"
        )
    words = np.stack([word_numbers(instruction, config.words) for instruction in instructions])
    return Inputs(torch.from_numpy(pictures), torch.from_numpy(words), torch.from_numpy(states))


def stacked(steps: Sequence[NDArray[np.uint8]], count: int) -> NDArray[np.uint8]:
    """Return the pictures (cameras, 3, size, size) of the last ``count`` steps as further channels.

    Of fewer steps, the oldest one counts several times: before an episode nothing moved.
    """
    last = list(steps[-count:])
    return np.concatenate([last[0]] * (count - len(last)) + last, axis=1)


def _pictures(observation: Observation, config: FlowConfig) -> NDArray[np.uint8]:
    seen: dict[str, Any] = observation["pixels"]
    missing = [name for name in config.cameras if name not in seen]
    if missing:
        raise PolicySpecError(
            f"the policy was trained with the cameras {', '.join(config.cameras)}; "
            f"the environment has {', '.join(seen)}"
        )
    frames = [shrink(seen[name], config.image_size) for name in config.cameras]
    return np.ascontiguousarray(np.stack(frames).transpose(0, 3, 1, 2))
