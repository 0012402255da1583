"""Number of processor cores that this process may use."""

from __future__ import annotations

import os

__all__ = ["usable_cores"]


def usable_cores() -> int:
    """Return the cores that this process may use: of its affinity, and of its Slurm task.

    ``os.cpu_count()`` counts the machine's cores, also those that a scheduler gave to other jobs.
    """
    affinity = getattr(os, "sched_getaffinity", None)  # Linux only
    cores = len(affinity(0)) if affinity is not None else os.cpu_count() or 1
    of_task = os.environ.get("SLURM_CPUS_PER_TASK", "")
    if of_task.isascii() and of_task.isdigit():
        cores = min(cores, int(of_task))
    return max(1, cores)
