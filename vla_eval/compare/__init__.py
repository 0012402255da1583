"""Comparison of many policies on one protocol: descriptive, post hoc, and never a certificate."""

from vla_eval.compare.gather import Contest, Entry, gather
from vla_eval.compare.judge import compare
from vla_eval.compare.results import PairResult, RankedArm, Ranking

__all__ = [
    "Contest",
    "Entry",
    "PairResult",
    "RankedArm",
    "Ranking",
    "compare",
    "gather",
]
