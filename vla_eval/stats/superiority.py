"""Tests for any difference at all: McNemar's for two arms, Cochran's Q for more."""

from __future__ import annotations

from typing import Literal

import numpy as np
import numpy.typing as npt

from vla_eval.stats.exact import binomial_pmf
from vla_eval.stats.paired import PairedTable

__all__ = ["cochran_q", "mcnemar_p"]


def mcnemar_p(
    table: PairedTable,
    *,
    method: Literal["mid-p", "exact", "asymptotic", "corrected"] = "mid-p",
) -> float:
    """Return the two-sided p-value of "the arms succeed equally often", from paired episodes.

    Mid-p (Fagerland, Lydersen and Laake 2013, BMC Medical Research Methodology 13:91): the exact
    p-value minus the probability of the observed table. The exact and the continuity-corrected p-values
    are for comparison; they are needlessly conservative. Without discordant pairs p is 1 (statsmodels'
    corrected p-value would be 0).

    Args:
        table: counts of pairs.
        method: method of computing p.
    """
    from scipy.special import bdtr, chdtrc

    few, total = min(table.n10, table.n01), table.n10 + table.n01
    if total == 0:
        return 1.0
    if method in ("asymptotic", "corrected"):
        gap = abs(table.n10 - table.n01)
        gap = max(0, gap - 1) if method == "corrected" else gap
        return float(chdtrc(1, gap**2 / total))
    below = 2 * float(bdtr(float(few), total, 0.5))
    if method == "exact":
        return min(1.0, below)
    here = float(binomial_pmf(few, total, 0.5))
    # With n10 = n01 both tails include the middle.
    return min(1.0, 1 - here / 2 if 2 * few == total else below - here)


def cochran_q(successes: npt.ArrayLike) -> tuple[float, float]:
    """Return Cochran's Q and its p-value, for k arms on the same episodes.

    The hypothesis is "all arms succeed equally often" (Cochran 1950; statsmodels). If the arms agree on
    every episode, Q is 0 and p is 1.

    Args:
        successes: (episodes, arms), 0 or 1.

    Raises:
        ValueError: it is no such matrix, or has fewer than two arms.
    """
    from statsmodels.stats.contingency_tables import cochrans_q

    x = np.asarray(successes, dtype=np.float64)
    if x.ndim != 2 or x.shape[1] < 2 or not np.isin(x, (0, 1)).all():
        raise ValueError("a matrix of 0 and 1 expected: a row an episode, a column an arm")
    if not np.any(x.min(axis=1) != x.max(axis=1)):
        return 0.0, 1.0
    result = cochrans_q(x)
    return float(result.statistic), float(result.pvalue)
