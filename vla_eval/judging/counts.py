"""Judges bare counts, such as those of a table in a paper: intervals, p-values and a verdict.

The candidate comes first everywhere. ``vlaeval stats --json`` prints these results. ``ci90`` and
``ci95`` are intervals of the difference, candidate minus reference; ``ci_of_verdict`` is the interval
of level 1 − 2 alpha on which the verdict rests.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from vla_eval.errors import UsageError, VlaEvalError
from vla_eval.stats import (
    ClusteredPairs,
    ClusterTest,
    CrossCheck,
    Flag,
    Judgement,
    PairedTable,
    cross_checks_independent,
    cross_checks_paired,
    exact_p_noninferior,
    failure_ratio_independent,
    failure_ratio_paired,
    is_ceiling,
    judge_clustered,
    judge_independent,
    judge_paired,
    miettinen_nurminen_interval,
    miettinen_nurminen_p_noninferior,
    newcombe_disagreement,
    tango_p_noninferior,
)

__all__ = ["judge_arms", "judge_pairs", "judge_states"]

_MOST_PAIRS = 100_000
_MOST_EPISODES = 10**9
_DISAGREEMENT = 0.005
"""Largest difference from Newcombe's interval without a flag."""


def judge_pairs(
    n11: int, n10: int, n01: int, n00: int, *, margin: float = 0.05, alpha: float = 0.05
) -> dict[str, Any]:
    """Judge two arms on the same episodes, by Tango's interval and the exact unconditional test.

    Args:
        n11: episodes in which both arms succeeded.
        n10: episodes in which only the candidate succeeded.
        n01: episodes in which only the reference succeeded.
        n00: episodes in which neither succeeded.
        margin: non-inferiority margin, as a fraction.
        alpha: one-sided level.

    Raises:
        UsageError: the counts are no table of pairs, or its exact test takes minutes.
    """
    if min(n11, n10, n01, n00) < 0:
        raise UsageError("counts of pairs cannot be negative")
    if n11 + n10 + n01 + n00 > _MOST_PAIRS:
        raise UsageError(f"more than {_MOST_PAIRS:,} pairs: the exact test would take minutes")
    counts = PairedTable(n11, n10, n01, n00)
    if counts.n == 0:
        raise UsageError("there are no pairs in this table")
    discordant = (counts.n10, counts.n01, counts.n)
    ceiling = is_ceiling((counts.n11 + counts.n01) / counts.n, margin=margin)
    levels = {level: counts.interval(alpha=level) for level in _levels(alpha)}
    return {
        "difference": counts.difference,
        **_intervals(levels),
        "p_noninferior": tango_p_noninferior(*discordant, margin=margin),
        "p_noninferior_exact": exact_p_noninferior(*discordant, margin=margin),
        **_verdict(judge_paired(counts, margin=margin, alpha=alpha)),
        "margin": margin,
        "alpha": alpha,
        "ci_of_verdict": list(levels[2 * alpha]),
        "flags": [Flag.CEILING.value] if ceiling else [],
        "failure_ratio95": _finite(failure_ratio_paired(counts)),
        "cross_checks": _checked(cross_checks_paired(counts)),
    }


