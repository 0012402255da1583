"""Audits claims that compare nothing: relative changes, standard errors, one rate, remarks."""

from __future__ import annotations

import math

from vla_eval.audit.results import Audited, ClaimFinding
from vla_eval.audit.schema import ChangeClaim, ClaimsFile, ErrorClaim, RateClaim, RemarkClaim
from vla_eval.audit.words import half_digit, two_decimals
from vla_eval.drawing import words
from vla_eval.stats import Flag, wilson_interval

__all__ = ["audit_change", "audit_error", "audit_rate", "audit_remark"]

_CHANGE_SLACK = 0.1
"""Allowed difference of a relative change in percentage points, beyond the rounding of the printed
change: ``before`` and ``after`` are rounded too."""
_ERROR_SLACK = 0.01
"""The same of a standard error, in points."""


def audit_change(claim: ChangeClaim, _file: ClaimsFile) -> Audited:
    """Recompute relative changes."""
    sentences, wrong = [], 0
    for change in claim.changes:
        recomputed = 100 * (change.after / change.before - 1)
        agrees = (
            abs(recomputed - float(change.percent)) <= half_digit(change.percent) + _CHANGE_SLACK
        )
        wrong += not agrees
        sentences.append(
            f"{change.what} {change.before:g} to {change.after:g}: {recomputed:+.1f} %, printed "
            f"{float(change.percent):+g} %"
        )
    finding = ClaimFinding.INCONSISTENT if wrong else ClaimFinding.CONSISTENT
    return Audited(claim, finding, _minus("; ".join(sentences) + "."))


def audit_error(claim: ErrorClaim, _file: ClaimsFile) -> Audited:
    """Recompute the standard error, in points, of n episodes at the success rate ``claim.at``."""
    error = 100 * math.sqrt(claim.at * (1 - claim.at) / claim.n)
    largest = 50 / math.sqrt(claim.n)
    agrees = abs(float(claim.points) - error) <= half_digit(claim.points) + _ERROR_SLACK
    finding = ClaimFinding.CONSISTENT if agrees else ClaimFinding.INCONSISTENT
    sentence = (
        f"{claim.n} episodes at {100 * claim.at:g} % have a standard error of {error:.2f} points, "
        f"printed {claim.points}; at 50 %, the worst case, it is {largest:.2f}."
    )
    return Audited(claim, finding, sentence, numbers={"points": error, "largest": largest})


def audit_rate(claim: RateClaim, _file: ClaimsFile) -> Audited:
    """Add Wilson's interval to one rate."""
    rate = claim.rate
    low, high = wilson_interval(rate.count, rate.n)
    sentence = (
        f"{words.count(rate.count)}/{rate.n} = {two_decimals(rate.rate)}, 95 % "
        f"[{100 * low:.1f}, {100 * high:.1f}]."
    )
    flags = () if rate.counts else (Flag.GRIM_FAIL,)
    return Audited(
        claim, ClaimFinding.DESCRIBED, sentence, flags=flags, numbers={"wilson95": [low, high]}
    )


def audit_remark(claim: RemarkClaim, _file: ClaimsFile) -> Audited:
    """Report the claim as not auditable, with the reason that the file gives."""
    return Audited(claim, ClaimFinding.NOT_AUDITABLE, claim.reason)


def _minus(text: str) -> str:
    return text.replace(" -", " −")
