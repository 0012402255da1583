"""Observations of ours as LeRobot's processors take them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from vla_eval.environment import Observation
from vla_eval.policy import Context
from vla_eval_policies.lerobot_policy.embodiment import STATE, Binding

__all__ = ["Batch", "raw_batch", "same_batch"]

Batch = Mapping[str, Any]
"""What LeRobot's processors and policies take: tensors by feature, and ``task``."""


def raw_batch(
    binding: Binding, observations: Sequence[Observation], contexts: Sequence[Context]
) -> dict[str, Any]:
    """Return what goes into the checkpoint's preprocessor, as ``lerobot-eval`` would make it.

    Pictures float32 (B, 3, H, W) from 0 to 1, ``observation.state`` float32 (B, D), ``task`` B strings.
    """
    import torch

    batch: dict[str, Any] = {}
    for feature, camera in binding.images.items():
        pictures = torch.from_numpy(np.stack([each["pixels"][camera] for each in observations]))
        batch[feature] = pictures.permute(0, 3, 1, 2).contiguous().float() / 255
    if binding.state:
        states = np.stack([each["agent_pos"] for each in observations]).astype(np.float32)
        batch[STATE] = torch.from_numpy(states)
    batch["task"] = [context.instruction for context in contexts]
    return batch


def same_batch(observation: Observation, context: Context) -> object:
    """Return what has to agree for observations to share a batch."""
    pictures = observation.get("pixels", {})
    return (
        context.suite,
        tuple((name, np.shape(picture)) for name, picture in pictures.items()),
        np.shape(observation.get("agent_pos", ())),
        context.action_low.size,
    )
