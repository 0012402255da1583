"""Time embeddings: a sinusoid of the network's time, plus a term of the extra time.

    e = τ(t) + φ(extra)

τ is a bank of sinusoids with periods from 0.5 to 4: low frequencies, because MeanFlow differentiates
through it. SmolVLA's periods, 0.004 to 4, are for comparison (their slope reaches 2π/0.004 = 1571).
"""

from __future__ import annotations

import math
from typing import Final

import torch
from torch import Tensor, nn

from vla_eval_policies.methods.field import FINEST_STEP, ExtraTime

__all__ = ["LOW_FREQUENCIES", "SMOLVLA_PERIODS", "TimeEmbedding"]

LOW_FREQUENCIES: Final = (0.5, 4.0)
SMOLVLA_PERIODS: Final = (0.004, 4.0)
_SIZES: Final = round(math.log2(1 / FINEST_STEP)) + 1


class Sinusoid(nn.Module):
    """Turns times (…) into sines and cosines (…, width) with geometrically spaced periods."""

    angular: Tensor

    def __init__(self, width: int, periods: tuple[float, float]) -> None:
        super().__init__()
        shortest, longest = periods
        fraction = torch.linspace(0, 1, width // 2, dtype=torch.float64)
        period = shortest * (longest / shortest) ** fraction
        self.register_buffer("angular", (2 * math.pi / period).float(), persistent=False)

    def forward(self, t: Tensor) -> Tensor:
        """Embed times (…)."""
        angle = t[..., None] * self.angular.to(t.dtype)
        return torch.cat([angle.sin(), angle.cos()], -1)


class TimeEmbedding(nn.Module):
    """Embeds (t, extra), each (B,), as (B, width); or each (B, H), one for each token, as (B, H, width).

    At initialisation the extra time has no effect. So a network with flow-matching weights begins as
    exactly that policy:

    ========  =================================================================================
    none      no second term
    target    SnapFlow's φ_s: a two-layer MLP of a sinusoid, its last layer zero
    interval  MeanFlow's ψ: the same, of low frequencies
    step      the shortcut's table of step sizes, initially zero; the row of the smallest stays zero
    ========  =================================================================================
    """

    def __init__(
        self, width: int, extra_time: ExtraTime, *, periods: tuple[float, float] = LOW_FREQUENCIES
    ) -> None:
        super().__init__()
        self.extra_time = extra_time
        self.time = Sinusoid(width, periods)
        self.second: nn.Module | None = None
        if extra_time is ExtraTime.STEP:
            self.second = nn.Embedding(_SIZES, width, padding_idx=_SIZES - 1)
            nn.init.zeros_(self.second.weight)
        elif extra_time is not ExtraTime.NONE:
            last = nn.Linear(width, width)
            nn.init.zeros_(last.weight)
            nn.init.zeros_(last.bias)
            self.second = nn.Sequential(
                Sinusoid(width, periods), nn.Linear(width, width), nn.SiLU(), last
            )

    def forward(self, t: Tensor, extra: Tensor | None) -> Tensor:
        """Embed; raises ValueError if an extra time is missing or not expected."""
        embedded: Tensor = self.time(t)
        if (self.second is None) != (extra is None):
            raise ValueError(
                f"the network's extra time is '{self.extra_time}', but the method "
                f"{'gave none' if extra is None else 'gave one'}"
            )
        if self.second is None or extra is None:
            return embedded
        if self.extra_time is ExtraTime.STEP:
            extra = torch.round(-torch.log2(extra)).long()
        shift: Tensor = self.second(extra)
        return embedded + shift
