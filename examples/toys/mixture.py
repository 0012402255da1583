"""A mixture of Gaussians as the distribution of actions: its flow is known in closed form."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

__all__ = ["Mixture"]


@dataclass(frozen=True)
class Mixture:
    """a = m_k + s·z with probability p_k."""

    means: Tensor
    """(K, H, D)."""
    std: float
    weights: Tensor | None = None
    """(K,), summing to 1; None: equal."""

    def velocity(self, x: Tensor, t: Tensor) -> Tensor:
        """Return v = (x − E[a | x_t = x])/t; not defined at t = 0."""
        return (x - self.expected_action(x, t)) / t[:, None, None]

    def expected_action(self, x: Tensor, t: Tensor) -> Tensor:
        """E[a | x_t = x] = Σ w_k(x) · (m_k + (1 − t)s²/S_t² · (x − (1 − t)m_k))."""
        time = t[:, None, None]
        variance = (1 - time) ** 2 * self.std**2 + time**2
        means = self.means.to(x.device, x.dtype)
        off = x[:, None] - (1 - time)[:, None] * means[None]  # (B, K, H, D)
        logits = -(off**2).flatten(2).sum(2) / (2 * variance[:, :, 0])
        if self.weights is not None:
            logits = logits + self.weights.to(x).log()
        share = torch.softmax(logits, 1)[:, :, None, None]
        gain = ((1 - time) * self.std**2 / variance)[:, None]
        return (share * (means[None] + gain * off)).sum(1)

    def draw(self, count: int, generator: torch.Generator) -> Tensor:
        """Draw actions (count, H, D)."""
        weights = (
            torch.full((len(self.means),), 1 / len(self.means))
            if self.weights is None
            else self.weights
        )
        chosen = torch.multinomial(weights, count, replacement=True, generator=generator)
        noise = torch.randn((count, *self.means.shape[1:]), generator=generator)
        return self.means[chosen] + self.std * noise
