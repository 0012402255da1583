"""The interval of one arm's success rate, which reports, comparisons and certificates share."""

from __future__ import annotations

from vla_eval.analysis import Analysis
from vla_eval.judging.ledger import ArmEpisodes
from vla_eval.stats import wilson_interval
from vla_eval.stats._numeric import Interval

__all__ = ["rate_interval"]


def rate_interval(arm: ArmEpisodes, analysis: Analysis, *, level: float = 0.05) -> Interval:
    """Return Wilson's interval of an arm's success rate; if states repeat, from effective counts.

    Args:
        arm: one arm's episodes.
        analysis: the protocol's analysis.
        level: two-sided level; in a sequential run the level of the look (`JudgingMethod.level`).
    """
    data = arm.by_state() if analysis.cluster != "none" else None
    if data is None:
        return wilson_interval(arm.successes, arm.n, alpha=level)
    return data.interval(alpha=level)
