"""The certificate as data: everything that a reader needs, and everything that a verifier recomputes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue

from vla_eval.bounds import Alpha, Margin
from vla_eval.claims.registration import Registration
from vla_eval.judging.looks import Look
from vla_eval.released import Standing
from vla_eval.stats import Flag, Verdict

__all__ = [
    "ArmLatency",
    "ArmResult",
    "Assay",
    "Certificate",
    "Comparison",
    "Power",
    "ProcessRunRatio",
    "Seeds",
    "Sequential",
    "TaskResult",
]

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
    method: str
    """By which the intervals are computed: see :mod:`vla_eval.judging.methods`."""
    ci90: Interval
    """Level 1 − 2 alpha at alpha = 0.05. Of a sequential run the repeated interval."""
    ci95: Interval
    ci_judged: Interval
    """Level 1 − 2 alpha at the certificate's alpha: the one that is judged. Where episodes are missing
    or retried, from their worst case to their best."""
    p_worse: float
    """p-value of "worse by the margin or more", one-sided, of a test that keeps its level; missing and
    retried episodes at their worst. Of a sequential run to be held against the look's level."""
    p_score: float | None
    """The same by Tango's score, where pairs are independent; decides nothing."""
    p_different: float
    """Two-sided p-value of "equally often": mid-p McNemar, by state, or at the look."""
    phi: float | None
    """Correlation of the two outcomes over episodes; None where an arm never varies."""
    discordance: float
    clusters: int | None = None
    """How many initial states the pairs are repeats of; None: every pair is a state of its own."""
    vif: float | None = None
    """Variance inflation by repeating initial states, at least 1. It describes, and judges nothing."""
    icc: float | None = None
    """Correlation of the differences within one initial state."""
    failure_ratio_ci95: tuple[float, float | None]
    """Failures of the candidate over failures of the reference; None: no upper limit."""
    verdict: Verdict
    also: tuple[Verdict, ...] = ()
    observed_verdict: Verdict
    """Of the episodes that have a result, as if nothing were missing or retried."""
    tasks: tuple[TaskResult, ...] = ()
    stratified_ci90: Interval | None = None
    """Sensitivity analysis of independent pairs: the stratified score with equal weights for tasks."""
    heterogeneity_q: float | None = None
    """Cochran's Q over tasks."""
    heterogeneity_df: int | None = None
    heterogeneity_p: float | None = None

    @property
    def n(self) -> int:
        """Pairs."""
        return self.n11 + self.n10 + self.n01 + self.n00


class Assay(_Frozen):
    """Whether the run could have told a bad policy from a good one."""

    grade: Literal["shown", "not shown", "refuted", "not tested"]
    p: float | None
    """p-value of "the control succeeds as often as the reference or more", one-sided; what the control
    failed without acting (invalid actions, exceptions) counts as a success."""
    sentence: str


class ArmLatency(_Frozen):
    """Wall time of one inference, over all inferences of an arm."""

    p50_ms: float
    p95_ms: float
    p99_ms: float
    inferences: int


class ProcessRunRatio(_Frozen):
    """Latency of the candidate over that of the reference; each process run is one observation."""

    quantile: float
    """Of the inferences of a process run."""
    ratio: float
    interval95: Interval
    runs: int
    """Process runs in which both arms ran; from five on the interval deserves trust."""


class Sequential(_Frozen):
    """The looks of a sequential run; the last one is judged."""

    sizes: tuple[int, ...]
    """Pairs at each look that was planned."""
    bounds: tuple[float, ...]
    """What the score has to reach."""
    levels: tuple[float, ...]
    """What the exact p-value must not exceed."""
    looks: tuple[Look, ...]
    sentence: str
    """What the last look decided."""


class Seeds(_Frozen):
    """What was repeated, and what the spread over it is."""

    env_seeds: tuple[int, ...]
    policy_seeds: tuple[int, ...]
    checkpoints: Literal[1] = 1
    """Training seeds of each arm."""
    training_sd: None = None
    """Spread over training seeds: not estimable from one checkpoint."""


class Power(_Frozen):
    """What the plan could have shown, at the rates that were observed."""

    pairs_planned: int
    pairs_expected: float
    """At parity; fewer than planned where the run may stop early."""
    reference_rate: float
    """Shrunk a little: (successes + 1/2) / (n + 1)."""
    correlation: float
    at_parity: float
    """Chance that the plan certifies a candidate that is as good as the reference."""
    pairs_for_80: int
    """Pairs with which that chance is about 80 %, by formula."""
    smallest_margin_80: float | None
    """Margin that the planned pairs certify at parity with a chance of about 80 %, by formula."""


class ArmResult(_Frozen):
    """One arm alone."""

    name: str
    role: Literal["candidate", "reference", "negative control"]
    spec: str
    identity: Mapping[str, JsonValue]
    n: int
    successes: int
    missing: int
    retried: int
    """Results after an attempt that was lost while the policy had a say."""
    attempts: int
    """Attempts of the planned episodes, lost ones included."""
    wilson95: Interval
    """Where initial states repeat, of counts divided by the variance inflation."""
    sampling_sd: float
    """SD of the rate over draws of initial states: binomial."""
    rerun_sd: float | None
    """SD of the rate when the same states run again with fresh seeds; None: each ran once."""
    mean_score: float
    mean_score_by_task: Mapping[str, float]
    steps_mean: float
    nfe_per_inference: float
    clipped_actions: int
    latency: ArmLatency | None


class Certificate(_Frozen):
    """The verdict on one claim."""

    format: Literal[2] = 2
    claim: str
    """The sentence that was put to the test, with what was run."""
    verdict: Verdict
    sentence: str
    """The verdict in words, with its numbers."""
    scope: Literal["checkpoint"] = "checkpoint"
    flags: tuple[Flag, ...]
    details: Mapping[str, str]
    """What a flag means here, by its name: counts, arms."""
    margin: Margin
    margin_reason: str
    alpha: Annotated[float, Field(gt=0, lt=0.5)]
    """One-sided level of the verdict."""
    planned_alpha: Alpha
    """The protocol's; larger than alpha where the states were used before."""
    attempt: Annotated[int, Field(ge=1, le=10_000)]
    """Which candidate this is on these states with this reference, as far as the issuer's ledger knows."""
    protocol: str
    protocol_sha256: str
    standing: Standing
    """Whether the protocol is a released one."""
    registration: Registration | None
    """What was declared before the first episode."""
    what_ran: str
    """The tasks, initial states and seeds of the plan, in words."""
    estimand: str
    """The protocol's own words."""
    secondary: tuple[str, ...]
    """What the protocol wants said besides."""
    records_sha256: str
    timings_sha256: str
    run_created_at: str
    first_episode_at: str
    """Start of the first admitted episode; UTC, ISO 8601."""
    last_episode_at: str
    sessions: int
    """Calls of ``vlaeval run`` that made the admitted results."""
    comparison: Comparison
    control: Comparison | None
    """The negative control in the candidate's place."""
    assay: Assay
    sequential: Sequential | None
    """None: the number of episodes is fixed by the protocol."""
    arms: tuple[ArmResult, ...]
    seeds: Seeds
    power: Power
    latency_ratio: float | None
    """Reference over candidate, medians of one inference over all process runs. Descriptive."""
    latency_ratios: tuple[ProcessRunRatio, ...]
    """At the median, 95 % and 99 %; empty: one process run, from which no interval follows."""
    faster: bool | None
    """Whether the whole interval of the medians' ratio is below 1; None: no interval."""
    versions: Mapping[str, str]
    machine: Mapping[str, JsonValue]
    provenance: Mapping[str, JsonValue]
