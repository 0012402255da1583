"""What ``vlaeval bench policy SPEC`` measures and prints."""

from __future__ import annotations

import dataclasses
import gc
from collections.abc import Sequence
from typing import Any

from vla_eval.cli.common import print_json, print_table, say
from vla_eval.environment import Observation, make_env
from vla_eval.errors import EXIT_COMPLETE, PolicySpecError, UsageError
from vla_eval.inspection import representatives
from vla_eval.latency import Latency, fits, hardware, measure, with_options
from vla_eval.policy import Context, Exemplifies, Policy, ability
from vla_eval.policy_check import first_inference
from vla_eval.spec import build_policy
from vla_eval.stats.amdahl import AmdahlFit
from vla_eval.summary.text import fold

__all__ = ["bench_policy", "measure_policy"]

_NFES = (1, 2, 5, 10)


def bench_policy(
    spec: str,
    *,
    nfes: Sequence[int],
    batches: Sequence[int],
    dtypes: Sequence[str],
    suite: str | None,
    repeats: int,
    json: bool,
) -> int:
    """Measure a policy, and print a table or JSON."""
    result = measure_policy(
        spec, nfes=nfes, batches=batches, dtypes=dtypes, suite=suite, repeats=repeats
    )
    if json:
        print_json(result)
    else:
        _print(result)
    return EXIT_COMPLETE


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
        spec: the policy.
        nfes: function evaluations to try; none means 1, 2, 5 and 10 where the policy has a solver.
        batches: how many observations at a time.
        dtypes: of the model; none leaves it to the spec.
        suite: whose first observation to use; None lets the policy make one up if it can.
        repeats: how often each configuration is measured.

    Raises:
        PolicySpecError: the policy cannot be built.
    """
    measured: list[Latency] = []
    refused: list[str] = []
    samples: list[tuple[Observation, Context]] = []
    for dtype in dtypes or (None,):
        base = spec if dtype is None else with_options(spec, dtype=dtype)
        policy = build_policy(base)
        if not samples:
            samples = _samples(policy, suite, max(batches))
        tried: list[int | None] = list(nfes or (_NFES if policy.metadata.solver else ()))
        del policy
        for nfe in tried or [None]:
            gc.collect()  # the model before this one
            try:
                policy = build_policy(base if nfe is None else with_options(base, nfe=nfe))
            except PolicySpecError as error:
                refused.append(str(error))
                continue
            measured += [measure(policy, samples[:each], repeats=repeats) for each in batches]
            del policy
    return {
        "policy": spec,
        "hardware": hardware(),
        "observation": suite or "made up",
        "latencies": [dataclasses.asdict(each) for each in measured],
        "fits": [_fit(first, fit) for first, fit in fits(measured)],
        "refused": refused,
    }


def _samples(policy: Policy, suite: str | None, count: int) -> list[tuple[Observation, Context]]:
    maker = ability(policy, Exemplifies)
    if suite is None and maker is not None:
        return [maker.example(i) for i in range(count)]
    if suite is None:
        raise UsageError("this policy makes up no observations: say whose to use with --suite")
    ((found, _),) = representatives([suite])
    task = found.tasks[0]
    env = make_env(task.env_id, {})
    try:
        return [
            first_inference(policy, found.name, task.name, env, state) for state in range(count)
        ]
    finally:
        env.close()


def _fit(first: Latency, fit: AmdahlFit) -> dict[str, Any]:
    def rounded(interval: tuple[float, float] | None) -> list[float | None] | None:
        if interval is None:
            return None
        return [None if abs(each) == float("inf") else round(each, 3) for each in interval]

    return {
        "dtype": first.dtype,
        "batch": first.batch,
        "prefix_ms": round(fit.prefix_ms, 3),
        "prefix_interval_ms": rounded(fit.prefix_interval()),
        "step_ms": round(fit.step_ms, 3),
        "step_interval_ms": rounded(fit.step_interval()),
        "residual_ms": round(fit.residual_ms, 3),
        "speedup_10_to_1": round(fit.speedup(10), 3),
        "speedup_interval": rounded(fit.speedup_interval(10)),
    }


def _print(result: dict[str, Any]) -> None:
    machine = result["hardware"]
    where = machine["accelerator"] or f"{machine['processor']}, {machine['threads']} threads"
    for line in (result["policy"], f"on {where}; ms, p50 / p95 / p99", ""):
        say("\n".join(fold(line)))
    rows = [["dtype", "batch", "nfe", "total", "prefix", "steps", "first", "MB"]]
    print_table([*rows, *map(_row, result["latencies"])])
    for fit in result["fits"]:
        say()
        for line in _fit_lines(fit):
            say("\n".join(fold(line)))
    for refused in result["refused"]:
        say("\n".join(fold(f"! {refused}")))


def _row(latency: dict[str, Any]) -> list[str]:
    return [
        str(latency["dtype"] or "-").replace("float", "f"),
        str(latency["batch"]),
        str(latency["nfe"]),
        " / ".join(f"{value:.1f}" for value in latency["total_ms"]),
        f"{latency['prefix_ms'][0]:.1f}",
        f"{latency['denoise_ms'][0]:.1f}",
        f"{latency['warm_up_ms']:.0f}",
        f"{latency['memory_mb']:.0f}",
    ]


def _fit_lines(fit: dict[str, Any]) -> list[str]:
    which = f"{fit['dtype']}, batch {fit['batch']}" if fit["dtype"] else f"batch {fit['batch']}"
    interval = fit["speedup_interval"]
    spread = ""
    if interval is not None:
        upper = "unbounded" if interval[1] is None else f"{interval[1]:.2f}"
        spread = f" (95 % interval {interval[0]:.2f} to {upper})"
    line = f"T(N) = {fit['prefix_ms']:.1f} + {fit['step_ms']:.2f} N ms"
    gain = f"One step instead of ten is at most {fit['speedup_10_to_1']:.2f} times as fast{spread}"
    return [
        f"{which}: {line}, off by {fit['residual_ms']:.2f} ms",
        f"  {gain}, whatever the method.",
    ]
