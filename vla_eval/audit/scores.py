"""Printed means of scores 0, ½ and 1: how much the episodes can vary, and what then follows.

Such a mean says less than a success rate: 50 % are episodes that all earn a half, or halves of the
episodes that earn nothing and everything. The judgement as a success rate takes the greatest variance,
m (1 - m), and so never claims too much. The least variance of a mean m is that of the two neighbouring scores.
"""

from __future__ import annotations

import math

from scipy.special import ndtri

from vla_eval.audit.results import ClaimComparison, ClaimFinding
from vla_eval.audit.schema import Asserts, RatesClaim
from vla_eval.drawing import words

__all__ = ["least_interval", "least_variance", "scores_sentence"]


def least_variance(mean: float) -> float:
    """Return the least variance of scores 0, ½ and 1 with a mean from 0 to 1."""
    low = 0.5 if mean >= 0.5 else 0.0
    return (mean - low) * (low + 0.5 - mean)


def least_interval(claim: RatesClaim, *, alpha: float) -> tuple[float, float]:
    """Return the normal interval of the difference if both arms' scores vary as little as they can.

    Args:
        claim: the claim; its percentages are mean scores.
        alpha: two-sided error probability.
    """
    arms = (claim.candidate, claim.reference)
    variance = sum(least_variance(rate.rate) / rate.n for rate in arms)
    half = float(ndtri(1 - alpha / 2)) * math.sqrt(variance)
    difference = claim.candidate.rate - claim.reference.rate
    return difference - half, difference + half


def scores_sentence(
    claim: RatesClaim, comparison: ClaimComparison, finding: ClaimFinding, *, margin: float
) -> str:
    """Return what the least possible spread would show: whether the unprinted halves decide the claim."""
    alpha = 0.10 if claim.asserts == "parity" else 0.05 / comparison.picked_from
    limits = least_interval(claim, alpha=alpha)
    level = 100 * (1 - alpha)
    least = f"Scores in halves: with the least spread they can have {level:.4g} % {words.interval(limits)}"
    if finding is not ClaimFinding.UNRESOLVED:
        return f"{least}; judged with the greatest."
    if _holds(claim.asserts, limits, margin):
        return (
            f"{least}, and the claim would hold: the number of half points, not printed, decides."
        )
    return f"{least}: unresolved whatever the number of half points."


def _holds(asserts: Asserts, limits: tuple[float, float], margin: float) -> bool:
    low, high = limits
    return {"parity": low > -margin, "better": low > 0, "worse": high < 0}.get(asserts, False)
