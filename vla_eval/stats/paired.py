"""Paired binary outcomes: two arms on the same episodes.

Tango's score interval (Tango 1998, Statistics in Medicine 17:891; the test is Nam 1997). None of our
dependencies provides it. Notation: in ``n10`` pairs only the candidate succeeded, in ``n01`` pairs only
the reference; N pairs in all, difference = (n10 − n01) / N, candidate first.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt

from vla_eval.stats._numeric import Array, Interval, invert, normal_sf, z_quantile

__all__ = [
    "PairedTable",
    "tango_interval",
    "tango_p_noninferior",
    "tango_scores",
    "tango_z",
]


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

    @property
    def discordance(self) -> float:
        """Share of the pairs in which exactly one arm succeeded."""
        return (self.n10 + self.n01) / self.n

    @property
    def correlation(self) -> float | None:
        """Correlation of the arms' outcomes (phi); None if the outcomes of an arm are all equal."""
        ones, zeros = self.n11 + self.n10, self.n11 + self.n01
        scale = ones * (self.n - ones) * zeros * (self.n - zeros)
        determinant = self.n11 * self.n00 - self.n10 * self.n01
        return determinant / math.sqrt(scale) if scale else None

    def swapped(self) -> Self:
        """Return the table with the arms exchanged."""
        return type(self)(self.n11, self.n01, self.n10, self.n00)

    def interval(self, *, alpha: float = 0.05) -> Interval:
        """Return Tango's two-sided 1 − alpha interval for the difference."""
        return tango_interval(self.n10, self.n01, self.n, alpha=alpha)


def tango_scores(
    n10: npt.ArrayLike, n01: npt.ArrayLike, n: npt.ArrayLike, delta: npt.ArrayLike
) -> Array:
    """Return Tango's score statistics; the arguments, as in `tango_z`, broadcast.

    If the variance is 0, the score is 0 for a numerator of 0, and infinite otherwise.
    """
    wins, losses, pairs, d = (np.asarray(value, dtype=np.float64) for value in (n10, n01, n, delta))
    variance = pairs * (2 * restricted_losses(wins, losses, pairs, d) + d * (1 - d))
    numerator = wins - losses - pairs * d
    known = variance > 0
    certain = np.where(numerator == 0, 0.0, np.copysign(np.inf, numerator))
    scores = np.where(known, numerator / np.sqrt(np.where(known, variance, 1.0)), certain)
    return np.asarray(scores, dtype=np.float64)


def restricted_losses(wins: Array, losses: Array, pairs: Array, d: Array) -> Array:
    """Return the maximum-likelihood estimate of P(only the reference succeeds) at difference d.

    It is the larger root of 2N q² + [−n10 − n01 + (2N − n10 + n01) d] q − n01 d (1 − d) = 0.
    """
    a = 2 * pairs
    b = -wins - losses + (a - wins + losses) * d
    c = -losses * d * (1 - d)
    root = np.sqrt(np.maximum(0.0, b * b - 4 * a * c))
    # Two forms of the same root: each is accurate where the other subtracts nearly equal numbers.
    stable = -2 * c / np.where(b > 0, b + root, 1.0)
    return np.asarray(np.maximum(0.0, np.where(b > 0, stable, (root - b) / (2 * a))))


def tango_z(n10: int, n01: int, n: int, delta: float) -> float:
    """Return Tango's score statistic for the hypothesis that the difference is ``delta``.

    z(Δ) = (n10 − n01 − NΔ) / √(N [2 q + Δ(1 − Δ)]), where q is the restricted maximum-likelihood
    estimate of P(only the reference succeeds). At Δ = 0 it is McNemar's z.

    Args:
        n10: pairs in which only the candidate succeeded.
        n01: pairs in which only the reference succeeded.
        n: all pairs, at least 1.
        delta: difference under the hypothesis, in [−1, 1].
    """
    # The arithmetic of `tango_scores` on floats, to the last bit: an interval takes 120 of them, and
    # arrays of one number take 20 times as long.
    a = 2.0 * n
    b = -n10 - n01 + (a - n10 + n01) * delta
    c = -n01 * delta * (1 - delta)
    root = math.sqrt(max(0.0, b * b - 4 * a * c))
    losses = max(0.0, -2 * c / (b + root) if b > 0 else (root - b) / (2 * a))
    variance = n * (2 * losses + delta * (1 - delta))
    numerator = n10 - n01 - n * delta
    if variance > 0:
        return numerator / math.sqrt(variance)
    return 0.0 if numerator == 0 else math.copysign(math.inf, numerator)


def tango_interval(n10: int, n01: int, n: int, *, alpha: float = 0.05) -> Interval:
    """Return Tango's two-sided score interval for candidate minus reference.

    It is the set of all Δ with abs(z(Δ)) ≤ z_{1−α/2}; z decreases in Δ, so each limit is one root.

    Args:
        n10: pairs in which only the candidate succeeded.
        n01: pairs in which only the reference succeeded.
        n: all pairs.
        alpha: two-sided; 0.05 gives a 95 % interval, 0.10 belongs to one-sided tests at 5 %.

    Raises:
        ValueError: there are no pairs, or more discordant pairs than pairs.
    """
    if n < 1 or n10 < 0 or n01 < 0 or n10 + n01 > n:
        raise ValueError(f"n10={n10}, n01={n01} cannot be in n={n} pairs")
    return invert(
        lambda delta: tango_z(n10, n01, n, delta),
        z_quantile(1 - alpha / 2),
        estimate=(n10 - n01) / n,
    )


def tango_p_noninferior(n10: int, n01: int, n: int, *, margin: float) -> float:
    """Return the one-sided p-value of "the candidate is worse by the margin or more".

    Asymptotic (Nam 1997); only `exact_p_noninferior` guarantees its level. Counts as in `tango_z`.
    """
    return normal_sf(tango_z(n10, n01, n, -margin))
