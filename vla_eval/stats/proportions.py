"""The interval for one success rate, computed by statsmodels."""

from __future__ import annotations

from vla_eval.stats._numeric import Interval

__all__ = ["wilson_interval"]


def wilson_interval(successes: float, n: float, *, alpha: float = 0.05) -> Interval:
    """Return Wilson's score interval for a success rate (Wilson 1927; statsmodels).

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
    # Imported only here: the import takes a second, and the progress bar needs an interval early.
    from statsmodels.stats.proportion import proportion_confint

    lower, upper = proportion_confint(successes, n, alpha=alpha, method="wilson")
    # Rounding gives −1e-18 and 1 + 1e-16 instead of 0 and 1.
    return max(0.0, float(lower)), min(1.0, float(upper))
