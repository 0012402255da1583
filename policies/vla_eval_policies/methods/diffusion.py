"""Denoising diffusion: DDPM and DDIM.

Ho et al., arXiv 2006.11239; Song et al., arXiv 2010.02502; as a policy Chi et al. (RSS 2023). The
network predicts the noise. With ᾱ_k of the squared-cosine schedule, k = 0 … T − 1, t = (k + 1)/T::

    x_k = √ᾱ_k·a + √(1 − ᾱ_k)·ε,      loss ‖ ε_θ(x_k, t) − ε ‖²
    â   = clip((x − √(1 − ᾱ_k)·ε_θ)/√ᾱ_k),      ε̂ = (x − √ᾱ_k·â)/√(1 − ᾱ_k)
    x'  = √ᾱ'·â + √(1 − ᾱ' − σ²)·ε̂ + σ·z,      σ² = η²·(1 − ᾱ')/(1 − ᾱ)·(1 − ᾱ/ᾱ')

η = 0 is DDIM, η = 1 DDPM (with the posterior's variance where all T steps are taken).

One step divides by √ᾱ_{T−1}: for T = 100, an error of ε_θ is amplified 2029 times and is then clipped.
So truncation to one step does not give the conditional mean, as it does in flow matching.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import ClassVar

import torch
from pydantic import Field as Option
from torch import Tensor

from vla_eval.errors import UsageError
from vla_eval_policies.methods.field import Batch, Convention, Draw, Field, squared_error
from vla_eval_policies.methods.method import Loss, Method, Preset, at

__all__ = ["DDIM", "DDPM", "alpha_bars"]


class DDPM(Method):
    """``ddpm``."""

    name: ClassVar[str] = "ddpm"
    summary: ClassVar[str] = "diffusion with fresh noise in every step"
    convention: ClassVar[Convention] = Convention(noise_at=1.0, output="noise")
    default_nfe: ClassVar[int] = 100
    eta: ClassVar[float] = 1.0
    presets: ClassVar[Mapping[str, Preset]] = {
        "diffusion-policy": Preset(
            {"timesteps": 100, "clip": 1.0},
            "Chi et al., RSS 2023, in LeRobot's configuration",
            open="Needs actions scaled to [−1, 1].",
        ),
    }

    timesteps: int = Option(default=100, ge=2, le=100_000)
    """T, the number of noise levels and the largest number of steps of a sample."""
    clip: float = Option(default=5.0, gt=0.0)
    """Bound of the denoised action's entries; the published 1 is for actions scaled to [−1, 1]."""

    def loss(self, field: Field, batch: Batch, generator: torch.Generator) -> Loss:
        """‖ ε_θ(x_k, t) − ε ‖² at a random k."""
        noise = batch.noise(generator)
        count = batch.actions.shape[0]
        k = torch.randint(self.timesteps, (count,), generator=generator, device=generator.device)
        bar = alpha_bars(self.timesteps)[k.cpu()].to(batch.actions)[:, None, None]
        x = bar.sqrt() * batch.actions + (1 - bar).sqrt() * noise
        prediction = field(x, (k + 1).to(batch.actions) / self.timesteps)
        return Loss(squared_error(prediction, noise, batch.real).mean())

    def sample(self, field: Field, draw: Draw, nfe: int) -> Tensor:
        """Denoise in ``nfe`` of the T steps, evenly spaced, from the noisiest on."""
        self.check_nfe(nfe)
        bars = alpha_bars(self.timesteps).tolist()
        chosen = [self.timesteps * (nfe - i) // nfe - 1 for i in range(nfe)]
        x = draw()
        for k, following in zip(chosen, [*chosen[1:], None], strict=True):
            noise = field(x, at((k + 1) / self.timesteps, x))
            x = self._step(x, noise, bars[k], 1.0 if following is None else bars[following], draw)
        return x

    def _step(self, x: Tensor, noise: Tensor, bar: float, following: float, draw: Draw) -> Tensor:
        """Return x' from x, the predicted noise, ᾱ and ᾱ'."""
        action = (x - math.sqrt(1 - bar) * noise) / math.sqrt(bar)
        action = action.clamp(-self.clip, self.clip)
        noise = (x - math.sqrt(bar) * action) / math.sqrt(1 - bar)
        variance = self.eta**2 * (1 - following) / (1 - bar) * (1 - bar / following)
        x = math.sqrt(following) * action + math.sqrt(1 - following - variance) * noise
        return x + math.sqrt(variance) * draw() if variance > 0 else x

    def check_nfe(self, nfe: int) -> None:
        """Raise UsageError for more than T evaluations."""
        super().check_nfe(nfe)
        if nfe > self.timesteps:
            raise UsageError(
                f"method '{self.name}' has {self.timesteps} steps, fewer than nfe={nfe}"
            )


class DDIM(DDPM):
    """``ddim``."""

    name: ClassVar[str] = "ddim"
    summary: ClassVar[str] = "diffusion without noise in its steps"
    default_nfe: ClassVar[int] = 10
    eta: ClassVar[float] = 0.0


def alpha_bars(timesteps: int) -> Tensor:
    """Return ᾱ_0 … ᾱ_{T−1}, float64 (T,): the squared-cosine schedule, each β capped at 0.999."""
    edges = torch.linspace(0, 1, timesteps + 1, dtype=torch.float64)
    signal = torch.cos((edges + 0.008) / 1.008 * math.pi / 2) ** 2
    betas = (1 - signal[1:] / signal[:-1]).clamp(max=0.999)
    return torch.cumprod(1 - betas, 0)