def judge_arms(
    x1: int, n1: int, x2: int, n2: int, *, margin: float = 0.05, alpha: float = 0.05
) -> dict[str, Any]:
    """Judge two arms on different episodes, by Miettinen and Nurminen's interval.

    Args:
        x1: successes of the candidate.
        n1: episodes of the candidate.
        x2: successes of the reference.
        n2: episodes of the reference.
        margin: non-inferiority margin, as a fraction.
        alpha: one-sided level.

    Raises:
        UsageError: the counts are impossible, or too large to judge.
    """
    counts = (x1, n1, x2, n2)
    for successes, n in (counts[:2], counts[2:]):
        if not 0 <= successes <= n or n == 0:
            raise UsageError(f"{successes} successes in {n} episodes cannot be")
        if n > _MOST_EPISODES:
            raise UsageError(
                f"{n} episodes are more than the {_MOST_EPISODES:,} that can be judged"
            )
    disagreement = newcombe_disagreement(*counts)
    flags = {
        Flag.UNPAIRED: True,
        Flag.CEILING: is_ceiling(x2 / n2, margin=margin),
        Flag.SMALL_SAMPLE: disagreement > _DISAGREEMENT,
    }
    levels = {level: miettinen_nurminen_interval(*counts, alpha=level) for level in _levels(alpha)}
    return {
        "difference": x1 / n1 - x2 / n2,
        **_intervals(levels),
        "p_noninferior": miettinen_nurminen_p_noninferior(*counts, margin=margin),
        "p_noninferior_exact": None,
        **_verdict(judge_independent(*counts, margin=margin, alpha=alpha)),
        "margin": margin,
        "alpha": alpha,
        "ci_of_verdict": list(levels[2 * alpha]),
        "flags": [flag.value for flag, holds in flags.items() if holds],
        "failure_ratio95": _finite(failure_ratio_independent(*counts)),
        "cross_checks": _checked(cross_checks_independent(*counts)),
        "newcombe_disagreement": disagreement,
    }


def judge_states(
    pairs: ClusteredPairs,
    *,
    margin: float = 0.05,
    alpha: float = 0.05,
    test: ClusterTest = "both",
    where: str = "the counts",
) -> dict[str, Any]:
    """Judge repeats of initial states; the verdict holds however the repeats depend on each other.

    Args:
        pairs: for every state the number of pairs, and of those in which one arm alone succeeded.
        margin: non-inferiority margin, as a fraction.
        alpha: one-sided level.
        test: see :mod:`vla_eval.stats.clusters`.
        where: name of the counts in messages.

    Raises:
        UsageError: the test cannot judge states with different numbers of repeats.
    """
    if test == "worst-repeat" and not pairs.equal:
        raise UsageError(
            f"{where}: the states have different numbers of repeats, which only the test 'bets' can "
            "judge"
        )
    levels = {level: pairs.interval(alpha=level, test=test) for level in _levels(alpha)}
    worst = pairs.p_noninferior(margin=margin, test="worst-repeat") if pairs.equal else None
    return {
        **_verdict(judge_clustered(pairs, margin=margin, alpha=alpha, test=test)),
        "difference": pairs.difference,
        **_intervals(levels),
        "ci_of_verdict": list(levels[2 * alpha]),
        "p_noninferior": pairs.p_noninferior(margin=margin, test=test),
        "p_worst_repeat": worst,
        "p_bets": pairs.p_noninferior(margin=margin, test="bets"),
        "states": len(pairs.pairs),
        "states_lost_in_any_repeat": int((pairs.losses > 0).sum()),
        "states_won_in_all_repeats": int((pairs.wins == pairs.pairs).sum()),
        "pairs": pairs.n,
        "pairs_won": int(pairs.wins.sum()),
        "pairs_lost": int(pairs.losses.sum()),
        "repeats": [int(pairs.pairs.min()), int(pairs.pairs.max())],
        "vif": pairs.vif,
        "margin": margin,
        "alpha": alpha,
        "test": test,
    }


def _levels(alpha: float) -> set[float]:
    return {0.10, 0.05, 2 * alpha}


def _intervals(by_level: Mapping[float, tuple[float, float]]) -> dict[str, list[float]]:
    return {"ci90": list(by_level[0.10]), "ci95": list(by_level[0.05])}


def _verdict(judgement: Judgement) -> dict[str, Any]:
    return {
        "verdict": judgement.verdict.value,
        "also": [verdict.value for verdict in judgement.also],
    }


def _finite(interval: tuple[float, float]) -> list[float | None]:
    return [interval[0], interval[1] if interval[1] < float("inf") else None]


def _checked(checks: tuple[CrossCheck, ...]) -> dict[str, float]:
    """Return statsmodels' numbers; raise VlaEvalError if they contradict ours."""
    for check in checks:
        if not check.agrees:
            raise VlaEvalError(
                f"{check.name}: {check.ours:.9g} here, {check.theirs:.9g} in statsmodels; one of "
                "them is wrong: please report this table"
            )
    return {check.name: check.theirs for check in checks}
