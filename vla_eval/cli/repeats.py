"""Repeats of initial states in words, for ``vlaeval power`` and ``vlaeval plan``."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from vla_eval.cli.common import print_table, say, say_folded

if TYPE_CHECKING:
    from vla_eval.stats import ClusterTest

__all__ = ["MODEL", "label", "print_design", "simulated", "times", "too_few"]

_ALIKE = {0.0: "independent (ICC 0)", 0.5: "half (ICC 0.5)", 1.0: "copies (ICC 1)"}
MODEL = (
    "ICC: the share of the states whose repeats are copies of one another, while those of the "
    "others are independent"
)
"""The assumed dependence of repeats, in words."""


def too_few(states: int, margin: float, fewest: Mapping[ClusterTest, int]) -> list[str]:
    """Return a sentence on the tests that need more states, if there are any."""
    short = {test: least for test, least in fewest.items() if states < least}
    if not short:
        return []
    takes = ", ".join(f"{test} takes {least}" for test, least in short.items())
    sentence = (
        f"TOO FEW STATES: without a discordant pair {states} do not show {100 * margin:g} points, "
        f"however often each is repeated; {takes}."
    )
    return [sentence]


def print_design(result: dict[str, Any], expected: str) -> None:
    """Print a design of repeated states.

    Args:
        result: the result of :func:`vla_eval.planning.repeats.size_of_repeats`.
        expected: the expected candidate in words.
    """
    states, repeats, pairs = (result[name] for name in ("states", "repeats", "pairs"))
    margin, fewest = 100 * result["margin"], result["minimum_states"]
    claim = (
        f"{states} states, {times(repeats)}: {pairs} pairs. That a candidate {expected} is not worse by "
        f"{margin:g} points (reference at {result['p_reference']:.1%}, correlation of the arms "
        f"{result['correlation']:g}, one-sided alpha {result['alpha']:g}) is certified with a "
        "chance of"
    )
    say_folded([*too_few(states, result["margin"], fewest), claim])
    say()
    print_table(_rows(result["repeated"], list(fewest)))
    say()
    least = (
        f"Fewest states for {margin:g} points without a discordant pair, at any number of repeats: "
        f"{', '.join(f'{test} {least}' for test, least in fewest.items())}."
    )
    error = max(row["standard_error"] for row in result["repeated"])
    lines = [f"{MODEL}{simulated(error)}.", least]
    independent = result["without_repeats"]["power"]
    if independent is not None:
        lines.insert(0, f"{pairs} different states, each once, without repeats: {independent:.1%}.")
    say_folded(lines)


def times(repeats: int) -> str:
    """Return the number of repeats of each state, in words."""
    return "each once" if repeats == 1 else f"{repeats} repeats of each"


def label(icc: float) -> str:
    """Return the likeness of repeats, in words."""
    return _ALIKE.get(icc, f"ICC {icc:g}")


def simulated(error: float) -> str:
    """Return the precision of the powers, as the end of a sentence; only worst-repeat's are exact."""
    if error == 0:
        return "; exact"
    points = math.ceil(1000 * error) / 10
    return f"; bets and both are simulated, with a standard error of at most {points:.1f} points"


def _rows(repeated: Sequence[Mapping[str, Any]], tests: Sequence[str]) -> list[list[str]]:
    rows = [
        [label(row["icc"]), *(f"{row['power'][test]:.1%}" for test in tests)] for row in repeated
    ]
    return [["repeats of a state", *tests], *rows]
