"""Latency: quantiles of an arm, and the ratio of two arms over process runs.

Inferences of one process share random conditions (memory layout, clock, other load), so an interval
needs several process runs: calls of ``vlaeval run`` on one folder, for example shards. In every process
run the arms are interleaved episode by episode, and it gives one log ratio (Student's t on these).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from vla_eval.certificate.evidence import Evidence
from vla_eval.certificate.model import ArmLatency, ProcessRunRatio
from vla_eval.judging.timings import inference_ms
from vla_eval.record import EpisodeRecord
from vla_eval.stats import latency_ratio

__all__ = ["arm_latency", "latency_ratios", "median_speedup"]

_FEWEST = 10
"""Fewest inferences of each arm for which a process run counts."""


def arm_latency(records: Sequence[EpisodeRecord]) -> ArmLatency | None:
    """Return quantiles over all inferences that count (:mod:`vla_eval.judging.timings`)."""
    times = inference_ms(records)
    if not times:
        return None
    p50, p95, p99 = np.quantile(times, (0.50, 0.95, 0.99))
    return ArmLatency(
        p50_ms=float(p50), p95_ms=float(p95), p99_ms=float(p99), inferences=len(times)
    )


def median_speedup(evidence: Evidence) -> float | None:
    """Return the reference's median over the candidate's, from all process runs together."""
    ours = arm_latency(list(evidence.finals[evidence.roles.candidate].values()))
    theirs = arm_latency(list(evidence.finals[evidence.roles.reference].values()))
    if ours is None or theirs is None or ours.p50_ms <= 0:
        return None
    return theirs.p50_ms / ours.p50_ms


def latency_ratios(evidence: Evidence) -> tuple[ProcessRunRatio, ...]:
    """Return the ratio candidate over reference at three quantiles; empty with fewer than two runs."""
    ours, theirs = (
        _by_session(evidence, name) for name in (evidence.roles.candidate, evidence.roles.reference)
    )
    shared = [session for session in sorted(ours) if session in theirs]
    if len(shared) < 2:
        return ()
    ratios = [
        latency_ratio(
            [ours[session] for session in shared],
            [theirs[session] for session in shared],
            quantile=quantile,
        )
        for quantile in (0.50, 0.95, 0.99)
    ]
    return tuple(
        ProcessRunRatio(
            quantile=ratio.quantile, ratio=ratio.ratio, interval95=ratio.interval, runs=ratio.runs
        )
        for ratio in ratios
    )


def _by_session(evidence: Evidence, arm: str) -> dict[str, list[float]]:
    """Return an arm's inference times in ms for each process run that has enough of them."""
    sessions: dict[str, list[float]] = {}
    for key, record in evidence.finals[arm].items():
        sessions.setdefault(evidence.sessions.get((arm, key), ""), []).extend(
            inference_ms([record])
        )
    return {
        session: values
        for session, values in sessions.items()
        if len(values) >= _FEWEST and min(values) > 0
    }
