"""Adds the second time of SnapFlow, MeanFlow and shortcut models to an action expert that takes only t.

The expert embeds t as e = τ(t). A branch makes it e = τ(t) + φ(extra), before the expert's own time
MLP (SmolVLA, pi0: beside each action token; pi0.5: the condition of every norm). φ's last layer starts
at zero, so a new branch does not change a bit of the policy's output.

A student is an ordinary LeRobot checkpoint with two additions: its weights include the branch, and a
small file beside them, :data:`SIDECAR`, names the method and its hyperparameters.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from vla_eval.errors import PolicySpecError, UsageError
from vla_eval.trainedon import Scenes, is_short
from vla_eval_policies.lerobot_policy.checkpoint import SIDECAR
from vla_eval_policies.lerobot_policy.safety import read_plain_json
from vla_eval_policies.methods import LOW_FREQUENCIES, ExtraTime, Method, TimeEmbedding, make_method

__all__ = ["Branch", "Student", "attach", "read_student", "write_student"]

_FORMAT = 1


class Branch(nn.Module):
    """φ: the term of the second time in the embedding of t."""

    def __init__(self, width: int, extra_time: ExtraTime, periods: tuple[float, float]) -> None:
        super().__init__()
        self.extra_time = extra_time
        second = TimeEmbedding(width, extra_time, periods=periods).second
        if second is None:
            raise ValueError("there is no branch without a second time")
        self.second = second
        self._extra: Tensor | None = None

    @contextmanager
    def given(self, extra: Tensor | None) -> Iterator[None]:
        """Use this second time, (B,) or (B, H), for evaluations inside the ``with`` block."""
        self._extra = extra
        try:
            yield
        finally:
            self._extra = None

    def forward(self) -> Tensor:
        """Return φ, (B, width) or (B, H, width); raises ValueError if no second time was given."""
        if self._extra is None:
            raise ValueError(
                f"this policy takes a second time ({self.extra_time}); sample it by its method, "
                "LeRobot's own select_action gives none"
            )
        extra = self._extra
        if self.extra_time is ExtraTime.STEP:
            extra = torch.round(-torch.log2(extra)).long()
        shift: Tensor = self.second(extra)
        return shift


def attach(
    policy: Any, extra_time: ExtraTime, periods: tuple[float, float] = LOW_FREQUENCIES
) -> Branch:
    """Add a second time to LeRobot's SmolVLA, pi0 or pi0.5; before training it has no effect.

    The branch becomes ``policy.model.extra_time``, part of the policy's weights.

    Args:
        policy: the policy; changed in place.
        extra_time: kind of second time.
        periods: shortest and longest period of its sinusoids.
    """
    model = policy.model
    width = model.action_in_proj.out_features
    branch = Branch(width, extra_time, periods).to(model.action_in_proj.weight.device)
    model.extra_time = branch
    mlp = model.time_mlp_in if policy.config.type == "pi05" else model.action_time_mlp_in
    mlp.register_forward_pre_hook(lambda _, inputs: (_shifted(inputs[0], branch()),))
    return branch


def _shifted(features: Tensor, shift: Tensor) -> Tensor:
    """Add φ, (B, width) or (B, H, width), to the last ``width`` columns, which hold τ(t).

    Features are (B, width) or (B, H, 2 width); with a time for each token also (B, H, width).
    """
    shift = shift.to(features.dtype)
    width = shift.shape[-1]
    shift = shift[:, None, :] if shift.dim() < features.dim() else shift
    if features.shape[-1] == width:
        return features + shift
    time = features[..., -width:] + shift
    return torch.cat([features[..., :-width], time], dim=-1)


@dataclass(frozen=True)
class Student:
    """Content of the file beside a student's weights."""

    method: Method
    periods: tuple[float, float] = LOW_FREQUENCIES
    training: Mapping[str, Any] = field(default_factory=dict)
    """Origin of the student, for human readers; code reads only ``trained_on``."""
    max_delay: int = 0
    """Largest number of a chunk's first actions that it was trained to know."""

    def __post_init__(self) -> None:
        """Refuse a ``trained_on`` that cannot be compared with scenes, or a wrong number; raises ValueError."""
        if self.max_delay < 0:
            raise ValueError("max_delay must not be negative")
        if self.trained_on is not None and not is_short(self.trained_on):
            raise ValueError("training.trained_on must be shortened scene hashes, sorted")

    @property
    def trained_on(self) -> Scenes:
        """Scenes in which its demonstrations and its base's began; None: not known."""
        scenes = self.training.get("trained_on")
        return None if scenes is None else tuple(scenes)


def write_student(folder: Path, student: Student) -> None:
    """Write the file with a student's method; ``save_pretrained`` writes the rest."""
    content = {
        "format": _FORMAT,
        "method": student.method.name,
        "hyperparameters": student.method.model_dump(mode="json"),
        "periods": list(student.periods),
        **({"max_delay": student.max_delay} if student.max_delay else {}),
        **({"training": dict(student.training)} if student.training else {}),
    }
    (folder / SIDECAR).write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def read_student(folder: Path) -> Student | None:
    """Return the student file of a checkpoint, or None if there is none.

    Raises:
        PolicySpecError: the file cannot be used.
    """
    path = folder / SIDECAR
    if not path.exists():
        return None
    try:
        content = read_plain_json(path)
        if content["format"] != _FORMAT:
            raise PolicySpecError(
                f"{path}: another format than {_FORMAT}; written by a later version?"
            )
        shortest, longest = content["periods"]
        method = make_method(str(content["method"]), content["hyperparameters"])
        return Student(
            method,
            (float(shortest), float(longest)),
            dict(content.get("training", {})),
            int(content.get("max_delay", 0)),
        )
    except UsageError as error:
        raise PolicySpecError(f"{path}: {error}") from None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise PolicySpecError(f"{path} cannot be read: {type(error).__name__}: {error}") from None
