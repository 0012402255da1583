"""Operating characteristics of a sequential plan: exact probabilities of stopping, expected pairs.

They are a sum over all paths, without simulation. The state after a look is (n10, n01). Tables at which
the run stops are removed, and the pairs until the next look are a trinomial convolution. Counts with a
probability below 10⁻¹² are left out.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
import numpy.typing as npt

from vla_eval.stats._numeric import Array
from vla_eval.stats.design import PairedCase
from vla_eval.stats.exact import binomial_pmf, largest_losses
from vla_eval.stats.power import guarded_critical_score
from vla_eval.stats.sequential import SequentialPlan

__all__ = ["Operating", "guarded_bounds", "operating_characteristics"]

_RARE = 1e-12

type Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Operating:
    """Operating characteristics of a plan of looks, for given true probabilities."""

    certified: float
    """Probability that the claim is certified at some look."""
    futile: float
    """Probability that the run stops early without a certificate."""
    pairs: float
    """Expected number of pairs when the run stops."""
    stops: tuple[float, ...]
    """Probability of stopping at each look, for either reason."""


@cache
def guarded_bounds(plan: SequentialPlan) -> tuple[float, ...]:
    """Return for each look the score from which on Tango's and the exact test pass at its level.

    Infinite if no table of that size can pass.
    """
    return tuple(
        guarded_critical_score(size, margin=plan.margin, alpha=level)
        for size, level in zip(plan.sizes, plan.levels, strict=True)
    )


def operating_characteristics(
    plan: SequentialPlan, case: PairedCase, *, guard: bool = True
) -> Operating:
    """Return the exact operating characteristics of a plan.

    Args:
        plan: looks, margin and alpha.
        case: the true probabilities.
        guard: certify only if the exact test agrees, as certificates do.
    """
    bounds = guarded_bounds(plan) if guard else plan.bounds
    p10, p01 = max(0.0, case.p10), max(0.0, case.p01)
    state: Array = np.ones((1, 1))
    certified = futile = pairs = 0.0
    stops = []
    before = 0
    for look, (size, bound) in enumerate(zip(plan.sizes, bounds, strict=True), start=1):
        state = _convolved(state, _trinomial(size - before, p10, p01))
        passing = _at_least(state, size, bound, plan.margin)
        below = ~_at_least(state, size, 0.0, plan.margin) & plan.may_be_futile(look)
        stopping = passing | below if look < plan.looks else np.ones_like(passing)
        certified += float(state[passing].sum())
        futile += float(state[below].sum())
        stops.append(float(state[stopping].sum()))
        pairs += size * stops[-1]
        state = np.where(stopping, 0.0, state)
        before = size
    return Operating(certified, futile, pairs, tuple(stops))


def _trinomial(n: int, p10: float, p01: float) -> Array:
    """Return P(n10, n01) after n pairs, without counts of negligible probability."""
    rows = _reach(n, p10)
    columns = _reach(n, p01)
    wins, losses = np.arange(rows)[:, None], np.arange(columns)[None, :]
    given = binomial_pmf(
        np.minimum(losses, n - wins), n - wins, min(1.0, p01 / max(1e-300, 1 - p10))
    )
    return np.asarray(binomial_pmf(wins, n, p10) * np.where(losses <= n - wins, given, 0.0))


def _reach(n: int, p: float) -> int:
    """Return the number of counts, from 0, after which the probability is negligible."""
    weights = binomial_pmf(np.arange(n + 1), n, p)
    return int(np.flatnonzero(weights > _RARE).max()) + 1


def _convolved(state: Array, step: Array) -> Array:
    from scipy.signal import fftconvolve

    return np.asarray(np.maximum(0.0, fftconvolve(state, step)), dtype=np.float64)


def _at_least(state: Array, size: int, z: float, margin: float) -> Bools:
    """Return a mask of the tables with a score of at least z."""
    if not np.isfinite(z):
        return np.zeros(state.shape, dtype=bool)
    losses = largest_losses(z, size, delta=-margin)[: state.shape[0]]
    return np.arange(state.shape[1])[None, :] <= losses[:, None]
