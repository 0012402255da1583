"""Numbers of paired and of unpaired episodes that a claim of non-inferiority needs.

Numbers are exact (a sum over all tables) if that takes only seconds, else by formula.
"""

from __future__ import annotations

from typing import Any, TypedDict

from vla_eval.errors import UsageError
from vla_eval.stats import (
    PairedCase,
    episodes_per_arm,
    minimum_pairs,
    minimum_pairs_exact,
    pairs_by_formula,
    pairs_needed,
    power_independent,
    power_paired,
)

__all__ = ["EXACT_UP_TO", "GUARD_UP_TO", "paired_case", "size_of_pairs"]

EXACT_UP_TO = 4000
"""Largest number of pairs for which the sum over all tables takes only seconds."""
GUARD_UP_TO = 1200
"""Largest number of pairs for which the sum with the exact test takes only seconds."""
_CORRELATIONS = (0.0, 0.3, 0.6)


class _Design(TypedDict):
    margin: float
    alpha: float
    power: float


def paired_case(p: float, difference: float, correlation: float, margin: float) -> PairedCase:
    """Return the expected outcome probabilities of two arms.

    Args:
        p: success rate of the reference.
        difference: candidate minus reference.
        correlation: correlation of the arms on the same episode.
        margin: largest accepted loss, as a fraction.

    Raises:
        UsageError: these values are impossible, or the candidate is worse than the margin allows.
    """
    if difference <= -margin:
        raise UsageError(
            f"--difference {difference:g}: a candidate that much worse is not within a margin of "
            f"{margin:g}"
        )
    try:
        return PairedCase(p, difference, correlation)
    except ValueError as error:
        raise UsageError(str(error)) from error


def size_of_pairs(
    p: float,
    *,
    difference: float = 0.0,
    correlation: float | None = None,
    margin: float = 0.05,
    alpha: float = 0.05,
    power: float = 0.8,
    episodes: int | None = None,
) -> dict[str, Any]:
    """Return the number of pairs that certify a candidate, as ``vlaeval power --json`` prints it.

    Args:
        p: success rate of the reference.
        difference: expected difference, candidate minus reference.
        correlation: correlation of the arms on the same episode; None: those of 0, 0.3 and 0.6 that
            are possible.
        margin: largest accepted loss, as a fraction.
        alpha: one-sided level.
        power: probability to certify a candidate as good as expected.
        episodes: also return the power of this many episodes.

    Raises:
        UsageError: these values are impossible, or the power of so many episodes takes minutes.
    """
    if correlation is None:
        cases = [paired_case(p, difference, 0.0, margin)]
        cases += _possible(p, difference, _CORRELATIONS[1:])
    else:
        cases = [paired_case(p, difference, correlation, margin)]
    if episodes is not None and not 1 <= episodes <= EXACT_UP_TO:
        raise UsageError(f"--episodes {episodes}: expected 1 to {EXACT_UP_TO}")
    design = _Design(margin=margin, alpha=alpha, power=power)
    rows = [_row(case, design, episodes) for case in cases]
    return {
        **design,
        "p_reference": cases[0].p_reference,
        "difference": cases[0].difference,
        "episodes": episodes,
        "minimum_pairs": minimum_pairs_exact(margin, alpha=alpha),
        "minimum_pairs_tango": minimum_pairs(margin, alpha=alpha),
        "paired": rows,
        "independent": _independent(cases[0], design, episodes, rows[0]["pairs_formula"]),
    }


def _possible(p: float, difference: float, correlations: tuple[float, ...]) -> list[PairedCase]:
    cases = []
    for correlation in correlations:
        try:
            cases.append(PairedCase(p, difference, correlation))
        except ValueError:  # arms with such different rates cannot correlate that much
            continue
    return cases


def _independent(
    case: PairedCase, design: _Design, episodes: int | None, formula: int
) -> dict[str, Any]:
    rates = (case.p_candidate, case.p_reference)
    cheap = formula <= EXACT_UP_TO
    size: dict[str, Any] = {"per_arm": episodes_per_arm(*rates, **design) if cheap else None}
    if episodes is not None:
        size["power_at_episodes"] = power_independent(
            episodes, *rates, margin=design["margin"], alpha=design["alpha"]
        )
    return size


def _row(case: PairedCase, design: _Design, episodes: int | None) -> dict[str, Any]:
    formula = pairs_by_formula(case, **design)
    row: dict[str, Any] = {
        "correlation": case.correlation,
        "discordance": case.p10 + case.p01,
        "pairs_formula": formula,
        "pairs": pairs_needed(case, **design) if formula <= EXACT_UP_TO else None,
        "pairs_certificate": (
            pairs_needed(case, **design, guard=True) if formula <= GUARD_UP_TO else None
        ),
    }
    if episodes is not None:
        for name, guard in (("power_at_episodes", False), ("power_at_episodes_certificate", True)):
            row[name] = power_paired(
                episodes, case, margin=design["margin"], alpha=design["alpha"], guard=guard
            )
    return row
