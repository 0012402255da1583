"""Wall time that waits for the accelerator."""

from __future__ import annotations

from time import perf_counter

import torch

__all__ = ["now"]


def now(device: torch.device) -> float:
    """Return the time in seconds at which the device has done all that it was told."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()
    return perf_counter()
