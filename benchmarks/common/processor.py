"""Processor time of other processes."""

from __future__ import annotations

import resource

__all__ = ["children_s"]


def children_s() -> float:
    """Return the processor time of the processes that this one started, and they in turn, and that have ended, s."""
    spent = resource.getrusage(resource.RUSAGE_CHILDREN)
    return spent.ru_utime + spent.ru_stime
