"""Intervals for one success rate."""

from __future__ import annotations

__all__ = ["wilson_interval"]


def wilson_interval(successes: int, n: int, *, alpha: float = 0.05) -> tuple[float, float]:
    """Return Wilson's score interval for a success rate (Wilson 1927; statsmodels).

    Args:
        successes: 0 … n.
        n: number of episodes; with none, nothing is known and the interval is (0, 1).
        alpha: two-sided; 0.05 gives a 95 % interval.

    Raises:
        ValueError: counts that cannot be.
    """
    if not 0 <= successes <= n:
        raise ValueError(f"{successes} successes in {n} episodes")
    if n == 0:
        return 0.0, 1.0
    # Here and not at the top: statsmodels takes a second to import, and the progress bar shows
    # an interval long before a report is asked for.
    from statsmodels.stats.proportion import proportion_confint

    lower, upper = proportion_confint(successes, n, alpha=alpha, method="wilson")
    return float(lower), float(upper)
