"""Words of the audit alone: verdicts with everything that holds, and published numbers."""

from __future__ import annotations

from vla_eval.stats import Judgement

__all__ = ["half_digit", "two_decimals", "verdict"]


def two_decimals(rate: float) -> str:
    """Return a rate as papers print it, with up to two decimals: ``98.75 %``."""
    return f"{100 * rate:.2f}".rstrip("0").rstrip(".") + " %"


def half_digit(printed: str) -> float:
    """Return half a unit of the last printed digit: the largest rounding error."""
    return 0.5 * 10.0 ** -len(printed.partition(".")[2])


def verdict(judgement: Judgement) -> str:
    """Return the strongest verdict, and the others that hold: ``superior, equivalent``."""
    return ", ".join(verdict.value for verdict in (judgement.verdict, *judgement.also))
