"""A policy's latency over numbers of steps, batches and dtypes, and the line through it."""

from __future__ import annotations

import dataclasses
import gc
from collections.abc import Sequence
from typing import Any

from vla_eval.benchmarking.latency import Latency, fits, measure, with_options
from vla_eval.benchmarking.machine import hardware
from vla_eval.environment import Observation, make_env
from vla_eval.errors import PolicySpecError, UsageError
from vla_eval.inspection import representatives
from vla_eval.policy import Context, Exemplifies, Policy, ability
from vla_eval.policy_check import first_inference
from vla_eval.spec import build_policy
from vla_eval.stats.amdahl import AmdahlFit

__all__ = ["measure_policy", "samples_of"]

_NFES = (1, 2, 5, 10)


def measure_policy(
    spec: str,
    *,
    nfes: Sequence[int] = (),
    batches: Sequence[int] = (1,),
    dtypes: Sequence[str] = (),
    suite: str | None = None,
    repeats: int = 30,
) -> dict[str, Any]:
    """Return latencies for every number of steps, batch and dtype, and the line through them.

    Args:
        spec: the policy's spec.
        nfes: function evaluations to try; empty means 1, 2, 5 and 10 if the policy has a solver.
        batches: numbers of observations at a time.
        dtypes: dtypes of the model; empty means the spec's.
        suite: suite that gives the observation; None: the policy generates one if it can.
        repeats: number of measurements of each configuration.

    Raises:
        PolicySpecError: the policy cannot be built.
        UsageError: a number is below 1, or there is no suite and the policy generates no observation.
    """
    if min((*nfes, *batches, repeats), default=1) < 1:
        raise UsageError("--nfe, --batch and --repeats must be at least 1")
    measured: list[Latency] = []
    refused: list[str] = []
    samples: list[tuple[Observation, Context]] = []
    for dtype in dtypes or (None,):
        base = spec if dtype is None else with_options(spec, dtype=dtype)
        policy = build_policy(base)
        if not samples:
            samples = samples_of(policy, suite, max(batches))
        tried: list[int | None] = list(nfes or (_NFES if policy.metadata.solver else ()))
        del policy
        for nfe in tried or [None]:
            gc.collect()  # the model before this one
            try:
                policy = build_policy(base if nfe is None else with_options(base, nfe=nfe))
            except PolicySpecError as error:
                refused.append(str(error))
                continue
            measured += [measure(policy, samples[:size], repeats=repeats) for size in batches]
            del policy
    return {
        "policy": spec,
        "hardware": hardware(),
        "observation": suite or "made up",
        "latencies": [_row(latency) for latency in measured],
        "fits": [_fit(first, fit) for first, fit in fits(measured)],
        "refused": refused,
    }


def _row(latency: Latency) -> dict[str, Any]:
    """Return a latency with the observations that it serves per second."""
    per_s = 1e3 * latency.batch / latency.total_ms[0] if latency.total_ms[0] else None
    return {**dataclasses.asdict(latency), "per_s": None if per_s is None else round(per_s, 1)}


def samples_of(policy: Policy, suite: str | None, count: int) -> list[tuple[Observation, Context]]:
    """Return observations with their contexts: a suite's, or examples that the policy generates.

    Raises:
        UsageError: there is no suite, and the policy generates no observation.
    """
    maker = ability(policy, Exemplifies)
    if suite is None and maker is not None:
        return [maker.example(seed) for seed in range(count)]
    if suite is None:
        raise UsageError("this policy makes up no observations: say whose to use with --suite")
    ((chosen, _),) = representatives([suite])
    task = chosen.tasks[0]
    env = make_env(task.env_id, {})
    try:
        return [
            first_inference(policy, chosen.name, task.name, env, state) for state in range(count)
        ]
    finally:
        env.close()


def _fit(first: Latency, fit: AmdahlFit) -> dict[str, Any]:
    return {
        "dtype": first.dtype,
        "batch": first.batch,
        "prefix_ms": round(fit.prefix_ms, 3),
        "prefix_interval_ms": _rounded(fit.prefix_interval()),
        "step_ms": round(fit.step_ms, 3),
        "step_interval_ms": _rounded(fit.step_interval()),
        "residual_ms": round(fit.residual_ms, 3),
        "speedup_10_to_1": round(fit.speedup(10), 3),
        "speedup_interval": _rounded(fit.speedup_interval(10)),
    }


def _rounded(interval: tuple[float, float] | None) -> list[float | None] | None:
    if interval is None:
        return None
    return [None if abs(bound) == float("inf") else round(bound, 3) for bound in interval]
