"""Outlook of a protocol in virtual time: its limits in seconds, its delays in ticks."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from vla_eval.catalog import control_hz
from vla_eval.planning.machines import machine_facts
from vla_eval.protocol import Protocol
from vla_eval.realtime.latency import ticks_of
from vla_eval.realtime.settings import Realtime

__all__ = ["realtime_outlook"]


def realtime_outlook(protocol: Protocol) -> dict[str, Any] | None:
    """Return mode, machine, limits in virtual seconds, and delays; None for a paused protocol.

    Delays are those of one and of ten passes on the machine, and those of arms with a latency of their
    own. Seconds and ticks are None for a suite whose control rate is not known without its simulator.
    """
    settings = protocol.run.realtime
    if settings is None:
        return None
    rates = {block.suite: control_hz(block.suite) for block in protocol.blocks}
    return {
        "mode": settings.mode,
        "merge": settings.merge or ("replace" if settings.mode == "async" else None),
        "jitter": settings.jitter or "none",
        "machine": None if settings.machine is None else machine_facts(settings.machine),
        "limits": [
            {
                "suite": block.suite,
                "control_hz": rates[block.suite],
                "max_steps": block.max_steps,
                "virtual_s": _seconds(block.max_steps, rates[block.suite]),
            }
            for block in protocol.blocks
        ],
        "delays": [
            {
                "whose": whose,
                "latency_us": latency_us,
                "ticks": {
                    suite: None if rate is None else ticks_of(latency_us, rate)
                    for suite, rate in rates.items()
                },
            }
            for whose, latency_us in _latencies(settings)
        ],
    }


def _seconds(steps: int, rate_hz: float | None) -> float | None:
    return None if rate_hz is None else steps / rate_hz


def _latencies(settings: Realtime) -> Iterator[tuple[str, int]]:
    if settings.machine is not None:
        for entry in machine_facts(settings.machine)["inferences"]:
            passes = entry["passes"]
            yield f"{passes} pass{'es' if passes > 1 else ''}", entry["latency_us"]
    for name, arm in settings.arms.items():
        if arm.profile is not None:
            yield f"arm {name}, median", arm.profile.median_us
        elif arm.total_us is not None:
            yield f"arm {name}", arm.total_us
