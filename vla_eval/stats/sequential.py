"""Early stopping: five looks at Tango's score, with O'Brien–Fleming spending.

Lan and DeMets 1983 (Biometrika 70:659): up to information fraction t, the one-sided error spent is
α*(t) = 2 − 2Φ(z_{1−α/2} / √t). At parity this saves a quarter of the episodes and costs one percentage
point of power (docs/statistics.md, "Looks").
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cache, lru_cache
from itertools import pairwise

import numpy as np

from vla_eval.stats._numeric import Array, Interval, invert, normal_sf, z_quantile
from vla_eval.stats.paired import tango_z

__all__ = [
    "Decision",
    "SequentialPlan",
    "obrien_fleming_bound",
    "obrien_fleming_bounds",
    "obrien_fleming_spending",
    "repeated_interval",
]

_INFLATION = 1.028
"""Sample size for five looks, divided by that of a fixed sample with the same power."""
_REACH = 8.5
"""Limit of the scores; beyond it the probability is negligible."""
_STEPS = 2001


class Decision(StrEnum):
    """Decision after a look."""

    CERTIFY = "certify"
    """The bound is crossed: the candidate is not worse by the margin."""
    FUTILE = "futile"
    """Stop inconclusive: the estimate itself is below −margin."""
    CONTINUE = "continue"
    """Run until the next look."""
    EXHAUSTED = "exhausted"
    """The last look crossed no bound: inconclusive."""


@dataclass(frozen=True)
class SequentialPlan:
    """A plan of looks, fixed before the first episode."""

    sizes: tuple[int, ...]
    """Number of pairs at each look, rising; the last is the largest possible sample."""
    margin: float
    alpha: float = 0.05
    """One-sided level."""
    futility: bool = True
    """Whether to stop if the estimate is below −margin; not binding, so alpha holds either way."""

    def __post_init__(self) -> None:
        """Refuse numbers of pairs that do not rise from look to look."""
        if not self.sizes or any(b <= a for a, b in pairwise((0, *self.sizes))):
            raise ValueError(f"looks at {self.sizes} pairs do not rise")

    @classmethod
    def even(
        cls, n_max: int, margin: float, *, looks: int = 5, alpha: float = 0.05
    ) -> SequentialPlan:
        """Return the plan with equally spaced looks."""
        sizes = tuple(round(n_max * look / looks) for look in range(1, looks + 1))
        return cls(sizes, margin, alpha=alpha)

    @classmethod
    def from_fixed(cls, n_fixed: int, margin: float, *, alpha: float = 0.05) -> SequentialPlan:
        """Return the plan of five looks with the power of a fixed sample of n_fixed pairs."""
        return cls.even(math.ceil(_INFLATION * n_fixed), margin, alpha=alpha)

    @property
    def n_max(self) -> int:
        """Pairs at the last look."""
        return self.sizes[-1]

    @property
    def looks(self) -> int:
        """Number of looks."""
        return len(self.sizes)

    @property
    def bounds(self) -> tuple[float, ...]:
        """Critical value of Tango's score at each look."""
        return tuple(self.bound(look) for look in range(1, self.looks + 1))

    def bound(self, look: int) -> float:
        """Return the critical value at look 1, 2, …; the bounds of later looks take time, and are not computed."""
        fractions = tuple(size / self.n_max for size in self.sizes[:look])
        return obrien_fleming_bound(fractions, alpha=self.alpha)

    @property
    def levels(self) -> tuple[float, ...]:
        """One-sided level of each look; see :meth:`level`."""
        return tuple(self.level(look) for look in range(1, self.looks + 1))

    def level(self, look: int) -> float:
        """Return the one-sided level of a look: the tail of the normal distribution beyond its bound."""
        return normal_sf(self.bound(look))

    def decide(self, look: int, n10: int, n01: int) -> Decision:
        """Return the decision at look 1, 2, …, given the discordant pairs so far.

        Futility counts from the second look on.
        """
        z = tango_z(n10, n01, self.sizes[look - 1], -self.margin)
        if z >= self.bound(look):
            return Decision.CERTIFY
        if self.may_be_futile(look) and z < 0:
            return Decision.FUTILE
        return Decision.EXHAUSTED if look == self.looks else Decision.CONTINUE

    def may_be_futile(self, look: int) -> bool:
        """Whether the run may stop for futility at this look: from the second to the last but one."""
        return self.futility and 2 <= look < self.looks

    def interval(self, look: int, n10: int, n01: int) -> Interval:
        """Return the repeated confidence interval at a look, which is valid for any stopping rule."""
        return repeated_interval(n10, n01, self.sizes[look - 1], bound=self.bound(look))


