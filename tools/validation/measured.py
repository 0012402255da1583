"""Coverage of latency ratios, by simulation with fixed seeds."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
from bars import Bar

from vla_eval.stats import latency_ratio


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
