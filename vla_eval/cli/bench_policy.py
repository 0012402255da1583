"""The output of ``vlaeval bench policy SPEC``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from vla_eval.cli.common import print_table, say, say_folded

if TYPE_CHECKING:
    from vla_eval.realtime.profile import ProfileFile

__all__ = ["print_latencies", "print_profile"]

_PERCENTS = (0, 5, 50, 95, 99, 100)


def print_latencies(result: dict[str, Any]) -> None:
    """Print the result of :func:`vla_eval.benchmarking.policy.measure_policy`."""
    machine = result["hardware"]
    where = machine["accelerator"] or f"{machine['processor']}, {machine['threads']} threads"
    say_folded([result["policy"], f"on {where}; ms, p50 / p95 / p99", ""])
    rows = [["dtype", "batch", "nfe", "total", "prefix", "steps", "per s", "first", "MB"]]
    print_table([*rows, *map(_row, result["latencies"])])
    for fit in result["fits"]:
        say()
        say_folded(_fit_lines(fit))
    for refused in result["refused"]:
        say_folded([f"! {refused}"])


def _row(latency: dict[str, Any]) -> list[str]:
    return [
        str(latency["dtype"] or "-").replace("float", "f"),
        str(latency["batch"]),
        str(latency["nfe"]),
        " / ".join(f"{value:.1f}" for value in latency["total_ms"]),
        f"{latency['prefix_ms'][0]:.1f}",
        f"{latency['denoise_ms'][0]:.1f}",
        "-" if latency["per_s"] is None else f"{latency['per_s']:.1f}",
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


def print_profile(profile: ProfileFile) -> None:
    """Print quantiles in ms, and the ticks of typical and slow inferences."""
    from vla_eval.planning.machines import RATES_HZ, ticks_at

    parts = {"total": profile.total_us, "prefix": profile.prefix_us, "steps": profile.denoise_us}
    say_folded(
        [
            f"{profile.policy}, {profile.dtype or 'dtype unknown'}",
            f"on {profile.machine}, {profile.measured_on}: {profile.inferences} inferences, ms",
            *([f"from records of {profile.replayed_run}"] if profile.replayed_run else []),
            "",
        ]
    )
    print_table(
        [
            ["quantile", *(f"{percent} %" for percent in _PERCENTS)],
            *(
                [label, *(f"{quantiles[percent] / 1e3:.1f}" for percent in _PERCENTS)]
                for label, quantiles in parts.items()
                if quantiles is not None
            ),
            *(
                [f"ticks, {rate} Hz"]
                + [str(ticks_at(profile.total_us[percent])[str(rate)]) for percent in _PERCENTS]
                for rate in RATES_HZ
            ),
        ]
    )
