"""What is measured on: processor, accelerator, and the memory that was taken."""

from __future__ import annotations

import contextlib
import platform
import resource
import sys
from pathlib import Path
from typing import Any

__all__ = ["forget_peak", "hardware", "peak_mb", "resident_mb"]


def hardware() -> dict[str, Any]:
    """Return what was measured on: processor, its threads, and accelerator."""
    found: dict[str, Any] = {"processor": _processor(), "threads": None, "accelerator": None}
    torch = sys.modules.get("torch")
    if torch is not None:
        found["threads"] = torch.get_num_threads()
        found["torch"] = str(torch.__version__)
        if torch.cuda.is_available():
            found["accelerator"] = torch.cuda.get_device_name()
    return found


def _processor() -> str:
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def forget_peak() -> None:
    """Let the accelerator count its largest memory anew; a process cannot."""
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()


def peak_mb(device: str | None) -> float:
    """Return the largest memory so far in MB: of the accelerator, or of this process."""
    torch = sys.modules.get("torch")
    if torch is not None and device is not None and device.startswith("cuda"):
        return round(float(torch.cuda.max_memory_allocated(device)) / 1e6, 1)
    return round(_peak_of_process_mb(), 1)


def resident_mb() -> float:
    """Return the memory of this process now in MB; the largest so far where the system does not say."""
    with contextlib.suppress(OSError):
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
        return pages * resource.getpagesize() / 1e6
    return _peak_of_process_mb()


def _peak_of_process_mb() -> float:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 1e6 if sys.platform == "darwin" else peak / 1e3
