"""Checks that a model has the weights of its file."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from safetensors import safe_open

from vla_eval.errors import PolicySpecError
from vla_eval_policies.lerobot_policy.checkpoint import WEIGHTS, Checkpoint

__all__ = ["check_weights", "model_name"]


def check_weights(policy: Any, checkpoint: Checkpoint, where: str) -> None:
    """Compare file and model, tensor by tensor, because LeRobot continues after most faults."""
    state: dict[str, torch.Tensor] = policy.state_dict()
    with safe_open(checkpoint.folder / WEIGHTS, framework="pt") as file:
        names = {model_name(name, state): name for name in file.keys()}  # noqa: SIM118
        unexpected = sorted(names.keys() - state.keys())
        shared = {state[name].data_ptr() for name in names.keys() & state.keys()}
        missing = [
            name
            for name, tensor in state.items()
            if name not in names and tensor.data_ptr() not in shared
        ]
        if missing:
            raise PolicySpecError(f"{where}: {WEIGHTS} lacks {_some(missing)}")
        if unexpected:
            old = ".buffer_" in unexpected[0]
            hint = "; convert it: python -m lerobot.processor.migrate_policy_normalization"
            raise PolicySpecError(
                f"{where}: {WEIGHTS} holds what this {checkpoint.type} has no place for: "
                f"{_some(unexpected)}{hint if old else ''}"
            )
        for name, stored in names.items():
            tensor = file.get_tensor(stored)
            if tensor.shape != state[name].shape:
                raise PolicySpecError(
                    f"{where}: '{name}' is {tuple(tensor.shape)} in {WEIGHTS}, but "
                    f"{tuple(state[name].shape)} in the model that config.json describes"
                )
            if not torch.equal(tensor.to(state[name].dtype), state[name].cpu()):
                raise PolicySpecError(
                    f"{where}: LeRobot did not load '{name}', or it is not a number"
                )


def model_name(name: str, state: Mapping[str, object]) -> str:
    """Return the model's name of a stored tensor; openpi's conversions lack the prefix ``model.``."""
    return f"model.{name}" if name not in state and f"model.{name}" in state else name


def _some(names: list[str]) -> str:
    more = f" and {len(names) - 2} more" if len(names) > 2 else ""
    return ", ".join(f"'{name}'" for name in names[:2]) + more
