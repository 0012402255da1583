"""What a certificate says of virtual time: mode, machine, delays, and what latency costs the reference."""

from __future__ import annotations

from dataclasses import replace

from pydantic import BaseModel, ConfigDict

from vla_eval.certificate.comparison import Level, compare_arms
from vla_eval.certificate.evidence import Evidence

__all__ = ["Decomposition", "Share", "VirtualArm", "Virtually", "virtually"]

Interval = tuple[float, float]


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class VirtualArm(_Frozen):
    """Latency of one arm, and its consequences; times are virtual."""

    name: str
    inference_us: int
    """Time that an inference is expected to take, in µs."""
    delay: int
    """The same in control steps, rounded up."""
    stalled_share: float
    """Share of control steps without an action of the policy."""
    age_mean: float
    """Mean age of the executed actions: control steps since the observation of their inference."""
    late: int
    """Inferences whose chunk arrived at a stalled robot, the first of each episode apart."""
    inferences: int


class Share(_Frozen):
    """One part of the difference, candidate minus reference."""

    difference: float
    ci95: Interval


class Decomposition(_Frozen):
    """Candidate minus reference = cost of the method + cost of latency."""

    as_fast: str
    """The arm with the reference's policy and the candidate's latency."""
    method: Share
    """Candidate minus the reference as fast: what the method costs at equal latency."""
    latency: Share
    """The reference as fast minus the reference: what its latency costs the reference."""


class Virtually(_Frozen):
    """The virtual time of a run."""

    mode: str
    merge: str | None
    """Merge of asynchronous execution; None: blocking."""
    machine: str | None
    """Name of the declared machine; None: every arm has a latency of its own."""
    jitter: bool
    measured: bool
    """Whether the latency of every arm is a measured profile."""
    horizon: int | None
    """Execution horizon; None: each policy's own."""
    arms: tuple[VirtualArm, ...]
    decomposition: Decomposition | None

    @property
    def sentence(self) -> str:
        """The conditions in words, for the claim."""
        how = "the robot waits" if self.merge is None else f"asynchronous, {self.merge}"
        horizon = "each policy's own horizon" if self.horizon is None else f"horizon {self.horizon}"
        where = f" on {self.machine}" if self.machine else ""
        arms = ", ".join(
            f"'{arm.name}' {arm.inference_us / 1000:g} ms = {arm.delay} control steps"
            for arm in self.arms[:2]
        )
        return f"in virtual time{where} ({how}, {horizon}; {arms})"


def virtually(evidence: Evidence, level: Level) -> Virtually | None:
    """Return a certificate's part about virtual time; None for a paused run."""
    settings = evidence.protocol.run.realtime
    if settings is None:
        return None
    names = evidence.roles.shown
    profiled = [name in settings.arms and settings.arms[name].profile is not None for name in names]
    return Virtually(
        mode=settings.mode,
        merge=(settings.merge or "replace") if settings.mode == "async" else None,
        machine=settings.machine.name if settings.machine else None,
        jitter=settings.jitter is not None,
        measured=all(profiled),
        horizon=evidence.protocol.run.n_action_steps,
        arms=tuple(_arm(evidence, name) for name in names),
        decomposition=_decomposition(evidence, level),
    )


def _arm(evidence: Evidence, name: str) -> VirtualArm:
    parts = [record.realtime for record in evidence.arms[name].finals.values() if record.realtime]
    steps = sum(record.steps for record in evidence.arms[name].finals.values())
    acted = [(age, count) for part in parts for age, count in enumerate(part.ages)]
    identity = (evidence.arm(name).identity or {}).get("realtime")
    return VirtualArm(
        name=name,
        inference_us=identity["expected_us"] if isinstance(identity, dict) else 0,
        delay=max((part.expected_delay for part in parts), default=0),
        stalled_share=sum(part.stalled_ticks for part in parts) / max(1, steps),
        age_mean=sum(age * count for age, count in acted) / max(1, sum(n for _, n in acted)),
        late=sum(part.late for part in parts),
        inferences=sum(len(part.delays) for part in parts),
    )


def _decomposition(evidence: Evidence, level: Level) -> Decomposition | None:
    roles = evidence.roles
    if roles.as_fast is None:
        return None
    against = replace(evidence, roles=replace(roles, reference=roles.as_fast, as_fast=None))
    method = compare_arms(against, roles.candidate, level)
    latency = compare_arms(evidence, roles.as_fast, level)
    return Decomposition(
        as_fast=roles.as_fast,
        method=Share(difference=method.difference, ci95=method.ci95),
        latency=Share(difference=latency.difference, ci95=latency.ci95),
    )
