"""Break-even over delays: fixed sequences of tests, and what happens without them."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from functools import cache

import numpy as np
from bars import Bar
from scipy.special import ndtri

from vla_eval.stats import exact_p_above, fixed_sequence

ALPHA = 0.05
MARGIN = 0.10
PAIRS = 100
RUNS = 20_000
HIGH = ALPHA + 3 * math.sqrt(ALPHA * (1 - ALPHA) / RUNS)
DELAYS = 6
LOST = 0.06
"""Chance that the candidate alone fails in a pair."""


def break_even() -> Iterator[Bar]:
    """A reference at six delays against a candidate at one: the chance of any false statement.

    The statements are "not worse up to" and "better from", each by a fixed sequence at half of 5 %, over 100
    pairs; the luck of a state at the delays is independent, or correlated by 0.8. The truth is as bad as it
    can be for a sequence: its first delay, or the one after a clear tail, is at the border. The wrong methods
    give each sequence the whole level, or take the smallest delay at which a test rejects.
    """
    nothing = (0.0,) * DELAYS
    tail = (0.0,) * 3 + (0.5,) * 3
    gaps = (0.0, 0.5, 0.0, 0.5, 0.0, 0.5)
    border = (MARGIN,) * 5 + (0.0,)
    for name, truth in (
        ("equal at every delay", nothing),
        ("better at the three largest", tail),
        ("better at every second delay", gaps),
        ("at the margin, and equal at the largest", border),
    ):
        for correlation in (0.0, 0.8):
            drawn = _p_values(truth, correlation)
            label = f"{name}, {'correlated' if correlation else 'independent'}"
            yield Bar(f"any false statement, {label}", _errors(*drawn, truth), high=HIGH)
    drawn = _p_values(border, 0.0)
    yield Bar(
        "any false statement, both sequences at 5 %, at the margin, and equal at the largest",
        _errors(*drawn, border, level=ALPHA),
        high=HIGH,
        control=True,
    )
    for name, truth in (("equal at every delay", nothing), ("better at every second delay", gaps)):
        better, _ = _p_values(truth, 0.0)
        false = np.mean([_smallest_is_false(row, truth) for row in better])
        what = f'false "better from", the smallest delay with p below 5 %, {name}'
        yield Bar(what, float(false), high=HIGH, control=True)


def _p_values(truth: Sequence[float], correlation: float) -> tuple[np.ndarray, np.ndarray]:
    """Return p-values of "not better" and of "worse by the margin", each (runs, delays)."""
    rng = np.random.default_rng([95, round(100 * correlation)])
    shared = rng.standard_normal((RUNS, PAIRS), dtype=np.float32) if correlation else 0.0
    sides = []
    for difference in truth:
        own = rng.standard_normal((RUNS, PAIRS), dtype=np.float32)
        luck = math.sqrt(correlation) * shared + math.sqrt(1 - correlation) * own
        won = (luck > ndtri(1 - LOST - difference)).sum(axis=1)
        lost = (luck < ndtri(LOST)).sum(axis=1)
        sides.append([_both(int(a), int(b)) for a, b in zip(won, lost, strict=True)])
    both = np.array(sides).transpose(1, 0, 2)
    return both[:, :, 0], both[:, :, 1]


@cache
def _both(won: int, lost: int) -> tuple[float, float]:
    better = exact_p_above(won, lost, PAIRS, delta=0.0)
    return better, exact_p_above(lost, won, PAIRS, delta=-MARGIN)


def _errors(
    better: np.ndarray, kept_up: np.ndarray, truth: Sequence[float], level: float = ALPHA / 2
) -> float:
    """Return the share of runs with a false statement."""
    false = 0
    for superior, not_worse in zip(better, kept_up, strict=True):
        tail = fixed_sequence(list(superior[::-1]), alpha=level)
        head = fixed_sequence(list(not_worse), alpha=level)
        claims_better = any(truth[DELAYS - 1 - i] <= 0 for i in range(tail))
        claims_kept_up = any(truth[i] >= MARGIN for i in range(head))
        false += claims_better or claims_kept_up
    return false / RUNS


def _smallest_is_false(p_values: np.ndarray, truth: Sequence[float]) -> bool:
    """Whether "better from the smallest delay with p below 5 % on" is false at any delay."""
    found = np.flatnonzero(p_values <= ALPHA)
    return bool(found.size) and any(each <= 0 for each in truth[int(found[0]) :])
