"""Checks times of one chunk and speed-ups: consistent and possible under T(N) = p + e N?"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from vla_eval.audit.results import Audited, ClaimFinding
from vla_eval.audit.schema import ClaimsFile, LatencyClaim, SpeedupClaim
from vla_eval.audit.words import half_digit
from vla_eval.stats import AmdahlFit, amdahl_fit, prefix_for_speedup

__all__ = ["audit_latency", "audit_speedup", "line"]

_SLACK = 0.01
"""Relative difference that rounding of printed times can explain."""


@dataclass(frozen=True)
class _Check:
    """One printed number, computed from the others."""

    what: str
    printed: float
    recomputed: float
    unit: str
    tolerance: float

    @property
    def holds(self) -> bool:
        return abs(self.printed - self.recomputed) <= self.tolerance

    def sentence(self) -> str:
        """Return the sentence for a number that agrees with the others."""
        return (
            f"The printed {self.what}, {self.printed:g}{self.unit}, agrees with the other times, "
            f"which give {self.recomputed:.3g}{self.unit}."
        )


def line(claim: LatencyClaim) -> AmdahlFit | None:
    """Return the line through the times of a claim, or through its printed prefix and step."""
    times = sorted(claim.chunk, key=lambda time: time.nfe)
    if len({time.nfe for time in times}) > 1:
        errors = [time.error_ms for time in times if time.error_ms is not None]
        return amdahl_fit(
            [time.nfe for time in times],
            [time.ms for time in times],
            error_ms=errors if len(errors) == len(times) else None,
        )
    if claim.prefix_ms is None or claim.step_ms is None:
        return None
    return AmdahlFit(claim.prefix_ms, claim.step_ms, None, 0.0, 0.0)


def audit_latency(claim: LatencyClaim, _file: ClaimsFile) -> Audited:
    """Fit prefix and step, and recompute every printed number from the others."""
    fit, checks = line(claim), _checks(claim)
    wrong = [check for check in checks if not check.holds]
    finding = ClaimFinding.INCONSISTENT if wrong else ClaimFinding.CONSISTENT
    sentence = _agreement(claim, checks)
    if fit is not None and claim.speedup is not None and claim.speedup_of == "chunk":
        most = fit.speedup(claim.slow_nfe, 0)
        if float(claim.speedup) > most * (1 + _SLACK):
            finding = ClaimFinding.IMPOSSIBLE
            fewest = min(time.nfe for time in claim.chunk)
            sentence = (
                f"{claim.speedup} times by fewer evaluations cannot be: {claim.slow_nfe:g} take "
                f"{fit.latency_ms(claim.slow_nfe):.0f} ms and {fewest:g} takes "
                f"{fit.latency_ms(fewest):.0f}, which is "
                f"{fit.speedup(claim.slow_nfe, fewest):.2f} times, and a free solver would give "
                f"{most:.2f}"
            )
    details = [] if fit is None else [_fit_sentence(claim, fit)]
    details += [check.sentence() for check in checks if check.holds and check.what != "speed-up"]
    return Audited(
        claim, finding, f"{sentence}.", tuple(details), numbers=_numbers(claim, fit, checks)
    )


def _checks(claim: LatencyClaim) -> list[_Check]:
    times = sorted(claim.chunk, key=lambda time: time.nfe)
    fast, slow = times[0], times[-1]
    checks = []
    if claim.speedup is not None:
        printed = float(claim.speedup)
        slack = half_digit(claim.speedup) + _SLACK * printed
        if claim.speedup_of == "chunk" and slow.nfe > fast.nfe:
            checks.append(_Check("speed-up", printed, slow.ms / fast.ms, "×", slack))
        if claim.speedup_of == "solver" and claim.solver_ms and claim.step_ms:
            ratio = claim.solver_ms / (claim.step_ms * fast.nfe)
            checks.append(_Check("speed-up of the solver", printed, ratio, "×", slack))
    if claim.prefix_ms and claim.solver_ms:
        total = claim.prefix_ms + claim.solver_ms
        checks.append(_Check("total", slow.ms, total, " ms", 2 * _SLACK * slow.ms))
    if claim.solver_share is not None and claim.solver_ms:
        share = 100 * claim.solver_ms / slow.ms
        slack = half_digit(claim.solver_share) + 2 * _SLACK * share
        checks.append(_Check("share of the solver", float(claim.solver_share), share, " %", slack))
    return checks


def _agreement(claim: LatencyClaim, checks: list[_Check]) -> str:
    wrong = [check for check in checks if not check.holds]
    if wrong:
        numbers = ", ".join(
            f"{check.what} {check.printed:g}{check.unit} (the others give "
            f"{check.recomputed:.3g}{check.unit})"
            for check in wrong
        )
        return f"The printed numbers do not agree: {numbers}"
    times = sorted(claim.chunk, key=lambda time: time.nfe)
    ratio = times[-1].ms / times[0].ms
    if times[-1].nfe == times[0].nfe:
        return "The printed times add up"
    return (
        f"The printed times add up: {times[-1].ms:g} ms over {times[0].ms:g} ms is {ratio:.2f} "
        "times, on that machine"
    )


def _fit_sentence(claim: LatencyClaim, fit: AmdahlFit) -> str:
    slow = claim.slow_nfe
    limits = fit.speedup_interval(slow)
    known = f" (95 % {limits[0]:.2f} to {limits[1]:.2f})" if limits else ""
    return (
        f"T(N) = {fit.prefix_ms:.1f} + {fit.step_ms:.1f} N ms: from {slow:g} evaluations to one at "
        f"most {fit.speedup(slow):.2f} times faster{known}, {fit.speedup(slow, 0):.2f} if the "
        "solver were free."
    )


def _numbers(claim: LatencyClaim, fit: AmdahlFit | None, checks: list[_Check]) -> dict[str, Any]:
    value: dict[str, Any] = {
        "checks": [
            {
                "what": check.what,
                "printed": check.printed,
                "recomputed": check.recomputed,
                "agrees": check.holds,
            }
            for check in checks
        ]
    }
    if fit is not None:
        limits = fit.speedup_interval(claim.slow_nfe)
        free = fit.speedup(claim.slow_nfe, 0)
        value |= {
            "prefix_ms": fit.prefix_ms,
            "step_ms": fit.step_ms,
            "largest_speedup": fit.speedup(claim.slow_nfe),
            "largest_speedup95": None if limits is None else [_finite(limit) for limit in limits],
            "speedup_of_a_free_solver": _finite(free),
        }
    return value


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def audit_speedup(claim: SpeedupClaim, file: ClaimsFile) -> Audited:
    """Compare the prefix that a speed-up needs with published prefixes."""
    printed = float(claim.speedup)
    needed = prefix_for_speedup(printed, slow=claim.slow_nfe, fast=claim.fast_nfe)
    fits = []
    for name in claim.compared_with:
        published = file.claim(name)
        fit = line(published) if isinstance(published, LatencyClaim) else None
        if fit is not None and fit.step_ms > 0:
            fits.append(fit)
    shares = sorted(fit.prefix_ms / fit.step_ms for fit in fits)
    most = max((fit.speedup(claim.slow_nfe, claim.fast_nfe) for fit in fits), default=math.inf)
    if needed < 0:
        finding = ClaimFinding.IMPOSSIBLE
        sentence = (
            f"From {claim.slow_nfe:g} evaluations to {claim.fast_nfe:g} no prefix is short enough "
            f"for {claim.speedup} times"
        )
    elif printed > most * (1 + _SLACK) + half_digit(claim.speedup):
        finding = ClaimFinding.IMPLAUSIBLE
        sentence = (
            f"{claim.speedup} times needs a prefix of {needed:.2f} evaluations, where published "
            f"times have {shares[0]:.1f} to {shares[-1]:.1f} and so at most {most:.1f} times; without "
            "the prefix, or with a cached one, it is another quantity"
        )
    else:
        finding = ClaimFinding.CONSISTENT
        sentence = f"It needs a prefix of {needed:.2f} evaluations, as others have measured"
    numbers = {"prefix_over_step_needed": needed, "prefix_over_step_published": shares}
    return Audited(claim, finding, f"{sentence}.", numbers=numbers)
