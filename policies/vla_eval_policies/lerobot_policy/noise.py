"""Starting noise that belongs to an episode's chunk and does not depend on the batch."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from vla_eval.policy import Context

__all__ = ["Noise"]


class Noise:
    """A ``methods.Draw``: standard normal noise (B copies, H, D), float32, from each context's generator.

    The noise is drawn on the CPU and then moved, so it is the same on every device. The first copy does
    not depend on the number of copies.
    """

    def __init__(
        self,
        contexts: Sequence[Context],
        shape: tuple[int, int],
        *,
        copies: int = 1,
        device: torch.device,
    ) -> None:
        self._generators = [context.generator() for context in contexts]
        self._shape = (copies, *shape)
        self._device = device

    def __call__(self) -> Tensor:
        """Draw new noise."""
        noise = [rng.standard_normal(self._shape, np.float32) for rng in self._generators]
        return torch.from_numpy(np.concatenate(noise)).to(self._device)
