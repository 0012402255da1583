"""Numbers in words, as all pages and tables of this project write them."""

from __future__ import annotations

__all__ = [
    "count",
    "duration",
    "interval",
    "margin",
    "milliseconds",
    "p_value",
    "percent",
    "points",
]


def percent(value: float) -> str:
    """Return a rate: ``96.5 %``."""
    return f"{100 * value:.1f}\u202f%"


def points(value: float) -> str:
    """Return a difference in percentage points, with its sign: ``+1.0``."""
    shown = f"{100 * value:+.1f}".replace("-", "−")
    return "0.0" if shown in ("+0.0", "−0.0") else shown


def interval(limits: tuple[float, float]) -> str:
    """Return an interval in percentage points: ``[−0.6, +2.7]``."""
    return f"[{points(limits[0])}, {points(limits[1])}]"


def margin(value: float) -> str:
    """Return a margin: ``5 points``."""
    return f"{100 * value:g} points"


def p_value(value: float) -> str:
    """Return the text after "p": ``= 0.012``."""
    return "< 0.0001" if value < 1e-4 else f"= {value:.2g}"


def count(value: float) -> str:
    """Return a number of successes; without decimals if it is whole."""
    return f"{value:g}" if abs(value - round(value)) > 1e-9 else f"{round(value):,}"


def milliseconds(value: float | None) -> str:
    """Return a time with three digits, or a dash."""
    return "–" if value is None else f"{value:.3g}" if value < 1000 else f"{value:.0f}"


def duration(seconds: float) -> str:
    """Return a time in seconds, minutes or hours."""
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"
