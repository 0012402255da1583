"""Numbers and verdicts as the report writes them."""

from __future__ import annotations

from typing import Literal

from vla_eval.certificate import Certificate
from vla_eval.stats import Flag, Judgement, Verdict

__all__ = ["duration", "milliseconds", "p_value", "percent", "signs", "standins"]


def signs(verdict: Verdict) -> Literal["holds", "refuted", "open"]:
    """Return what a verdict means for the claim."""
    if Judgement(verdict).noninferior:
        return "holds"
    return "refuted" if verdict is Verdict.INFERIOR else "open"


def standins(certificate: Certificate) -> bool:
    """Whether any episode ran on stand-in assets."""
    return Flag.STAND_INS in certificate.flags


def percent(value: float) -> str:
    """Return a rate: ``96.5 %``."""
    return f"{100 * value:.1f}\u202f%"


def p_value(value: float) -> str:
    """Return what stands after "p": ``= 0.012``."""
    return "< 0.0001" if value < 1e-4 else f"= {value:.2g}"


def milliseconds(value: float | None) -> str:
    """Return a time with three digits, or a dash."""
    return "–" if value is None else f"{value:.3g}" if value < 1000 else f"{value:.0f}"


def duration(seconds: float) -> str:
    """Return a time in the unit that people would use."""
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"
