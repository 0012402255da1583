"""The interval for one success rate.

Tests hold it to statsmodels' to the last bit; the import of statsmodels takes a second.
"""

from __future__ import annotations

import math

from vla_eval.stats._numeric import Interval

__all__ = ["wilson_interval"]


def wilson_interval(successes: float, n: float, *, alpha: float = 0.05) -> Interval:
    """Return Wilson's score interval for a success rate (Wilson 1927).

    Args:
        successes: 0 … n; not an integer if counts are divided by a variance inflation factor.
        n: number of episodes; for 0 the interval is (0, 1).
        alpha: two-sided; 0.05 gives a 95 % interval.

    Raises:
        ValueError: the counts are impossible.
    """
    if not 0 <= successes <= n:
        raise ValueError(f"{successes} successes in {n} episodes")
    if n == 0:
        return 0.0, 1.0
    from scipy.special import ndtri

    z, rate = -float(ndtri(alpha / 2)), successes / n
    scale = 1 + z**2 / n
    centre = (rate + z**2 / (2 * n)) / scale
    half = z * math.sqrt(rate * (1 - rate) / n + z**2 / (4 * n**2)) / scale
    # Rounding gives −1e-18 and 1 + 1e-16 instead of 0 and 1.
    return max(0.0, centre - half), min(1.0, centre + half)
