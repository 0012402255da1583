"""Paired binary outcomes: two arms on the same episodes.

Tango's score interval (Tango 1998, Statistics in Medicine 17:891; the test is Nam 1997). No library
that we depend on has it. Notation: ``n10`` pairs in which only the candidate succeeded, ``n01`` pairs
in which only the reference did, N pairs in all, difference = (n10 − n01) / N, candidate first.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

__all__ = ["PairedTable", "tango_interval", "tango_z"]


@dataclass(frozen=True)
class PairedTable:
    """Counts of pairs; the first digit is the candidate, 1 is success."""

    n11: int
    n10: int
    n01: int
    n00: int

    def __post_init__(self) -> None:
        """Refuse negative counts."""
        if min(self.n11, self.n10, self.n01, self.n00) < 0:
            raise ValueError(f"negative count in {self}")

    @property
    def n(self) -> int:
        """Number of pairs."""
        return self.n11 + self.n10 + self.n01 + self.n00

    @property
    def difference(self) -> float:
        """Success rate of the candidate minus that of the reference."""
        return (self.n10 - self.n01) / self.n

    def interval(self, *, alpha: float = 0.05) -> tuple[float, float]:
        """Return Tango's two-sided 1 − alpha interval for the difference."""
        return tango_interval(self.n10, self.n01, self.n, alpha=alpha)


def tango_z(n10: int, n01: int, n: int, delta: float) -> float:
    """Return Tango's score statistic for the hypothesis that the difference is ``delta``.

    z(Δ) = (n10 − n01 − NΔ) / √(N [2 q + Δ(1 − Δ)]), where q, the restricted maximum-likelihood
    estimate of P(only the reference succeeds), is the larger root of
    2N q² + [−n10 − n01 + (2N − n10 + n01) Δ] q − n01 Δ (1 − Δ) = 0.

    Args:
        n10: pairs in which only the candidate succeeded.
        n01: pairs in which only the reference succeeded.
        n: all pairs, at least 1.
        delta: difference under the hypothesis, in (−1, 1).
    """
    a = 2 * n
    b = -n10 - n01 + (2 * n - n10 + n01) * delta
    c = -n01 * delta * (1 - delta)
    q = (-b + math.sqrt(max(0.0, b * b - 4 * a * c))) / (2 * a)
    variance = n * (2 * q + delta * (1 - delta))
    numerator = n10 - n01 - n * delta
    if variance <= 0:
        return 0.0 if numerator == 0 else math.copysign(math.inf, numerator)
    return numerator / math.sqrt(variance)


def tango_interval(n10: int, n01: int, n: int, *, alpha: float = 0.05) -> tuple[float, float]:
    """Return Tango's two-sided score interval for candidate minus reference.

    The set of all Δ with abs(z(Δ)) ≤ z_{1−α/2}; z decreases in Δ, so each end is one root.

    Args:
        n10: pairs in which only the candidate succeeded.
        n01: pairs in which only the reference succeeded.
        n: all pairs.
        alpha: two-sided; 0.05 gives a 95 % interval, 0.10 belongs to one-sided tests at 5 %.

    Raises:
        ValueError: no pairs, or more discordant pairs than pairs.
    """
    if n < 1 or n10 < 0 or n01 < 0 or n10 + n01 > n:
        raise ValueError(f"n10={n10}, n01={n01} cannot be in n={n} pairs")
    # Here and not at the top: SciPy takes most of a second to import, and `vlaeval --help` is quick.
    from scipy.optimize import brentq
    from scipy.special import ndtri

    z = float(ndtri(1 - alpha / 2))
    estimate = (n10 - n01) / n
    edge = 1 - 1e-12

    def end(target: float, outer: float) -> float:
        if n01 == n and outer < 0:
            return -1.0
        if n10 == n and outer > 0:
            return 1.0
        low, high = sorted((outer, min(max(estimate, -edge), edge)))
        return float(brentq(lambda d: tango_z(n10, n01, n, d) - target, low, high, xtol=1e-14))

    return end(z, -edge), end(-z, edge)
