"""Real-time chunking: denoise the next chunk so that it continues the one being executed.

Black et al., arXiv 2506.07339 (published with time reversed). Each denoising step pulls the denoised
estimate x̂ = x − t·v towards the previous chunk y, with weights W: 1 for steps that will have been
executed when the inference ends, falling to 0 for those that y does not reach::

    v ← v − w·Jᵀ[W·(y − x̂)],   J = ∂x̂/∂x
    w = min(β, t/(1 − t) · ((1 − t)² + t²)/t²)

It is guidance of several denoising steps, so with one step it is not defined here: at pure noise the
denoised estimate of an exact field does not depend on x, J = 0, and the guidance does nothing.
"""

from __future__ import annotations

from typing import Literal

import torch
from pydantic import BaseModel, ConfigDict
from pydantic import Field as Option
from torch import Tensor
from torch.func import vjp

from vla_eval.errors import UsageError
from vla_eval_policies.methods.field import Draw, Field, local_velocity
from vla_eval_policies.methods.solvers import solve

__all__ = ["RealTimeChunking"]


class RealTimeChunking(BaseModel):
    """The guided sampler; for methods that walk a local velocity."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    beta: float = Option(default=5.0, ge=0.0)
    """β, the largest weight of the guidance; 5 in the paper, 10 in LeRobot."""
    decay: Literal["exponential", "linear"] = "exponential"
    """How the weights fall between the frozen steps and the end of the overlap."""

    def weights(self, chunk_size: int, *, delay: int, overlap: int) -> Tensor:
        """Return W (H,).

        Args:
            chunk_size: H.
            delay: steps of the new chunk that will be over when it arrives; frozen.
            overlap: steps for which the previous chunk says something.

        Raises:
            UsageError: not 0 ≤ delay ≤ overlap ≤ chunk_size.
        """
        if not 0 <= delay <= overlap <= chunk_size:
            raise UsageError(
                f"real-time chunking needs 0 ≤ delay ≤ overlap ≤ chunk size, "
                f"not {delay}, {overlap}, {chunk_size}"
            )
        step = torch.arange(chunk_size, dtype=torch.float32)
        line = ((overlap - step) / (overlap - delay + 1)).clamp(0, 1)
        if self.decay == "exponential":
            line = line * torch.expm1(line) / torch.expm1(torch.ones(()))
        return torch.where(step < delay, torch.ones(()), line)

    def sample(
        self, field: Field, draw: Draw, nfe: int, *, previous: Tensor, weights: Tensor
    ) -> Tensor:
        """Return chunks (B, H, D) that continue ``previous`` (B, H, D) as far as ``weights`` (H,) say.

        Raises:
            UsageError: nfe = 1.
        """
        if nfe < 2:
            raise UsageError(
                "real-time chunking guides denoising steps and needs nfe of at least 2: with one step "
                "from pure noise it would do nothing"
            )

        def guided(x: Tensor, t: Tensor) -> Tensor:
            time = t[:, None, None]

            def denoise(point: Tensor) -> tuple[Tensor, Tensor]:
                velocity = local_velocity(field, point, t)
                return point - time * velocity, velocity

            denoised, pull_back, velocity = vjp(denoise, x, has_aux=True)  # type: ignore[misc]  # with aux, three
            (pull,) = pull_back(weights.to(x)[:, None] * (previous - denoised))
            ratio = time / (1 - time) * ((1 - time) ** 2 + time**2) / time**2
            result: Tensor = velocity - ratio.clamp(max=self.beta) * pull
            return result

        return solve("euler", guided, draw(), nfe)
