"""Many comparisons: adjusted p-values, and letters that mark which arms differ."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Sequence
from string import ascii_lowercase

__all__ = [
    "attempt_alpha",
    "benjamini_hochberg",
    "compact_letters",
    "fixed_sequence",
    "holm",
    "holm_levels",
]


def holm(p_values: Sequence[float]) -> list[float]:
    """Return Holm's adjusted p-values (1979; statsmodels), which limit the chance of a false claim."""
    return _adjusted(p_values, "holm")


def holm_levels(
    p_values: Sequence[float], *, alpha: float, in_use: Callable[[float], float] = float
) -> list[float]:
    """Return the level that each p-value must not exceed by Holm's procedure (1979).

    The j-th smallest of m needs alpha/(m − j + 1) while all smaller ones passed; from the first that
    fails on, the level no longer rises. A p-value is at most its level exactly when Holm's adjusted
    p-value is at most alpha. Levels are for tests that need one: intervals, and looks of a run.

    Args:
        p_values: one for each hypothesis of the family.
        alpha: largest chance of any false rejection.
        in_use: the level in use for a share of alpha; smaller at a look of a run (default: equal).
    """
    levels = [0.0] * len(p_values)
    level, stopped = 0.0, False
    for rank, index in enumerate(sorted(range(len(p_values)), key=lambda i: p_values[i])):
        if not stopped:
            level = in_use(alpha / (len(p_values) - rank))
        levels[index] = level
        stopped = stopped or p_values[index] > level
    return levels


def fixed_sequence(p_values: Sequence[float], *, alpha: float) -> int:
    """Return how many hypotheses are rejected, in an order that was fixed before the data were seen.

    Each is tested at the full alpha, and the first that is not rejected ends it. The chance of any false
    rejection is at most alpha: it takes the rejection of the first true hypothesis (Maurer, Hothorn and
    Lehmacher 1995; Westfall and Krishen 2001, J. Stat. Plan. Inference 99:25).

    Args:
        p_values: in the fixed order.
        alpha: largest chance of any false rejection.
    """
    return next((i for i, p in enumerate(p_values) if p > alpha), len(p_values))


def benjamini_hochberg(p_values: Sequence[float]) -> list[float]:
    """Return Benjamini and Hochberg's adjusted p-values (1995; statsmodels): for screening."""
    return _adjusted(p_values, "fdr_bh")


def attempt_alpha(attempt: int, *, alpha: float = 0.05) -> float:
    """Return the level of the m-th use of the same held-out states: 6α / (π² m²).

    The levels of all attempts, without end, add up to α.

    Raises:
        ValueError: the number of the attempt is below 1.
    """
    if attempt < 1:
        raise ValueError(f"attempt {attempt}: the first is 1")
    return 6 * alpha / (math.pi * attempt) ** 2


def _adjusted(p_values: Sequence[float], method: str) -> list[float]:
    if not p_values:
        return []
    from statsmodels.stats.multitest import multipletests

    # The method is always named, because statsmodels' default differs (Holm–Šidák).
    return [float(p) for p in multipletests(p_values, method=method)[1]]


def compact_letters(arms: Sequence[str], different: Collection[tuple[str, str]]) -> dict[str, str]:
    """Return letters for each arm: two arms share a letter exactly when they do not differ.

    Piepho 2004 (Journal of Computational and Graphical Statistics 13:456), insert and absorb: begin
    with one column of all arms. Each significant pair splits the columns that contain both arms, and
    columns that are subsets of others are dropped.

    Args:
        arms: names, best first; the first column in this order becomes 'a'.
        different: pairs that differ, after adjustment for multiplicity.

    Raises:
        ValueError: a pair names an unknown arm, or the same arm twice.
    """
    columns: list[frozenset[str]] = [frozenset(arms)]
    for first, second in different:
        if first == second or not {first, second} <= set(arms):
            raise ValueError(f"({first}, {second}) are no two of the arms")
        split = [
            part
            for column in columns
            for part in (
                (column - {first}, column - {second}) if {first, second} <= column else (column,)
            )
        ]
        unique = list(dict.fromkeys(split))
        columns = [part for part in unique if not any(part < whole for whole in unique)]
    order = {arm: position for position, arm in enumerate(arms)}
    columns.sort(key=lambda column: sorted(order[arm] for arm in column))
    return {
        arm: "".join(_letter(i) for i, column in enumerate(columns) if arm in column)
        for arm in arms
    }


def _letter(index: int) -> str:
    """Return a … z, then (27), (28) and so on."""
    return ascii_lowercase[index] if index < 26 else f"({index + 1})"
