"""The action expert of one of LeRobot's flow VLAs as a trainable network; the rest is frozen.

The encoder of the observation (vision, language, and SmolVLA's projection of the state) stays as it is.
So each observation is encoded only once per training step, without gradient, and all evaluations of the
expert in this step reuse the result. Shapes, and the direction of time, are those of
:mod:`vla_eval_policies.methods.field`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.utils.checkpoint import checkpoint

from vla_eval_policies.lerobot_policy.flow import Expert, LeRobotField, Prefix, encode
from vla_eval_policies.lerobot_policy.loading import Loaded
from vla_eval_policies.methods import ExtraTime, Field
from vla_eval_policies.methods.network import VelocityNetwork

__all__ = ["ExpertNetwork", "Precision"]

_ENCODER_NAMES: Final[Mapping[str, tuple[str, ...]]] = {
    "smolvla": ("model.vlm_with_expert.vlm.", "model.state_proj."),
    "pi0": ("model.paligemma_with_expert.paligemma.",),
    "pi05": ("model.paligemma_with_expert.paligemma.",),
}
"""Beginnings of the encoder's parameter names, for each type of policy."""


@dataclass(frozen=True)
class Precision:
    """How the model is evaluated during training: types of numbers, and what is kept in memory."""

    encoder: torch.dtype = torch.float32
    """Autocast type in the observation's encoder; float32 switches autocast off."""
    expert: torch.dtype = torch.float32
    """Autocast type in the action expert; float32 switches autocast off."""
    gradient_checkpointing: bool = False
    """Whether to compute each evaluation of the expert twice instead of keeping its activations."""


class ExpertNetwork(VelocityNetwork):
    """A policy's trainable part: every floating-point weight outside the encoder.

    The branch for a second time is part of ``policy.model``, so its weights are among them.
    ``copy.deepcopy`` (for the moving average) copies these weights only; the policy is shared.

    Args:
        loaded: the policy, of a type in :data:`_ENCODER_NAMES`. If the method needs a second time (see
            :class:`ExtraTime`), its branch is already attached.
        precision: how the evaluations are made.
        weights: weights to use instead of the policy's own, in the order of :attr:`names`; None trains
            the policy's own, and turns the gradients of its other parameters off.
    """

    def __init__(
        self, loaded: Loaded, precision: Precision, weights: Sequence[Tensor] | None = None
    ) -> None:
        super().__init__()
        policy = loaded.policy
        self.extra_time = ExtraTime.NONE if loaded.branch is None else loaded.branch.extra_time
        frozen = _ENCODER_NAMES[policy.config.type]
        trained = {
            name: parameter
            for name, parameter in policy.named_parameters()
            if not name.startswith(frozen) and parameter.is_floating_point()
        }
        self.names = tuple(trained)
        """LeRobot's names of the trained weights."""
        own = list(trained.values())
        if weights is None:
            for name, parameter in policy.named_parameters():
                parameter.requires_grad_(name in trained)
        self.weights = nn.ParameterList(own if weights is None else weights)
        self._shared = (loaded, precision)  # a tuple hides the modules from torch
        self._trains_policy_weights = weights is None

    def bind(self, observation: Any) -> Field:
        """Encode what the policy's preprocessor returned; the field can be evaluated many times."""
        loaded, precision = self._shared
        policy = loaded.policy
        with torch.no_grad(), _autocast(precision.encoder, policy):
            prefix = encode(policy, observation)
        if precision.expert is torch.float32:
            prefix = _as_float32(prefix)
        model = (
            policy.model
            if self._trains_policy_weights
            else _ModelWithWeights(policy, self.tensors())
        )
        expert = Expert(model, loaded.branch, token_times=loaded.token_times)
        return _LearningField(LeRobotField(expert, prefix), policy, precision)

    def tensors(self) -> dict[str, Tensor]:
        """Return the trained weights under LeRobot's names."""
        return dict(zip(self.names, self.weights, strict=True))

    def __deepcopy__(self, memo: Any) -> ExpertNetwork:
        del memo
        loaded, precision = self._shared
        copies = [nn.Parameter(weight.detach().clone()) for weight in self.weights]
        return ExpertNetwork(loaded, precision, copies)


@dataclass(frozen=True)
class _LearningField:
    """The expert, evaluated at the precision of training."""

    field: LeRobotField
    policy: Any
    precision: Precision

    @property
    def extra_time(self) -> ExtraTime:
        return self.field.extra_time

    def __call__(self, x: Tensor, t: Tensor, extra: Tensor | None = None) -> Tensor:
        with _autocast(self.precision.expert, self.policy):
            if self.precision.gradient_checkpointing and torch.is_grad_enabled():
                velocity: Tensor = checkpoint(self.field, x, t, extra, use_reentrant=False)
            else:
                velocity = self.field(x, t, extra)
        return velocity.float()

    def repeat(self, copies: int) -> Field:
        return _LearningField(self.field.repeat(copies), self.policy, self.precision)


class _ModelWithWeights:
    """A policy's model, evaluated with other weights than its own."""

    def __init__(self, policy: Any, weights: Mapping[str, Tensor]) -> None:
        self._step = _Step(policy)
        self._weights = {f"policy.{name}": weight for name, weight in weights.items()}

    def denoise_step(self, **arguments: Any) -> Tensor:
        velocity: Tensor = functional_call(self._step, self._weights, kwargs=arguments)
        return velocity


class _Step(nn.Module):
    def __init__(self, policy: nn.Module) -> None:
        super().__init__()
        self.policy = policy

    def forward(self, **arguments: Any) -> Tensor:
        model: Any = self.policy.model
        velocity: Tensor = model.denoise_step(**arguments)
        return velocity


def _autocast(dtype: torch.dtype, policy: Any) -> torch.autocast:
    device = torch.device(policy.config.device).type
    return torch.autocast(device, dtype=dtype, enabled=dtype is not torch.float32)


def _as_float32(prefix: Prefix) -> Prefix:
    pairs = tuple((keys.float(), values.float()) for keys, values in prefix.keys_values)
    return Prefix(pairs, prefix.present, prefix.state)
