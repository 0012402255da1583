"""What only the audit writes: verdicts with all that holds, and published numbers."""

from __future__ import annotations

from vla_eval.stats import Judgement

__all__ = ["half_digit", "two_decimals", "verdict"]


def two_decimals(rate: float) -> str:
    """Return a rate as papers print it, which needs a digit more than ours: ``98.75 %``."""
    return f"{100 * rate:.2f}".rstrip("0").rstrip(".") + " %"


def half_digit(printed: str) -> float:
    """Return half a unit of the last printed digit: what rounding may hide."""
    return 0.5 * 10.0 ** -len(printed.partition(".")[2])


def verdict(judgement: Judgement) -> str:
    """Return the strongest verdict, and what else holds: ``superior, equivalent``."""
    return ", ".join(each.value for each in (judgement.verdict, *judgement.also))
