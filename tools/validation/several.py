"""Several candidates of one run, and several runs of one candidate."""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import cache

import numpy as np
from bars import Bar
from scipy.special import ndtr

from vla_eval.stats import exact_p_above, holm_levels
from vla_eval.stats.bounded import log_wealth

ALPHA = 0.05
MARGIN = 0.10
PAIRS = 100


def candidates(runs: int = 20_000) -> Iterator[Bar]:
    """Several candidates against one reference: the chance of any false certificate, with Holm's levels.

    All candidates lose exactly the margin, independently or with correlated luck (latent normals with
    correlation 0.8), or half of them are as good as the reference. The wrong method gives each 5 %.
    """
    for k in (2, 5, 8):
        for correlation in (0.0, 0.8):
            p_values = _p_values(k, correlation, runs)
            label = f"{k} candidates, {'correlated' if correlation else 'independent'}"
            error = _any_false(p_values, np.ones(k, dtype=bool))
            yield Bar(f"any false certificate, {label}", error, high=ALPHA + 0.004)
            if not correlation:
                each = float(np.mean((p_values <= ALPHA).any(axis=1)))
                yield Bar(
                    f"any false certificate, each at 5 %, {label}",
                    each,
                    high=ALPHA + 0.004,
                    control=True,
                )
        false = np.arange(k) >= k // 2
        p_values = np.where(false, _p_values(k, 0.0, runs), 1e-9)
        error = _any_false(p_values, false)
        yield Bar(f"any false certificate, {k} candidates, half good", error, high=ALPHA + 0.004)


def _p_values(k: int, correlation: float, runs: int) -> np.ndarray:
    """Return exact p-values at the margin, (runs, k): 2 % of the pairs won, 12 % lost."""
    rng = np.random.default_rng(90 + k)
    shared = rng.standard_normal((runs, PAIRS, 1), dtype=np.float32) if correlation else 0.0
    p_values = np.empty((runs, k))
    for candidate in range(k):
        own = rng.standard_normal((runs, PAIRS, 1), dtype=np.float32)
        luck = ndtr(math.sqrt(correlation) * shared + math.sqrt(1 - correlation) * own)[:, :, 0]
        won, lost = (luck > 0.98).sum(axis=1), (luck < 0.12).sum(axis=1)
        p_values[:, candidate] = [_p(int(a), int(b)) for a, b in zip(won, lost, strict=True)]
    return p_values


@cache
def _p(won: int, lost: int) -> float:
    return exact_p_above(won, lost, PAIRS, delta=-MARGIN)


def _any_false(p_values: np.ndarray, false: np.ndarray) -> float:
    levels = np.array([holm_levels(list(row), alpha=ALPHA) for row in p_values])
    return float(np.mean(((p_values <= levels) & false).any(axis=1)))


def continued(runs: int = 20_000) -> Iterator[Bar]:
    """Optional continuation: a further run is made until the candidate is certified, or three are done.

    The candidate loses exactly the margin. E-values are multiplied over the runs; the wrong method
    tests all pairs so far at 5 % after each run. In the last case a run that went badly is followed by a
    smaller one, so that luck weighs more.
    """
    for label, won, sizes in (
        ("50 pairs each", 0.02, (50, 50, 50)),
        ("50 pairs each, no pair is won", 0.0, (50, 50, 50)),
        ("100, 50 and 25 pairs", 0.05, (100, 50, 25)),
    ):
        for most in (2, 3):
            error, repeated = _continued(won, sizes[:most], runs)
            yield Bar(f"error, e-values over up to {most} runs, {label}", error, high=ALPHA)
            if won:
                what = f"error, the exact test after each of up to {most} runs, {label}"
                yield Bar(what, repeated, high=ALPHA, control=True)
    error, _ = _continued(0.02, (60, 60, 60), runs, adaptive=True)
    yield Bar("error, e-values, runs of a size chosen by the results", error, high=ALPHA)


def _continued(
    won: float, sizes: tuple[int, ...], runs: int, *, adaptive: bool = False
) -> tuple[float, float]:
    rng = np.random.default_rng(91)
    certified = repeated = 0
    for _ in range(runs):
        log_e, total, wins, losses, ever, passed = 0.0, 0, 0, 0, False, False
        for size in sizes:
            n = size // 3 if adaptive and log_e < 0 else size
            more, fewer, _ = rng.multinomial(n, (won, won + MARGIN, 1 - 2 * won - MARGIN))
            log_e += _log_e(int(more), int(fewer), n)
            total, wins, losses = total + n, wins + int(more), losses + int(fewer)
            ever = ever or log_e >= math.log(1 / ALPHA)
            passed = passed or (not adaptive and _pooled_p(wins, losses, total) <= ALPHA)
        certified += ever
        repeated += passed
    return certified / runs, repeated / runs


@cache
def _log_e(won: int, lost: int, n: int) -> float:
    return log_wealth(np.repeat([1.0, -1.0, 0.0], (won, lost, n - won - lost)), -MARGIN)


@cache
def _pooled_p(won: int, lost: int, n: int) -> float:
    return exact_p_above(won, lost, n, delta=-MARGIN)
