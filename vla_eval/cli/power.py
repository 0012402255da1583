"""``vlaeval power``: how many episodes a claim needs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, TypedDict

import tyro

from vla_eval.cli.common import print_json, print_table
from vla_eval.errors import EXIT_COMPLETE, UsageError

if TYPE_CHECKING:
    from vla_eval.stats import PairedCase

__all__ = ["power"]


class _Design(TypedDict):
    margin: float
    alpha: float
    power: float


_CORRELATIONS = (0.0, 0.3, 0.6)
_EXACT_UP_TO = 4000
"""Pairs for which the sum over all tables takes some seconds at most."""
_GUARD_UP_TO = 1200


def power(
    *,
    margin: float = 0.05,
    p: float = 0.9,
    difference: float = 0.0,
    correlation: float | None = None,
    alpha: float = 0.05,
    power: float = 0.8,
    episodes: Annotated[int | None, tyro.conf.arg(metavar="N")] = None,
    json: bool = False,
) -> int:
    """Say how many episodes a claim of non-inferiority needs, paired and unpaired.

    Example: vlaeval power --margin 0.05 --p 0.9

    Example: vlaeval power --margin 0.05 --p 0.95 --correlation 0.3 --episodes 200

    Numbers are exact (a sum over all tables) where that takes seconds, else by formula. A
    certificate also needs the exact test, whose price is shown.

    Args:
        margin: How much worse is still good enough, as a fraction.
        p: Success rate of the reference.
        difference: What you expect, candidate minus reference.
        correlation: Between the arms on the same episode; default shows 0, 0.3 and 0.6.
        alpha: One-sided level.
        power: Chance to certify a candidate as good as expected.
        episodes: Also show the power that this many episodes give.
        json: Print for machines.
    """
    for name, value, top in (("margin", margin, 1), ("alpha", alpha, 0.5), ("power", power, 1)):
        if not 0 < value < top:
            raise UsageError(f"--{name} {value:g}: expected a number between 0 and {top:g}")
    if episodes is not None and not 1 <= episodes <= _EXACT_UP_TO:
        raise UsageError(f"--episodes {episodes}: expected 1 to {_EXACT_UP_TO}")
    if difference <= -margin:
        raise UsageError(
            f"--difference {difference:g}: a candidate that much worse is not within a margin of "
            f"{margin:g}"
        )
    correlations = _CORRELATIONS if correlation is None else (correlation,)
    cases = _cases(p, difference, correlations, strict=correlation is not None)
    design = _Design(margin=margin, alpha=alpha, power=power)
    result: dict[str, Any] = {**design, "p_reference": p, "difference": difference}
    result |= _numbers(cases, design, episodes)
    if json:
        print_json(result)
    else:
        _print(result)
    return EXIT_COMPLETE


def _cases(
    p: float, difference: float, correlations: tuple[float, ...], *, strict: bool
) -> list[PairedCase]:
    from vla_eval.stats import PairedCase

    cases = []
    for rho in correlations:
        try:
            cases.append(PairedCase(p, difference, rho))
        except ValueError as error:
            # Of the default correlations those that cannot be are left out; 0 always can.
            if strict or rho == 0:
                raise UsageError(str(error)) from error
    return cases


def _numbers(cases: list[PairedCase], design: _Design, episodes: int | None) -> dict[str, Any]:
    from vla_eval.stats import episodes_per_arm, minimum_pairs, minimum_pairs_exact
    from vla_eval.stats import power_independent as unpaired_power

    margin, alpha = design["margin"], design["alpha"]
    rates = (cases[0].p_candidate, cases[0].p_reference)
    rows = [_row(case, design, episodes) for case in cases]
    cheap = rows[0]["pairs_formula"] <= _EXACT_UP_TO
    unpaired: dict[str, Any] = {"per_arm": episodes_per_arm(*rates, **design) if cheap else None}
    if episodes is not None:
        at = unpaired_power(episodes, *rates, margin=margin, alpha=alpha)
        unpaired["power_at_episodes"] = at
    return {
        "episodes": episodes,
        "minimum_pairs": minimum_pairs_exact(margin, alpha=alpha),
        "minimum_pairs_tango": minimum_pairs(margin, alpha=alpha),
        "paired": rows,
        "independent": unpaired,
    }


def _row(case: PairedCase, design: _Design, episodes: int | None) -> dict[str, Any]:
    from vla_eval.stats import pairs_by_formula, pairs_needed, power_paired

    formula = pairs_by_formula(case, **design)
    row: dict[str, Any] = {
        "correlation": case.correlation,
        "discordance": case.p10 + case.p01,
        "pairs_formula": formula,
        "pairs": pairs_needed(case, **design) if formula <= _EXACT_UP_TO else None,
        "pairs_certificate": (
            pairs_needed(case, **design, guard=True) if formula <= _GUARD_UP_TO else None
        ),
    }
    if episodes is not None:
        for name, guard in (("power_at_episodes", False), ("power_at_episodes_certificate", True)):
            row[name] = power_paired(
                episodes, case, margin=design["margin"], alpha=design["alpha"], guard=guard
            )
    return row


def _print(result: dict[str, Any]) -> None:
    from vla_eval.terminal import fold

    margin, p = 100 * result["margin"], result["p_reference"]
    best, worst = result["paired"][-1], result["paired"][0]
    lowest, highest = (each["pairs_certificate"] or each["pairs_formula"] for each in (best, worst))
    count = f"{lowest}" if lowest == highest else f"{lowest} to {highest}"
    claim = (
        f"{count} pairs certify, with a chance of {result['power']:.0%}, that a candidate "
        f"{_expected(result['difference'])} is not worse by {margin:g} points (reference at "
        f"{p:.1%}, one-sided alpha {result['alpha']:g})."
    )
    least = (
        f"If the arms never differ, {result['minimum_pairs']} pairs are the fewest that certify it."
    )
    lines = [claim, least]
    print("\n".join(folded for line in lines for folded in fold(line)) + "\n")
    print_table(_rows(result))


def _expected(difference: float) -> str:
    if difference == 0:
        return "as good as the reference"
    return f"{abs(100 * difference):g} points {'better' if difference > 0 else 'worse'}"


def _rows(result: dict[str, Any]) -> list[list[str]]:
    episodes = result["episodes"]
    header = ["design", "pairs", "with exact test", "by formula"]
    rows = [header + ([f"power at {episodes}"] if episodes else [])]
    for row in result["paired"]:
        cells = [_count(row[name]) for name in ("pairs", "pairs_certificate", "pairs_formula")]
        rows.append([f"paired, correlation {row['correlation']:g}", *cells])
        if episodes:
            rows[-1].append(f"{row['power_at_episodes_certificate']:.1%}")
    unpaired = result["independent"]
    rows.append(["unpaired, episodes an arm", _count(unpaired["per_arm"]), "-", "-"])
    if episodes:
        rows[-1].append(f"{unpaired['power_at_episodes']:.1%}")
    return rows


def _count(value: int | None) -> str:
    return "-" if value is None else str(value)
