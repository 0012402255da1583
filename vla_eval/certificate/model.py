"""The certificate as data: everything that a reader needs, and everything that a verifier recomputes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from pydantic import BaseModel, ConfigDict, JsonValue

from vla_eval.stats import Flag, Verdict

__all__ = ["ArmResult", "Certificate", "Comparison", "Latency", "TaskResult"]

Interval = tuple[float, float]


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class TaskResult(_Frozen):
    """One task's pairs."""

    task: str
    n11: int
    n10: int
    n01: int
    n00: int
    difference: float
    ci90: Interval


class Comparison(_Frozen):
    """Two arms, paired by episode; the first is the one that has to prove itself."""

    candidate: str
    reference: str
    n11: int
    n10: int
    n01: int
    n00: int
    difference: float
    ci90: Interval
    """Level 1 − 2 alpha at alpha = 0.05; Tango."""
    ci95: Interval
    ci_alpha: Interval
    """Level 1 − 2 alpha at the protocol's alpha: the one that is judged."""
    p_noninferior: float
    """One-sided, score test."""
    p_noninferior_exact: float
    """One-sided, exact unconditional: the guard."""
    p_superior_midp: float
    """Two-sided mid-p McNemar."""
    phi: float | None
    """Correlation of the two outcomes over episodes; None where an arm never varies."""
    discordance: float
    clusters: int | None = None
    """How many initial states the pairs are repeats of; None: every pair is a state of its own."""
    vif: float | None = None
    """Variance inflation by repeating initial states, at least 1; intervals are wider by its root."""
    failure_ratio_ci95: tuple[float, float | None]
    """Failures of the candidate over failures of the reference; None: no upper limit."""
    verdict: Verdict
    also: tuple[Verdict, ...] = ()
    tasks: tuple[TaskResult, ...] = ()
    stratified_ci90: Interval | None = None
    """Sensitivity analysis with equal weights for tasks."""
    heterogeneity_p: float | None = None
    worst_case_verdict: Verdict | None = None
    """If every missing candidate episode had failed and every missing reference had succeeded."""


class Latency(_Frozen):
    """Wall time of one inference, over all inferences of an arm."""

    p50_ms: float
    p95_ms: float
    p99_ms: float
    inferences: int


class ArmResult(_Frozen):
    """One arm alone."""

    name: str
    role: Literal["candidate", "reference", "negative control"]
    spec: str
    identity: Mapping[str, JsonValue]
    n: int
    successes: int
    missing: int
    wilson95: Interval
    mean_score: float
    steps_mean: float
    nfe_per_inference: float
    clipped_actions: int
    latency: Latency | None


class Certificate(_Frozen):
    """The verdict on one claim."""

    format: Literal[1] = 1
    claim: str
    """The sentence that was put to the test."""
    verdict: Verdict
    sentence: str
    """The verdict in words, with its numbers."""
    scope: Literal["checkpoint"] = "checkpoint"
    flags: tuple[Flag, ...]
    margin: float
    margin_reason: str
    alpha: float
    protocol: str
    protocol_sha256: str
    modified: bool
    estimand: str
    records_sha256: str
    run_created_at: str
    comparison: Comparison
    control: Comparison | None
    """The negative control in the candidate's place."""
    arms: tuple[ArmResult, ...]
    latency_ratio: float | None
    """Reference over candidate, medians of one inference. Descriptive: one run of the process."""
    versions: Mapping[str, str]
    machine: Mapping[str, JsonValue]
    provenance: Mapping[str, JsonValue]
