"""What repeats of initial states are worth, for ``vlaeval power --states`` and ``vlaeval plan``."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from vla_eval.cli.common import print_table, say

if TYPE_CHECKING:
    from vla_eval.stats import ClusterTest, PairedCase

__all__ = [
    "ICCS",
    "MODEL",
    "design_numbers",
    "fewest_states",
    "label",
    "print_design",
    "simulated",
    "times",
    "too_few",
]

ICCS = (0.0, 0.5, 1.0)
_EXACT_UP_TO = 4000
_GUARD_UP_TO = 1200
_ALIKE = {0.0: "independent (ICC 0)", 0.5: "half (ICC 0.5)", 1.0: "copies (ICC 1)"}
MODEL = (
    "ICC: the share of the states whose repeats are copies of one another, while those of the "
    "others are independent"
)
"""What the dependence of repeats is taken to be."""


def fewest_states(margin: float, alpha: float) -> dict[ClusterTest, int]:
    """Return the fewest states with which each test passes if no pair is discordant."""
    from vla_eval.stats import CLUSTER_TESTS, minimum_states

    return {test: minimum_states(margin, alpha=alpha, test=test) for test in CLUSTER_TESTS}


def too_few(states: int, margin: float, fewest: Mapping[ClusterTest, int]) -> list[str]:
    """Return a sentence for the tests that do not pass without a discordant pair, if there are any."""
    short = {test: least for test, least in fewest.items() if states < least}
    if not short:
        return []
    takes = ", ".join(f"{test} takes {least}" for test, least in short.items())
    sentence = (
        f"TOO FEW STATES: without a discordant pair {states} do not show {100 * margin:g} points, "
        f"however often each is repeated; {takes}."
    )
    return [sentence]


def design_numbers(
    states: int,
    repeats: int,
    case: PairedCase,
    *,
    iccs: Sequence[float],
    margin: float,
    alpha: float,
) -> dict[str, Any]:
    """Return the power of the three tests, and of as many episodes without repeats.

    Args:
        states: K.
        repeats: m, of every state.
        case: what is true.
        iccs: shares of states whose repeats are copies.
        margin: as a fraction.
        alpha: one-sided.
    """
    from vla_eval.stats import CLUSTER_TESTS, power_clustered, power_paired

    rows = []
    for icc in iccs:
        found = power_clustered(states, repeats, case, icc=icc, margin=margin, alpha=alpha)
        powers = {test: found.of(test) for test in CLUSTER_TESTS}
        rows.append({"icc": icc, "power": powers, "standard_error": found.standard_error})
    pairs = states * repeats
    apart = None
    if pairs <= _EXACT_UP_TO:
        guard = pairs <= _GUARD_UP_TO
        apart = power_paired(pairs, case, margin=margin, alpha=alpha, guard=guard)
    return {
        "states": states,
        "repeats": repeats,
        "pairs": pairs,
        "minimum_states": fewest_states(margin, alpha),
        "repeated": rows,
        "without_repeats": {"states": pairs, "power": apart},
    }


def print_design(result: dict[str, Any], expected: str) -> None:
    """Print what `design_numbers` returned.

    Args:
        result: it, with the design's margin, alpha, p_reference and correlation.
        expected: the candidate in words.
    """
    from vla_eval.summary.text import fold

    states, repeats, pairs = (result[name] for name in ("states", "repeats", "pairs"))
    margin = 100 * result["margin"]
    claim = (
        f"{states} states, {times(repeats)}: {pairs} pairs. That a candidate {expected} is not worse by "
        f"{margin:g} points (reference at {result['p_reference']:.1%}, correlation of the arms "
        f"{result['correlation']:g}, one-sided alpha {result['alpha']:g}) is certified with a "
        "chance of"
    )
    fewest = result["minimum_states"]
    each = ", ".join(f"{test} {least}" for test, least in fewest.items())
    apart = result["without_repeats"]["power"]
    error = max(row["standard_error"] for row in result["repeated"])
    say(
        "\n".join(
            folded
            for line in [*too_few(states, result["margin"], fewest), claim]
            for folded in fold(line)
        )
        + "\n"
    )
    print_table(_rows(result["repeated"], list(fewest)))
    least = (
        f"Fewest states for {margin:g} points without a discordant pair, at any number of repeats: "
        f"{each}."
    )
    lines = [f"{MODEL}{simulated(error)}.", least]
    if apart is not None:
        lines.insert(0, f"{pairs} different states, each once, without repeats: {apart:.1%}.")
    say()
    say("\n".join(folded for line in lines for folded in fold(line)))


def times(repeats: int) -> str:
    """Return how often each state runs, in words."""
    return "each once" if repeats == 1 else f"{repeats} repeats of each"


def label(icc: float) -> str:
    """Return how alike repeats are, in words."""
    return _ALIKE.get(icc, f"ICC {icc:g}")


def simulated(error: float) -> str:
    """Return how exact the powers are, to be added to a sentence; worst-repeat's alone are exact."""
    if error == 0:
        return "; exact"
    points = math.ceil(1000 * error) / 10
    return f"; bets and both are simulated, with a standard error of at most {points:.1f} points"


def _rows(repeated: Sequence[Mapping[str, Any]], tests: Sequence[str]) -> list[list[str]]:
    rows = [
        [label(row["icc"]), *(f"{row['power'][test]:.1%}" for test in tests)] for row in repeated
    ]
    return [["repeats of a state", *tests], *rows]
