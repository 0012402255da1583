"""The measuring machine: its processor, its accelerator, and the used memory."""

from __future__ import annotations

import contextlib
import platform
import resource
import sys
from pathlib import Path
from typing import Any

__all__ = ["forget_peak", "hardware", "peak_mb", "resident_mb"]


def hardware() -> dict[str, Any]:
    """Return the processor, its threads and the accelerator of this machine."""
    parts: dict[str, Any] = {"processor": _processor(), "threads": None, "accelerator": None}
    torch = sys.modules.get("torch")
    if torch is not None:
        parts["threads"] = torch.get_num_threads()
        parts["torch"] = str(torch.__version__)
        if torch.cuda.is_available():
            parts["accelerator"] = torch.cuda.get_device_name()
    return parts


def _processor() -> str:
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def forget_peak() -> None:
    """Reset the accelerator's peak memory; that of a process cannot be reset."""
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()


def peak_mb(device: str | None) -> float:
    """Return the largest memory so far in MB: the accelerator's on ``cuda``, else this process's."""
    torch = sys.modules.get("torch")
    if torch is not None and device is not None and device.startswith("cuda"):
        return round(float(torch.cuda.max_memory_allocated(device)) / 1e6, 1)
    return round(_peak_of_process_mb(), 1)


def resident_mb() -> float:
    """Return the current memory of this process in MB; the largest so far if the current is unknown."""
    with contextlib.suppress(OSError):
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
        return pages * resource.getpagesize() / 1e6
    return _peak_of_process_mb()


def _peak_of_process_mb() -> float:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 1e6 if sys.platform == "darwin" else peak / 1e3
