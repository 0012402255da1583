"""Our observations as batches for LeRobot's processors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from vla_eval.environment import Observation
from vla_eval.policy import Context
from vla_eval_policies.lerobot_policy.embodiment import STATE, Binding

__all__ = ["ACTION", "Batch", "add_queued", "raw_batch", "same_batch"]

ACTION = "action"

Batch = Mapping[str, Any]
"""Input of LeRobot's processors and policies: tensors by feature, and ``task``."""


def raw_batch(
    binding: Binding, observations: Sequence[Observation], contexts: Sequence[Context]
) -> dict[str, Any]:
    """Return the input of the checkpoint's preprocessor, in the form that ``lerobot-eval`` makes.

    Pictures float32 (B, 3, H, W) from 0 to 1, ``observation.state`` float32 (B, D), ``task`` B strings.
    """
    import torch

    batch: dict[str, Any] = {}
    for feature, camera in binding.images.items():
        stacked = np.stack([observation["pixels"][camera] for observation in observations])
        pictures = torch.from_numpy(stacked)
        batch[feature] = pictures.permute(0, 3, 1, 2).contiguous().float() / 255
    if binding.state:
        states = np.stack([observation["agent_pos"] for observation in observations])
        batch[STATE] = torch.from_numpy(states.astype(np.float32))
    batch["task"] = [context.instruction for context in contexts]
    return batch


def add_queued(batch: dict[str, Any], contexts: Sequence[Context], shape: tuple[int, int]) -> None:
    """Add the queued actions as ``action``, float32 (B, H, A), where any context has some.

    The checkpoint's preprocessor normalises them as it does demonstrated chunks. Beyond the queued actions
    the last one is repeated.
    """
    import torch

    rows = np.zeros((len(contexts), *shape), np.float32)
    for row, context in zip(rows, contexts, strict=True):
        queued = context.left_over
        if queued is not None and len(queued):
            row[:] = queued[np.minimum(np.arange(len(row)), len(queued) - 1)]
            batch[ACTION] = torch.from_numpy(rows)


def same_batch(observation: Observation, context: Context) -> object:
    """Return a key that is equal for all observations that can share a batch."""
    pictures = observation.get("pixels", {})
    return (
        context.suite,
        tuple((name, np.shape(picture)) for name, picture in pictures.items()),
        np.shape(observation.get("agent_pos", ())),
        context.action_low.size,
    )