def repeated_interval(n10: int, n01: int, n: int, *, bound: float) -> Interval:
    """Return {Δ: abs(z(Δ)) < bound}, Tango's interval at the critical value of a look."""
    estimate = (n10 - n01) / n
    return invert(lambda delta: tango_z(n10, n01, n, delta), bound, estimate=estimate)


def obrien_fleming_spending(fraction: float, *, alpha: float = 0.05) -> float:
    """Return the one-sided error spent up to an information fraction in (0, 1]."""
    return 2 * normal_sf(z_quantile(1 - alpha / 2) / math.sqrt(fraction))


def obrien_fleming_bounds(fractions: Sequence[float], *, alpha: float = 0.05) -> tuple[float, ...]:
    """Return the critical values at rising information fractions.

    The Brownian motion of the score, B(t) = z√t, has independent increments. Its density over the
    paths that have not stopped is integrated from look to look (Armitage, McPherson and Rowe 1969). The
    probability above a bound is the error to spend since the last look.

    Args:
        fractions: rising, in (0, 1]. A bound does not depend on the fractions after it.
        alpha: one-sided.
    """
    looks = range(1, len(fractions) + 1)
    return tuple(obrien_fleming_bound(tuple(fractions[:look]), alpha=alpha) for look in looks)


def obrien_fleming_bound(fractions: tuple[float, ...], *, alpha: float = 0.05) -> float:
    """Return the critical value at the last of the fractions; see :func:`obrien_fleming_bounds`."""
    return _top(fractions, alpha) / math.sqrt(fractions[-1])


@cache
def _top(fractions: tuple[float, ...], alpha: float) -> float:
    """Return the bound of B at the last of the fractions."""
    *before, fraction = fractions
    spent = obrien_fleming_spending(before[-1], alpha=alpha) if before else 0.0
    error = obrien_fleming_spending(fraction, alpha=alpha) - spent
    grid, mass = _not_stopped(tuple(before), alpha)
    return _bound(grid, mass, _scale(fractions), error, math.sqrt(fraction))


@lru_cache(maxsize=256)
def _not_stopped(fractions: tuple[float, ...], alpha: float) -> tuple[Array, Array]:
    """Return the points of B after looks at these fractions, and the mass at each that went on."""
    if not fractions:
        return np.zeros(1), np.ones(1)  # all mass is at B(0) = 0
    grid, mass = _not_stopped(fractions[:-1], alpha)
    top = _top(fractions, alpha)
    return _advance(grid, mass, _scale(fractions), top, math.sqrt(fractions[-1]))


def _scale(fractions: tuple[float, ...]) -> float:
    """Return the standard deviation of the last increment of B."""
    return math.sqrt(fractions[-1] - (fractions[-2] if len(fractions) > 1 else 0.0))


def _bound(grid: Array, mass: Array, scale: float, error: float, sd: float) -> float:
    """Return b with P(B ≥ b, not stopped before) = error, but at most the reach."""
    from scipy.optimize import brentq
    from scipy.special import ndtr

    def excess(b: float) -> float:
        return float(mass @ ndtr((grid - b) / scale)) - error

    reach = _REACH * sd
    if excess(reach) >= 0:
        return reach
    return float(brentq(excess, -reach, reach, xtol=1e-12))


def _advance(grid: Array, mass: Array, scale: float, top: float, sd: float) -> tuple[Array, Array]:
    """Return the points below the bound and the mass at each (Simpson's rule)."""
    points: Array = -_REACH * sd + (top + _REACH * sd) * np.arange(_STEPS) / (_STEPS - 1)
    kernel = (points[:, None] - grid[None, :]) / scale
    # In place: four million numbers are allocated once.
    np.square(kernel, out=kernel)
    np.exp(np.multiply(kernel, -0.5, out=kernel), out=kernel)
    density: Array = kernel @ mass / (scale * math.sqrt(2 * math.pi))
    weights: Array = np.ones(_STEPS)
    weights[1:-1:2], weights[2:-1:2] = 4.0, 2.0
    return points, density * weights * (points[1] - points[0]) / 3
