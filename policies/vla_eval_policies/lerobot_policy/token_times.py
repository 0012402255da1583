"""One time for each action token, where LeRobot's action experts take one for each chunk.

Chunks whose first actions are known (:mod:`vla_eval_policies.methods.committed`) need it: known actions are
at time 0, the others at t. SmolVLA and pi0 put τ(t) beside each action token, so it is replaced there. pi0.5
conditions every norm of its expert on it; these norms take one condition for each row, so their tokens
become rows.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

__all__ = ["TokenTimes"]


class TokenTimes:
    """Replaces the embedded time of a SmolVLA, pi0 or pi0.5 inside a ``with`` block.

    Args:
        policy: the policy; it gets hooks, which do nothing outside of such a block.
    """

    def __init__(self, policy: Any) -> None:
        model, config = policy.model, policy.config
        self._times: Tensor | None = None
        self._width = model.action_in_proj.out_features
        self._periods = (float(config.min_period), float(config.max_period))
        self._tokens = int(config.chunk_size)
        conditioned = config.type == "pi05"
        mlp = model.time_mlp_in if conditioned else model.action_time_mlp_in
        # Before a branch for a second time, which adds to what is here.
        mlp.register_forward_pre_hook(self._embed, prepend=True)
        for norm in model.paligemma_with_expert.gemma_expert.modules() if conditioned else ():
            if getattr(norm, "cond_dim", None) is not None:
                norm.register_forward_pre_hook(_as_rows, with_kwargs=True)
                norm.register_forward_hook(self._as_tokens)

    @contextmanager
    def given(self, times: Tensor) -> Iterator[None]:
        """Use these times (B, H) for evaluations inside the ``with`` block."""
        self._times = times
        try:
            yield
        finally:
            self._times = None

    def _embed(self, _: Any, inputs: tuple[Tensor]) -> tuple[Tensor] | None:
        """Replace τ, (B, width) or the last columns of (B, H, 2 width), by one for each token."""
        if self._times is None:
            return None
        from lerobot.policies.common.vla_utils import create_sinusoidal_pos_embedding

        times, (features,) = self._times, inputs
        tau: Tensor = create_sinusoidal_pos_embedding(
            times.flatten(), self._width, *self._periods, device=times.device
        )
        tau = tau.reshape(*times.shape, self._width).to(features.dtype)
        if features.dim() == 2:
            return (tau,)
        return (torch.cat([features[..., : -self._width], tau], dim=-1),)

    def _as_tokens(self, _: Any, inputs: Any, output: tuple[Tensor, Tensor | None]) -> Any:
        """Undo `_as_rows` on a norm's output and gate."""
        del inputs
        normed, gate = output
        if normed.dim() == 3 or gate is None:
            return output
        shape = (-1, self._tokens, normed.shape[-1])
        return normed.reshape(shape), gate.reshape(shape)


def _as_rows(
    _: Any, inputs: tuple[Tensor, ...], named: Mapping[str, Any]
) -> tuple[tuple[Tensor, ...], dict[str, Any]] | None:
    """Turn tokens (B, H, C) with a condition each into B·H rows."""
    x, condition = inputs[0], inputs[1] if len(inputs) > 1 else named.get("cond")
    if condition is None or condition.dim() == 2:
        return None
    return (x.flatten(0, 1),), {"cond": condition.flatten(0, 1)}
