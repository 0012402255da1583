"""The action expert of a flow VLA of LeRobot's as a network that methods train; all else is frozen.

What encodes an observation (vision, language, and SmolVLA's projection of the state) stays as it is, so
an observation is encoded once for all evaluations of a step, without gradient.
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

_FROZEN: Final[Mapping[str, tuple[str, ...]]] = {
    "smolvla": ("model.vlm_with_expert.vlm.", "model.state_proj."),
    "pi0": ("model.paligemma_with_expert.paligemma.",),
    "pi05": ("model.paligemma_with_expert.paligemma.",),
}
"""Of each kind, what encodes the observation."""


@dataclass(frozen=True)
class Precision:
    """How the model is evaluated while it learns."""

    encoder: torch.dtype = torch.float32
    """Of the products that encode an observation."""
    expert: torch.dtype = torch.float32
    """Of those of the action expert."""
    checkpointing: bool = False
    """Compute each evaluation of the expert twice instead of keeping its activations."""


class ExpertNetwork(VelocityNetwork):
    """The trained weights of a policy of LeRobot's; ``bind`` takes a preprocessed batch.

    A copy has weights of its own and shares the policy, and so everything that is frozen.

    Args:
        loaded: the policy, with the second time attached that the method needs.
        precision: how it is evaluated.
        weights: other weights than the policy's own, in the order of :attr:`names`.
    """

    def __init__(
        self, loaded: Loaded, precision: Precision, weights: Sequence[Tensor] | None = None
    ) -> None:
        super().__init__()
        policy = loaded.policy
        self.extra_time = ExtraTime.NONE if loaded.branch is None else loaded.branch.extra_time
        frozen = _FROZEN[policy.config.type]
        trained = {
            name: each
            for name, each in policy.named_parameters()
            if not name.startswith(frozen) and each.is_floating_point()
        }
        self.names = tuple(trained)
        """Of the trained weights, as LeRobot calls them."""
        own = list(trained.values())
        if weights is None:
            for name, each in policy.named_parameters():
                each.requires_grad_(name in trained)
        self.weights = nn.ParameterList(own if weights is None else weights)
        self._shared = (loaded, precision)  # in a tuple, where torch does not look for modules
        self._own = weights is None

    def bind(self, observation: Any) -> Field:
        """Encode a preprocessed batch, without gradient; the field can be asked any number of times."""
        loaded, precision = self._shared
        policy = loaded.policy
        with torch.no_grad(), _rounded(precision.encoder, policy):
            prefix = encode(policy, observation)
        if precision.expert is torch.float32:
            prefix = _exact(prefix)
        model = policy.model if self._own else _OtherWeights(policy, self.tensors())
        return _LearningField(LeRobotField(Expert(model, loaded.branch), prefix), policy, precision)

    def tensors(self) -> dict[str, Tensor]:
        """Return the trained weights by LeRobot's names."""
        return dict(zip(self.names, self.weights, strict=True))

    def __deepcopy__(self, memo: Any) -> ExpertNetwork:
        del memo
        loaded, precision = self._shared
        copies = [nn.Parameter(each.detach().clone()) for each in self.weights]
        return ExpertNetwork(loaded, precision, copies)


@dataclass(frozen=True)
class _LearningField:
    """The expert at the precision it learns in."""

    field: LeRobotField
    policy: Any
    precision: Precision

    @property
    def extra_time(self) -> ExtraTime:
        return self.field.extra_time

    def __call__(self, x: Tensor, t: Tensor, extra: Tensor | None = None) -> Tensor:
        with _rounded(self.precision.expert, self.policy):
            if self.precision.checkpointing and torch.is_grad_enabled():
                velocity: Tensor = checkpoint(self.field, x, t, extra, use_reentrant=False)
            else:
                velocity = self.field(x, t, extra)
        return velocity.float()

    def repeat(self, copies: int) -> Field:
        return _LearningField(self.field.repeat(copies), self.policy, self.precision)


class _OtherWeights:
    """A policy's model whose steps are taken with other weights than its own."""

    def __init__(self, policy: Any, weights: Mapping[str, Tensor]) -> None:
        self._step = _Step(policy)
        self._weights = {f"policy.{name}": each for name, each in weights.items()}

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


def _rounded(dtype: torch.dtype, policy: Any) -> torch.autocast:
    device = torch.device(policy.config.device).type
    return torch.autocast(device, dtype=dtype, enabled=dtype is not torch.float32)


def _exact(prefix: Prefix) -> Prefix:
    pairs = tuple((keys.float(), values.float()) for keys, values in prefix.keys_values)
    return Prefix(pairs, prefix.present, prefix.state)
