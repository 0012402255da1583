"""Error rates and coverage of means: partial credit and latency, by simulation with fixed seeds."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
from bars import Bar

from vla_eval.stats import PairedScores, latency_ratio


def bars() -> Iterator[Bar]:
    """Yield all bars of this module."""
    yield from partial_credit()
    yield from latency()


def partial_credit(reps: int = 20_000) -> Iterator[Bar]:
    """Skewed scores of five levels at the margin: Student's t, plain and with the stricter level."""
    levels = np.linspace(0, 1, 5)
    old_p, new_p = (
        np.array([0.04, 0.02, 0.02, 0.04, 0.88]),
        np.array([0.07, 0.04, 0.03, 0.04, 0.82]),
    )
    margin = float(levels @ (old_p - new_p))
    for n in (10, 50, 100, 200):
        rng = np.random.default_rng(80 + n)
        raw = strict = 0
        for _ in range(reps):
            scores = PairedScores(rng.choice(levels, n, p=new_p) - rng.choice(levels, n, p=old_p))
            raw += scores.interval(alpha=0.10, corrected=False)[0] > -margin
            strict += scores.interval(alpha=0.10)[0] > -margin
        few = n < 50  # too few for t, which is why certificates ask for 50
        yield Bar(f"error, t on scores, N = {n}", raw / reps, high=0.068, control=few)
        if few:
            continue
        yield Bar(f"error, t on scores at .8 alpha, N = {n}", strict / reps, high=0.057)


def latency(reps: int = 10_000) -> Iterator[Bar]:
    """Runs differ by 3 %, chunks by 15 %: runs are the sample, chunks are not."""
    chunks = 100
    for runs in (5, 10):
        rng = np.random.default_rng(90 + runs)
        naive = covered = 0
        for rep in range(reps):
            level = rng.normal(0, 0.03, (2, runs, 1))
            new, old = np.exp(level + rng.normal(0, 0.15, (2, runs, chunks)))
            low, high = latency_ratio(list(new), list(old)).interval
            covered += low <= 1 <= high
            if rep < 2000:
                logs = np.log(new).ravel() - np.log(old).ravel()
                half = 1.96 * logs.std(ddof=1) / math.sqrt(logs.size)
                naive += abs(logs.mean()) <= half
        yield Bar(f"coverage, latency ratio, {runs} runs", covered / reps, low=0.935, high=0.965)
        yield Bar(
            f"coverage, latency from chunks, {runs} runs", naive / 2000, low=0.935, control=True
        )
