"""Wall time that waits for the accelerator."""

from __future__ import annotations

from time import perf_counter

import torch

__all__ = ["now"]


def now(device: torch.device) -> float:
    """Wait until the device has finished its work, then return the time in seconds."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()
    return perf_counter()
