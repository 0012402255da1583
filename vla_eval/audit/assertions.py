"""Judges an assertion by a comparison: a finding and its sentence."""

from __future__ import annotations

from vla_eval.audit.results import AtMargin, ClaimComparison, ClaimFinding
from vla_eval.audit.schema import Asserts
from vla_eval.audit.words import verdict as verdict_text
from vla_eval.drawing import words
from vla_eval.stats import AssumedPairing, Verdict

__all__ = ["find"]


def find(asserts: Asserts, comparison: ClaimComparison) -> tuple[ClaimFinding, str]:
    """Return the finding on an assertion, and its sentence without the full stop.

    "parity" holds if the candidate is not worse by the first margin (one-sided alpha). "better" and
    "worse" hold if the 95 % interval excludes 0, "unresolved" if it includes 0.
    """
    if asserts == "parity":
        return _parity(comparison)
    if asserts == "nothing":
        first = comparison.at[0]
        verdict = verdict_text(first.judgement).capitalize()
        return (
            ClaimFinding.DESCRIBED,
            f"{verdict} at {words.margin(first.margin)}: {_numbers90(comparison)}",
        )
    numbers, (low, high) = _numbers95(comparison), comparison.ci95
    if asserts == "unresolved":
        if low <= 0 <= high:
            return ClaimFinding.SUPPORTED, f"Indeed not resolved: {numbers}"
        return ClaimFinding.CONTRADICTED, f"There is a difference: {numbers}"
    word = asserts.capitalize()
    shown, opposite = (low > 0, high < 0) if asserts == "better" else (high < 0, low > 0)
    if shown:
        return ClaimFinding.SUPPORTED, f"{word}: {numbers}"
    finding = ClaimFinding.CONTRADICTED if opposite else ClaimFinding.UNRESOLVED
    return finding, f"{'The opposite' if opposite else f'Not shown to be {asserts}'}: {numbers}"


def _numbers90(comparison: ClaimComparison) -> str:
    limits = words.interval(comparison.ci90)
    return f"{words.points(comparison.difference)} points, 90 % {limits}"


def _numbers95(comparison: ClaimComparison) -> str:
    limits = words.interval(comparison.ci95)
    family = comparison.picked_from
    every = f" (over {family} comparisons)" if family > 1 else ""
    return f"{words.points(comparison.difference)} points, 95 % {limits}{every}"


def _parity(comparison: ClaimComparison) -> tuple[ClaimFinding, str]:
    first = comparison.at[0]
    margin, numbers = words.margin(first.margin), _numbers90(comparison)
    if first.judgement.noninferior:
        verdict = verdict_text(first.judgement).capitalize()
        strict = "" if first.strict.noninferior else "; not at a one-sided level half as large"
        return ClaimFinding.SUPPORTED, f"{verdict} at {margin}{_pairing(first)}: {numbers}{strict}"
    if first.judgement.verdict is Verdict.INFERIOR:
        return ClaimFinding.CONTRADICTED, f"Worse by more than {margin}: {numbers}"
    if comparison.ci95[1] < 0:
        return ClaimFinding.CONTRADICTED, f"Worse: {_numbers95(comparison)}"
    wider = [at for at in comparison.at[1:] if at.judgement.noninferior]
    extra = f", though it holds within {words.margin(wider[0].margin)}" if wider else ""
    need = comparison.needed
    more = f"; {margin} take about {need:,} episodes an arm" if need else ""
    return ClaimFinding.UNRESOLVED, f"Inconclusive at {margin}{extra}: {numbers}{more}"


def _pairing(at: AtMargin) -> str:
    if at.pairing is AssumedPairing.ANY:
        return " under any pairing of the episodes"
    if at.pairing is AssumedPairing.FAVOURABLE:
        return ", but with pairs only if both arms fail on the same episodes"
    return ""
