"""Checks our own statistics against statsmodels at run time, wherever both compute the same statistic.

Some of ours exist because statsmodels is wrong (the score test of a difference other than 0, McNemar
without discordant pairs). They are not compared here; the tests hold published values for them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from vla_eval.stats.independent import miettinen_nurminen_z
from vla_eval.stats.paired import PairedTable, tango_z
from vla_eval.stats.superiority import mcnemar_p

__all__ = ["CrossCheck", "cross_checks_independent", "cross_checks_paired"]

_TOLERANCE = 1e-6


@dataclass(frozen=True)
class CrossCheck:
    """A statistic computed by us and by statsmodels."""

    name: str
    ours: float
    theirs: float

    @property
    def agrees(self) -> bool:
        """Whether both values are equal, up to rounding."""
        return math.isclose(self.ours, self.theirs, rel_tol=_TOLERANCE, abs_tol=_TOLERANCE)


def cross_checks_paired(table: PairedTable) -> tuple[CrossCheck, ...]:
    """Compare McNemar's exact p-value, and the square of Tango's score at difference 0.

    Args:
        table: counts of pairs; without discordant pairs there is nothing to compare.
    """
    if table.n10 + table.n01 == 0:
        return ()
    from statsmodels.stats.contingency_tables import mcnemar

    counts = [[table.n11, table.n10], [table.n01, table.n00]]
    exact = mcnemar(counts, exact=True)
    plain = mcnemar(counts, exact=False, correction=False)
    score = tango_z(table.n10, table.n01, table.n, 0.0) ** 2
    return (
        CrossCheck("McNemar, exact p", mcnemar_p(table, method="exact"), float(exact.pvalue)),
        CrossCheck("McNemar, chi squared", score, float(plain.statistic)),
    )


def cross_checks_independent(x1: int, n1: int, x2: int, n2: int) -> tuple[CrossCheck, ...]:
    """Compare Miettinen and Nurminen's score at difference 0, where statsmodels is correct.

    Args:
        x1: successes of the candidate.
        n1: episodes of the candidate.
        x2: successes of the reference.
        n2: episodes of the reference. Without any failure or any success nothing is compared.
    """
    if x1 + x2 in (0, n1 + n2):
        return ()
    from statsmodels.stats.proportion import test_proportions_2indep

    # statsmodels also computes ratios and odds, which divide by 0 at 0 and 100 %.
    with np.errstate(divide="ignore", invalid="ignore"):
        theirs = test_proportions_2indep(
            x1, n1, x2, n2, value=0, method="score", compare="diff", correction=True
        )
    ours = miettinen_nurminen_z(x1, n1, x2, n2, 0.0)
    return (CrossCheck("Miettinen-Nurminen score at 0", ours, float(theirs.statistic)),)
