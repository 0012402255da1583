"""Real-time chunking: denoise a chunk so that it continues the actions that are already queued.

Black et al., arXiv 2506.07339 (published with time reversed). y are the queued actions as part of the
new chunk; the weights W are 1 for the d actions that will be executed while the policy thinks, fall
over the other queued ones, and are 0 where nothing is queued. With x̂ = x − t·v, the denoised estimate::

    v ← v − g·Jᵀ[W·(y − x̂)],    J = ∂x̂/∂x,    g = min(β, t/(1 − t) · ((1 − t)² + t²)/t²)

It guides several denoising steps. One step from pure noise cannot be guided: there, an exact field's
estimate does not depend on x, so J = 0. (LeRobot's form takes J = I, and is another method.)

The guidance is a field around a field, so every solver can walk it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

import torch
from torch import Tensor

from vla_eval_policies.methods.field import ExtraTime, Field

__all__ = ["DEFAULT_BETA", "PASSES_PER_EVALUATION", "Decay", "Guided", "soft_mask", "strength"]

Decay = Literal["linear", "exponential"]
"""How the weights fall from the first action after the delay to the last queued one."""

DEFAULT_BETA: Final = 5.0
"""β in the paper; LeRobot takes 10."""
PASSES_PER_EVALUATION: Final = 3
"""Cost of a guided evaluation: a pass, and its product with the Jacobian, which takes two."""


def soft_mask(chunk_size: int, queued: Sequence[int], delay: Sequence[int], decay: Decay) -> Tensor:
    """Return the weights W of B chunks, float32 (B, H).

    Args:
        chunk_size: H.
        queued: numbers of queued actions n, (B,); 0: nothing is guided.
        delay: numbers of actions d that will be executed before the chunk can be used, (B,).
        decay: (n − i)/(n − d + 1) for d ≤ i < n, and for ``exponential`` also times (eʷ − 1)/(e − 1).
    """
    place = torch.arange(chunk_size, dtype=torch.float32)
    n, d = (torch.tensor(counts, dtype=torch.float32)[:, None] for counts in (queued, delay))
    weight = ((n - place) / (n - d + 1).clamp(min=1)).clamp(0, 1)
    if decay == "exponential":
        weight = weight * torch.expm1(weight) / torch.expm1(torch.ones(()))
    return torch.where(place < torch.minimum(n, d), torch.ones(()), weight)


def strength(t: Tensor, beta: float) -> Tensor:
    """Return g for times t in (0, 1]; symmetric about t = 1/2, where it has its minimum 2."""
    return (t / (1 - t) * ((1 - t) ** 2 + t**2) / t**2).clamp(max=beta)


@dataclass(frozen=True)
class Guided:
    """A field whose local velocity is guided."""

    field: Field
    target: Tensor
    """y, (B, H, D)."""
    weights: Tensor
    """W, (B, H, D)."""
    beta: float
    """β, the largest strength of the guidance."""

    @property
    def extra_time(self) -> ExtraTime:
        """The inner field's."""
        return self.field.extra_time

    def __call__(self, x: Tensor, t: Tensor, extra: Tensor | None = None) -> Tensor:
        """Return the guided velocity, (B, H, D); outside ``torch.inference_mode``."""
        time = t[:, None, None]
        with torch.enable_grad():
            point = x.detach().requires_grad_()
            velocity = self.field(point, t, extra)
            estimate = point - time * velocity
            error = self.weights * (self.target - estimate.detach())
            (pull,) = torch.autograd.grad(estimate, point, error)
        return velocity.detach() - strength(time, self.beta) * pull

    def repeat(self, copies: int) -> Guided:
        """Repeat every chunk, its target and its weights."""
        return Guided(
            self.field.repeat(copies),
            self.target.repeat_interleave(copies, 0),
            self.weights.repeat_interleave(copies, 0),
            self.beta,
        )
