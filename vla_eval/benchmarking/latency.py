"""Latency of a policy for one chunk, its parts (prefix and steps), and the speed-up of fewer steps."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from time import perf_counter
from urllib.parse import quote

import numpy as np

from vla_eval.benchmarking.machine import forget_peak, peak_mb
from vla_eval.environment import Observation
from vla_eval.policy import ActionChunk, Context, Policy, WarmUps, end_episode
from vla_eval.spec import PolicySpec
from vla_eval.stats.amdahl import AmdahlFit, amdahl_fit

__all__ = ["Inferences", "Latency", "fits", "inferences", "measure", "with_options"]

_FEWEST = 3


@dataclass(frozen=True)
class Latency:
    """Wall times of one configuration in milliseconds; quantiles are (p50, p95, p99)."""

    dtype: str | None
    device: str | None
    batch: int
    nfe: int
    repeats: int
    warm_up_ms: float
    """Time of the first inference; no other number includes it."""
    total_ms: tuple[float, float, float]
    """Time of one call of ``infer``, with the policy's work before and after the model."""
    prefix_ms: tuple[float, float, float]
    denoise_ms: tuple[float, float, float]
    memory_mb: float
    """Largest memory so far: the accelerator's if the policy uses one, else resident memory."""


def with_options(spec: str, **options: str | int) -> str:
    """Return a spec with some of its options replaced."""
    parsed = PolicySpec.parse(spec)
    merged = {**parsed.options, **{name: str(value) for name, value in options.items()}}
    head = spec.partition("?")[0]
    query = "&".join(f"{name}={quote(value, safe='/:,')}" for name, value in merged.items())
    return f"{head}?{query}" if query else head


def measure(
    policy: Policy,
    samples: Sequence[tuple[Observation, Context]],
    *,
    repeats: int = 30,
    budget_s: float = 30.0,
) -> Latency:
    """Measure a policy on a batch.

    Args:
        policy: a freshly built policy, because its first inference is the warm-up.
        samples: one observation and context for each member of the batch.
        repeats: number of measurements after the warm-up.
        budget_s: time after which to stop early, but after three repeats at least.
    """
    forget_peak()
    timed = inferences(policy, samples, repeats=repeats, budget_s=budget_s)
    chunks = timed.chunks
    metadata = policy.metadata
    return Latency(
        dtype=metadata.dtype,
        device=metadata.device,
        batch=len(samples),
        nfe=chunks[-1].nfe,
        repeats=len(timed.total_ms),
        warm_up_ms=round(timed.warm_up_ms, 3),
        total_ms=_quantiles(timed.total_ms),
        prefix_ms=_quantiles([chunk.prefix_ms for chunk in chunks]),
        denoise_ms=_quantiles([chunk.denoise_ms for chunk in chunks]),
        memory_mb=peak_mb(metadata.device),
    )


@dataclass(frozen=True)
class Inferences:
    """Equal inferences, one after the other."""

    warm_up_ms: float
    chunks: Sequence[ActionChunk]
    """The first chunk of each inference after the warm-up."""
    total_ms: Sequence[float]
    """Wall time of each."""


def inferences(
    policy: Policy,
    samples: Sequence[tuple[Observation, Context]],
    *,
    repeats: int,
    budget_s: float,
) -> Inferences:
    """Warm a policy up and time its inferences; the arguments are those of `measure`."""
    warm_up_ms = _warm_up(policy, samples)
    chunks, totals = _repeat(policy, samples, repeats, budget_s)
    for _, context in samples:
        end_episode(policy, context.key, None)
    return Inferences(warm_up_ms, chunks, totals)


def _warm_up(policy: Policy, samples: Sequence[tuple[Observation, Context]]) -> float:
    """Make the first inference, by ``warm_up`` if the policy has it; return its time in ms."""
    observation, context = samples[0]
    warm_ups = WarmUps(len(samples))
    start = perf_counter()
    if warm_ups.needed(policy, observation):
        warm_ups.run(policy, observation, context)
    else:
        policy.infer([shown for shown, _ in samples], [context for _, context in samples])
    return 1e3 * (perf_counter() - start)


def _repeat(
    policy: Policy,
    samples: Sequence[tuple[Observation, Context]],
    repeats: int,
    budget_s: float,
) -> tuple[list[ActionChunk], list[float]]:
    """Return the first chunk of each inference, and the inference's time in ms."""
    observations = [observation for observation, _ in samples]
    chunks: list[ActionChunk] = []
    totals: list[float] = []
    begun = perf_counter()
    for i in range(repeats):
        if i >= _FEWEST and perf_counter() - begun > budget_s:
            break
        now = [dataclasses.replace(context, chunk_index=i) for _, context in samples]
        start = perf_counter()
        chunks.append(policy.infer(observations, now)[0])
        totals.append(1e3 * (perf_counter() - start))
    return chunks, totals


def fits(measured: Sequence[Latency]) -> list[tuple[Latency, AmdahlFit]]:
    """Fit T(N) = p + e N to the medians of each dtype and batch with two or more numbers of steps."""
    groups: dict[tuple[str | None, int], list[Latency]] = {}
    for latency in measured:
        groups.setdefault((latency.dtype, latency.batch), []).append(latency)
    fitted = []
    for group in groups.values():
        nfes = [latency.nfe for latency in group]
        if len(set(nfes)) >= 2:
            fit = amdahl_fit(nfes, [latency.total_ms[0] for latency in group])
            fitted.append((group[0], fit))
    return fitted


def _quantiles(values: Sequence[float]) -> tuple[float, float, float]:
    p50, p95, p99 = np.percentile(values, [50, 95, 99])
    return round(float(p50), 3), round(float(p95), 3), round(float(p99), 3)
