"""Size of a fleet: simulators that one policy host can serve, and workers that a run can use.

The model of a host: N simulators in a closed circle. Each executes a chunk, then waits for the next one; the
host takes all that wait, at most ``max_batch``, into one inference. Its time for a batch is measured
(``vlaeval bench policy SPEC --batch 1 2 4 8 16 --json``), and interpolated between the measured batches.
"""

from __future__ import annotations

import heapq
import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from vla_eval.errors import UsageError
from vla_eval.files.jsonfile import read_json
from vla_eval.plan import expand
from vla_eval.planning.outlook import cost_of, horizon_of
from vla_eval.protocol import Protocol

__all__ = ["Curve", "fleet_outlook", "read_curves", "simulators_of"]

SLOWER = 1.25
"""Longest cycle of a simulator among others, as a multiple of its cycle alone."""
EPISODES_A_WORKER = {0.7: 8, 0.8: 20, 0.9: 40}
"""Episodes that each worker needs for a share of its time to be work (benchmarks/schedule.py)."""
_COMMAND = "vlaeval bench policy SPEC --batch 1 2 4 8 16 --json"
_MOST = 1024
_CYCLES = 40


@dataclass(frozen=True)
class Curve:
    """Measured times of a policy by batch, on one machine."""

    policy: str
    hardware: str
    nfe: int
    batches: tuple[int, ...]
    """Numbers of observations in an inference, ascending, from 1."""
    seconds: tuple[float, ...]
    """Median time of such an inference."""

    def latency_s(self, batch: int) -> float:
        """Return the time of an inference of a batch up to the largest measured one."""
        return float(np.interp(batch, self.batches, self.seconds))


def read_curves(file: Path) -> list[Curve]:
    """Read what ``vlaeval bench policy --json`` printed: one curve for each dtype and number of steps.

    Raises:
        UsageError: the file is no such output, or lacks the time of a single observation.
    """
    data = read_json(file, wrong=f"is no output of {_COMMAND}")
    try:
        hardware = data["hardware"]
        where = str(hardware["accelerator"] or hardware["processor"])
        times: dict[tuple[str, int], dict[int, float]] = {}
        for row in data["latencies"]:
            which = str(row["dtype"]), int(row["nfe"])
            times.setdefault(which, {})[int(row["batch"])] = float(row["total_ms"][0]) / 1e3
        curves = [
            Curve(str(data["policy"]), where, nfe, *zip(*sorted(by_batch.items()), strict=True))
            for (_, nfe), by_batch in times.items()
        ]
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise UsageError(f"{file}: is no output of {_COMMAND} ({error!r})") from None
    if not curves or any(curve.batches[0] != 1 or min(curve.seconds) <= 0 for curve in curves):
        raise UsageError(f"{file}: lacks the time of one observation; measure with {_COMMAND}")
    return curves


def fleet_outlook(
    protocol: Protocol,
    curves: Sequence[Curve],
    *,
    arms: int,
    processors: float | None = None,
    gpus: float | None = None,
) -> dict[str, Any]:
    """Return the sizes of a fleet for a protocol, as ``vlaeval plan --json`` prints them.

    Args:
        protocol: what is run.
        curves: measured policies.
        arms: number of policies of the run.
        processors: what the cluster has; None: no cluster was asked.
        gpus: what the cluster has.
    """
    chunk_s, batch = _chunk_s(protocol), protocol.run.max_batch
    episodes = len(expand(protocol)) * arms
    rows = [_row(curve, chunk_s, batch) for curve in curves]
    value: dict[str, Any] = {
        "chunk_s": round(chunk_s, 3),
        "max_batch": batch,
        "episodes": episodes,
        "policies": rows,
        "workers_at_efficiency": {
            f"{share:.0%}": max(1, episodes // each) for share, each in EPISODES_A_WORKER.items()
        },
    }
    if processors is not None:
        least = min((row["simulators"] for row in rows), default=None)
        served = None if least is None or not gpus else int(gpus * least)
        limits = {
            "processors": max(1, int(processors)),
            "episodes": max(1, episodes // EPISODES_A_WORKER[0.7]),
            **({} if served is None else {"policies": max(1, served)}),
        }
        limit = min(limits, key=lambda name: limits[name])
        value["cluster"] = {
            "processors": processors, "gpus": gpus, "workers": limits[limit], "limit": limit,
        }  # fmt: skip
    return value


def _chunk_s(protocol: Protocol) -> float:
    """Return how long a simulator executes a chunk, s: the mean over blocks, at the catalogue's cost."""
    horizon, costs = horizon_of(protocol), [cost_of(block) for block in protocol.blocks]
    return sum(horizon * cost.advance_s + cost.observe_s for cost in costs) / len(costs)


def _row(curve: Curve, chunk_s: float, max_batch: int) -> dict[str, Any]:
    most = min(max_batch, curve.batches[-1])
    return {
        "policy": curve.policy,
        "hardware": curve.hardware,
        "nfe": curve.nfe,
        "inferences_per_s": {
            str(size): round(size / time_s, 1)
            for size, time_s in zip(curve.batches, curve.seconds, strict=True)
        },
        "max_batch": most,
        "simulators": simulators_of(curve, chunk_s, most),
    }


def simulators_of(curve: Curve, chunk_s: float, max_batch: int) -> int:
    """Return the largest number of simulators at one host.

    With batches of 1 it is the number that the host is just busy with; with larger ones their cycles are
    at most `SLOWER` times as long as alone.
    """
    if max_batch == 1:
        return max(1, round(1 + chunk_s / curve.latency_s(1)))
    low, high = 1, 2
    while high < _MOST and _slowdown(curve, high, chunk_s, max_batch) <= SLOWER:
        low, high = high, 2 * high
    while high - low > max(1, low // 16):
        middle = (low + high) // 2
        if _slowdown(curve, middle, chunk_s, max_batch) <= SLOWER:
            low = middle
        else:
            high = middle
    return low


def _slowdown(curve: Curve, simulators: int, chunk_s: float, max_batch: int) -> float:
    """Simulate a host, and return the mean cycle of its simulators as a multiple of a cycle alone."""
    rng = random.Random(0)
    arrivals = [rng.uniform(0, chunk_s) for _ in range(simulators)]
    heapq.heapify(arrivals)
    now_s, waited_s, served = 0.0, 0.0, 0
    while served < _CYCLES * simulators:
        now_s = max(now_s, arrivals[0])
        batch: list[float] = []
        while arrivals and arrivals[0] <= now_s and len(batch) < max_batch:
            batch.append(heapq.heappop(arrivals))
        now_s += curve.latency_s(len(batch))
        served += len(batch)
        for arrived_s in batch:
            waited_s += now_s - arrived_s
            heapq.heappush(arrivals, now_s + chunk_s * rng.uniform(0.5, 1.5))
    return (waited_s / served + chunk_s) / (chunk_s + curve.latency_s(1))
