"""Describes the machine that a benchmark ran on, as far as it decides speed."""

from __future__ import annotations

import importlib.metadata
import os
import platform
from pathlib import Path
from typing import Any

__all__ = ["in_words", "machine"]


def machine() -> dict[str, Any]:
    """Return processor, cores, versions and the load of the last minute, neighbours included."""
    cpus = Path("/proc/cpuinfo")
    lines = cpus.read_text().splitlines() if cpus.exists() else []
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return {
        "processor": models[0] if models else platform.machine(),
        "cores": len(os.sched_getaffinity(0))
        if hasattr(os, "sched_getaffinity")
        else os.cpu_count(),
        "gl": os.environ.get("MUJOCO_GL", "egl"),
        "python": platform.python_version(),
        "mujoco": importlib.metadata.version("mujoco"),
        "load": round(os.getloadavg()[0], 1),
    }


def in_words(about: dict[str, Any]) -> str:
    """Return :func:`machine` in one line."""
    return ", ".join(f"{name} {value}" for name, value in about.items())
