"""Bounds of margins and levels, for files and for the command line."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from vla_eval.errors import UsageError

__all__ = ["Alpha", "Margin", "check_alpha", "check_margin"]

_SMALLEST_MARGIN = 1e-4
_SMALLEST_ALPHA = 1e-6
_ALPHA_BELOW = 0.5

Margin = Annotated[float, Field(ge=_SMALLEST_MARGIN, lt=1)]
"""Margin on a rate, as a fraction."""
Alpha = Annotated[float, Field(ge=_SMALLEST_ALPHA, lt=_ALPHA_BELOW)]
"""One-sided level."""


def check_margin(margin: float, name: str = "margin") -> float:
    """Return a requested margin if a protocol may have it.

    Args:
        margin: as a fraction.
        name: the user's name for it, for the message.

    Raises:
        UsageError: the margin is out of bounds.
    """
    if not _SMALLEST_MARGIN <= margin < 1:
        raise UsageError(
            f"{name} {margin:g}: expected a fraction from {_SMALLEST_MARGIN:g} to below 1, "
            "such as 0.05"
        )
    return margin


def check_alpha(alpha: float, name: str = "alpha") -> float:
    """Return a requested one-sided level if a protocol may have it; see :func:`check_margin`."""
    if not _SMALLEST_ALPHA <= alpha < _ALPHA_BELOW:
        raise UsageError(
            f"{name} {alpha:g}: expected a level from {_SMALLEST_ALPHA:f} to below {_ALPHA_BELOW}, "
            "such as 0.05"
        )
    return alpha
