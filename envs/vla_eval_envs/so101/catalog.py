"""Stub until the SO-101 tasks land."""

from __future__ import annotations

from vla_eval.catalog import Suite

__all__ = ["suites"]


def suites() -> tuple[Suite, ...]:
    """Return no suite yet."""
    return ()
