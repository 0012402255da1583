"""Numbers as the audit writes them."""

from __future__ import annotations

from vla_eval.stats import Judgement

__all__ = ["count", "decimals", "interval", "p_value", "percent", "points", "size", "verdict"]


def points(value: float) -> str:
    """Return a difference in percentage points, with its sign: ``+1.0``."""
    shown = f"{100 * value:+.1f}".replace("-", "−")
    return "0.0" if shown in ("+0.0", "−0.0") else shown


def interval(limits: tuple[float, float]) -> str:
    """Return an interval in points: ``[−0.6, +2.7]``."""
    return f"[{points(limits[0])}, {points(limits[1])}]"


def percent(value: float) -> str:
    """Return a rate: ``98.75 %``."""
    return f"{100 * value:.2f}".rstrip("0").rstrip(".") + " %"


def p_value(value: float) -> str:
    """Return ``p = 0.0026``."""
    return "p < 0.0001" if value < 1e-4 else f"p = {value:.2g}"


def size(margin: float) -> str:
    """Return a margin: ``5 points``."""
    return f"{100 * margin:g} points"


def count(value: float) -> str:
    """Return successes: whole where they are."""
    return f"{value:g}" if abs(value - round(value)) > 1e-9 else f"{round(value):,}"


def decimals(printed: str) -> float:
    """Return half a unit of the last printed digit: what rounding may hide."""
    return 0.5 * 10.0 ** -len(printed.partition(".")[2])


def verdict(judgement: Judgement) -> str:
    """Return the strongest verdict, and what else holds: ``superior, equivalent``."""
    return ", ".join(each.value for each in (judgement.verdict, *judgement.also))
