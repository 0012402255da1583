"""The normal distribution and root finding, on which all intervals here are built."""

from __future__ import annotations

from collections.abc import Callable
from statistics import NormalDist

import numpy as np
import numpy.typing as npt

__all__ = ["Array", "Interval", "Ints", "crossing", "invert", "normal_sf", "z_quantile"]

type Array = npt.NDArray[np.float64]
type Ints = npt.NDArray[np.int64]
type Interval = tuple[float, float]
"""(lower, upper)"""

_NORMAL = NormalDist()
_HALVINGS = 60
"""Number of bisections: they reduce a length of 2 to 2e-18, below the spacing of floats."""


def z_quantile(p: float) -> float:
    """Return the p-quantile of the standard normal distribution."""
    return _NORMAL.inv_cdf(p)


def normal_sf(z: float) -> float:
    """Return P(Z > z) for a standard normal Z."""
    return _NORMAL.cdf(-z)


def crossing(
    decreasing: Callable[[float], float],
    target: float,
    bounds: Interval,
    *,
    tolerance: float = 0.0,
) -> float:
    """Return the point where a decreasing function crosses a target; a bound if it never does.

    Bisection needs only signs, so a statistic may be infinite where its variance is 0.

    Args:
        decreasing: the function.
        target: the value to cross.
        bounds: limits of the search.
        tolerance: allowed error of the result; 0 means the full precision of a float.
    """
    low, high = bounds
    for _ in range(_HALVINGS):
        if high - low <= tolerance:
            break
        middle = (low + high) / 2
        if decreasing(middle) > target:
            low = middle
        else:
            high = middle
    return (low + high) / 2


def invert(
    statistic: Callable[[float], float],
    critical: float,
    *,
    estimate: float,
    bounds: Interval = (-1.0, 1.0),
) -> Interval:
    """Return the values that a test does not reject: abs(statistic) ≤ critical.

    Args:
        statistic: decreasing in its argument, about 0 at the estimate.
        critical: critical value of the two-sided test.
        estimate: a value inside the interval.
        bounds: limits of the parameter.
    """
    lower = crossing(statistic, critical, (bounds[0], estimate))
    upper = crossing(statistic, -critical, (estimate, bounds[1]))
    return lower, upper
