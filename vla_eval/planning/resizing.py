"""Outlook of a run whose size is set from its first pairs: sizes, expected pairs and power."""

from __future__ import annotations

from typing import Any

from vla_eval.errors import UsageError
from vla_eval.planning.pairs import paired_case
from vla_eval.stats import PairedCase, ResizeRule, resized_outlook

__all__ = ["outlook_of_rule", "rule_of"]

_SHARES = (0.0, 0.02, 0.05, 0.1, 0.2, 0.4)
"""Shares of discordant pairs for which the size is shown."""
_LARGEST = 2_000


def rule_of(
    sizes: tuple[int, int, int], *, margin: float, alpha: float, power: float
) -> ResizeRule:
    """Return the rule of (after, planned, at most) pairs; raise UsageError if they are out of order."""
    after, planned, most = sizes
    if most > _LARGEST:
        raise UsageError(f"--resize: at most {_LARGEST} pairs can be computed, not {most}")
    try:
        return ResizeRule(after, planned, most, margin=margin, alpha=alpha, power=power)
    except ValueError as error:
        raise UsageError(f"--resize AFTER PLANNED MOST: {error}") from None


def outlook_of_rule(
    rule: ResizeRule,
    rates: tuple[float, ...],
    correlations: tuple[float, ...],
    *,
    difference: float = 0.0,
) -> dict[str, Any]:
    """Return the sizes that a rule can set, and what it does to candidates, for ``--json``.

    Args:
        rule: the rule.
        rates: success rates of the reference.
        correlations: correlations of the arms on one episode; impossible ones are left out.
        difference: true difference, candidate minus reference.

    Raises:
        UsageError: no correlation is possible, or the candidate is worse than the margin allows.
    """
    paired_case(rates[0], difference, correlations[0], rule.margin)
    rows = []
    for rate in rates:
        for correlation in correlations:
            try:
                case = PairedCase(rate, difference, correlation)
            except ValueError:  # arms with such rates cannot correlate that much
                continue
            expected = resized_outlook(rule, case, guard=False)
            rows.append(
                {
                    "p_reference": rate,
                    "correlation": correlation,
                    "discordance": case.p10 + case.p01,
                    "power": expected.certified,
                    "expected_pairs": expected.pairs,
                    "largest": expected.at_most,
                }
            )
    counts = {round(share * rule.after): None for share in _SHARES}
    return {
        "after": rule.after,
        "planned": rule.planned,
        "at_most": rule.at_most,
        "wanted_power": rule.power,
        "margin": rule.margin,
        "alpha": rule.alpha,
        "difference": difference,
        "sizes": [{"discordant": count, "pairs": rule.size(count)} for count in counts],
        "expected": rows,
    }
