"""Comparing many policies on one protocol: descriptive, after the fact, and never a certificate."""

from vla_eval.compare.gather import Entry, Field, gather
from vla_eval.compare.judge import compare
from vla_eval.compare.results import ArmResult, Comparison, PairResult

__all__ = [
    "ArmResult",
    "Comparison",
    "Entry",
    "Field",
    "PairResult",
    "compare",
    "gather",
]
