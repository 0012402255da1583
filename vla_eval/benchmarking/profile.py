"""A policy's distribution of inference times on this machine, for protocols in virtual time."""

from __future__ import annotations

from datetime import UTC, datetime

from vla_eval.benchmarking.latency import inferences
from vla_eval.benchmarking.machine import hardware
from vla_eval.benchmarking.policy import samples_of
from vla_eval.errors import UsageError
from vla_eval.realtime.profile import ProfileFile, quantiles_us, refuse_busy, reported_us
from vla_eval.runs.header import identity_sha256
from vla_eval.spec import build_policy, identity_of

__all__ = ["INFERENCES", "measure_profile"]

INFERENCES = 300
"""Default number of measured inferences."""
_BUDGET_S = 300.0


def measure_profile(
    spec: str, *, suite: str | None = None, repeats: int = INFERENCES, busy: bool = False
) -> ProfileFile:
    """Measure single inferences after warm-up.

    Args:
        spec: the policy's spec.
        suite: suite that gives the observation; None: the policy generates one if it can.
        repeats: number of measured inferences.
        busy: whether to accept the times of a busy machine.

    Raises:
        PolicySpecError: the policy cannot be built.
        UsageError: fewer than one inference, no observation, or the machine was busy.
    """
    if repeats < 1:
        raise UsageError("--repeats must be at least 1")
    policy = build_policy(spec)
    samples = samples_of(policy, suite, 1)
    timed = inferences(policy, samples, repeats=repeats, budget_s=_BUDGET_S)
    metadata = policy.metadata
    profile = ProfileFile(
        hardware=hardware(),
        dtype=metadata.dtype,
        device=metadata.device,
        policy=spec,
        identity_sha256=identity_sha256(identity_of(spec, metadata)),
        measured_on=datetime.now(UTC).date().isoformat(),
        inferences=len(timed.total_ms),
        total_us=quantiles_us(timed.total_ms),
        prefix_us=reported_us([chunk.prefix_ms for chunk in timed.chunks]),
        denoise_us=reported_us([chunk.denoise_ms for chunk in timed.chunks]),
    )
    if not busy:
        refuse_busy(profile, "this machine is", "end other programs and repeat")
    return profile
