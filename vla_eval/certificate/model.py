"""The certificate as data: all values for a reader, and all values that a verifier recomputes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue

from vla_eval.bounds import Alpha, Margin
from vla_eval.certificate.parts import Family, RunPart, TasksLikeThese
from vla_eval.claims.registration import Registration
from vla_eval.judging.guardrail import GuardRail
from vla_eval.judging.looks import Look
from vla_eval.judging.resizing import Resizing
from vla_eval.judging.virtual import VirtualArm
from vla_eval.released import Standing
from vla_eval.stats import Flag, Verdict

__all__ = [
    "ArmLatency",
    "ArmMean",
    "ArmResult",
    "Assay",
    "Certificate",
    "Comparison",
    "Decomposition",
    "MeanPower",
    "Measured",
    "Power",
    "ProcessRunRatio",
    "Resized",
    "RestrictedTime",
    "Role",
    "Seeds",
    "Sequential",
    "Share",
    "TaskResult",
    "Virtually",
]

Interval = tuple[float, float]
Role = Literal["candidate", "reference", "negative control", "reference as fast"]


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
    """Two arms, paired by episode; the first is the candidate.

    Differences, intervals and p-values are of the protocol's measure, and its higher mean is better; counts
    of pairs, their correlation and failures are of successes.
    """

    candidate: str
    reference: str
    n11: int
    n10: int
    n01: int
    n00: int
    difference: float
    method: str
    """Method of the intervals, see :mod:`vla_eval.judging.methods`."""
    ci90: Interval
    """Interval of level 1 − 2 alpha at alpha = 0.05; in a sequential run, the repeated interval."""
    ci95: Interval
    ci_judged: Interval
    """The judged interval, of level 1 − 2 alpha at the certificate's alpha. If episodes are missing or
    retried, it extends from their worst case to their best."""
    p_worse: float
    """p-value of "worse by the margin or more", one-sided, from a test that keeps its level; missing and
    retried episodes count at their worst. In a sequential run, it is compared with the look's level."""
    e_value: float | None = None
    """e-value against the same hypothesis: e-values of runs on other states may be multiplied, and
    1/product is a p-value, even if earlier results decided whether to continue."""
    p_score: float | None
    """The same p-value by Tango's score, if pairs are independent; it decides nothing."""
    p_different: float
    """Two-sided p-value of "equally often": mid-p McNemar, by state, or at the look."""
    phi: float | None
    """Correlation of the two outcomes over episodes; None if an arm's outcome never varies."""
    discordance: float
    clusters: int | None = None
    """Number of initial states with repeated pairs; None: every pair has its own state."""
    vif: float | None = None
    """Variance inflation by repeating initial states, at least 1. Descriptive; no verdict uses it."""
    icc: float | None = None
    """Correlation of the differences within one initial state."""
    failure_ratio_ci95: tuple[float, float | None]
    """Failures of the candidate over failures of the reference; None: no upper limit."""
    verdict: Verdict
    also: tuple[Verdict, ...] = ()
    observed_verdict: Verdict
    """Verdict from the episodes with a result, as if nothing were missing or retried."""
    tasks: tuple[TaskResult, ...] = ()
    stratified_ci90: Interval | None = None
    """Sensitivity analysis for independent pairs: the stratified score with equal weights for tasks."""
    heterogeneity_q: float | None = None
    """Cochran's Q over tasks."""
    heterogeneity_df: int | None = None
    heterogeneity_p: float | None = None
    """p-value of "the tasks share one distribution of a state's difference", by permutation."""

    @property
    def test(self) -> str:
        """The test behind the p-values, in words."""
        if self.clusters is not None:
            return "tests by state"
        words = {"over runs": "e-values of the runs", "stratified": "bets with the tasks' weights"}
        return words.get(self.method, "exact test")

    @property
    def n(self) -> int:
        """Number of pairs."""
        return self.n11 + self.n10 + self.n01 + self.n00


class Assay(_Frozen):
    """Whether the run can distinguish a bad policy from a good one."""

    grade: Literal["shown", "not shown", "refuted", "not tested"]
    p: float | None
    """p-value of "the control succeeds as often as the reference or more", one-sided; the control's
    failures without valid actions (invalid actions, exceptions) count as successes."""
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
    """Quantile of the inference times of a process run, in [0, 1]."""
    ratio: float
    interval95: Interval
    runs: int
    """Number of process runs with both arms; the interval is reliable from five on."""


class Sequential(_Frozen):
    """The looks of a sequential run; the last one is judged."""

    sizes: tuple[int, ...]
    """Number of pairs at each planned look."""
    bounds: tuple[float, ...]
    """Bound that the score must reach at each look."""
    levels: tuple[float, ...]
    """Level that the exact p-value must not exceed at each look."""
    looks: tuple[Look, ...]
    sentence: str
    """Decision of the last look."""


class Resized(_Frozen):
    """The size of the run, set once from the number of discordant pairs among the first."""

    decision: Resizing
    sentence: str


class Seeds(_Frozen):
    """Repeated seeds, and the spread over them."""

    env_seeds: tuple[int, ...]
    policy_seeds: tuple[int, ...]
    checkpoints: Literal[1] = 1
    """Number of training seeds of each arm."""
    training_sd: None = None
    """Spread over training seeds: not estimable from one checkpoint."""


class Power(_Frozen):
    """Power of the plan at the observed rates."""

    pairs_planned: int
    pairs_expected: float
    """Expected pairs at parity; fewer than planned if the run may stop early."""
    reference_rate: float
    """Shrunk success rate: (successes + 1/2) / (n + 1)."""
    correlation: float
    at_parity: float
    """Probability that the plan certifies a candidate as good as the reference."""
    pairs_for_80: int
    """Number of pairs for which that probability is about 80 %, by formula."""
    smallest_margin_80: float | None
    """Margin that the planned pairs certify at parity with a probability of about 80 %, by formula."""


class MeanPower(_Frozen):
    """Power of the tests of a measure's mean, at this run's spread; simulated with a fixed seed."""

    states_planned: int
    spread: float
    """Standard deviation of the states' differences."""
    at_parity: float
    """Probability that the planned states certify a candidate with the reference's mean."""
    states_for_80: int | None
    """About the number of states for which it is 80 %; None: more than are computed."""


class ArmMean(_Frozen):
    """The measure's mean of one arm."""

    mean: float
    ci95: Interval
    """Interval by bets on initial states."""


class RestrictedTime(_Frozen):
    """Times to success, restricted to the time limit T: a failure counts as T."""

    limit_steps: int | None
    """T in control steps; None: tasks have different limits."""
    control_hz: float | None
    """Control steps a second; None: the protocol does not give it, or tasks differ."""
    grid: tuple[float, ...]
    """Times as a fraction of T, ascending from 0 to 1."""
    solved: Mapping[str, tuple[float, ...]]
    """For each arm the share of its episodes that had succeeded by each time of the grid."""
    mean_steps: Mapping[str, float] | None
    """Mean of min(τ, T) of each arm in control steps; None: tasks have different limits, so that only
    fractions of them are judged."""
    difference_steps: float | None
    """Mean of candidate minus reference in control steps: above 0 the candidate is slower."""
    ci95_steps: Interval | None


class Measured(_Frozen):
    """What is judged in the place of success."""

    name: Literal["score", "time-to-success"]
    arms: Mapping[str, ArmMean]
    power: MeanPower
    time: RestrictedTime | None = None
    """None: the measure is no time."""


class ArmResult(_Frozen):
    """One arm alone."""

    name: str
    role: Role
    spec: str
    identity: Mapping[str, JsonValue]
    n: int
    successes: int
    missing: int
    retried: int
    """Number of results after an attempt that was lost while the policy could affect it."""
    attempts: int
    """Number of attempts of the planned episodes, lost ones included."""
    wilson95: Interval
    """Wilson's 95 % interval; if initial states repeat, from counts divided by the variance inflation."""
    sampling_sd: float
    """SD of the rate over draws of initial states: binomial."""
    rerun_sd: float | None
    """SD of the rate when the same states run again with fresh seeds; None: every state ran once."""
    mean_score: float
    mean_score_by_task: Mapping[str, float]
    steps_mean: float
    nfe_per_inference: float
    clipped_actions: int
    latency: ArmLatency | None


class Share(_Frozen):
    """One part of a difference of two means."""

    difference: float
    ci95: Interval


class Decomposition(_Frozen):
    """Candidate minus reference = what the method costs + what latency costs the reference."""

    as_fast: str
    """The arm with the reference's policy and the candidate's latency."""
    method: Share
    """Candidate minus the reference as fast."""
    latency: Share
    """The reference as fast minus the reference."""


class Virtually(_Frozen):
    """The virtual time of a run."""

    sentence: str
    """Mode, machine and time limit in words."""
    horizon: int | None
    """Execution horizon; None: each policy's own."""
    arms: Mapping[str, VirtualArm]
    decomposition: Decomposition | None


class Certificate(_Frozen):
    """The verdict on one claim."""

    format: Literal[2] = 2
    claim: str
    """The tested sentence, with the tasks, states and seeds that ran."""
    verdict: Verdict
    sentence: str
    """The verdict in words, with its numbers."""
    scope: Literal["checkpoint"] = "checkpoint"
    flags: tuple[Flag, ...]
    details: Mapping[str, str]
    """Details of the flags, by name: counts, arms."""
    margin: Margin
    margin_reason: str
    alpha: Annotated[float, Field(gt=0, lt=0.5)]
    """One-sided level of the claim; in a family of candidates, Holm's level of this one."""
    planned_alpha: Alpha
    """The protocol's level; larger than alpha if the states were used before."""
    attempt: Annotated[int, Field(ge=1, le=10_000)]
    """Number of this candidate among those tried on these states with this reference, by the issuer's
    ledger; from 1."""
    protocol: str
    protocol_sha256: str
    standing: Standing
    """Whether the protocol is a released one."""
    registration: Registration | None
    """Declaration made before the first episode."""
    what_ran: str
    """The tasks, initial states and seeds of the plan, in words."""
    estimand: str
    """The protocol's own words."""
    secondary: tuple[str, ...]
    """Secondary results that the protocol asks for."""
    records_sha256: str
    timings_sha256: str
    run_created_at: str
    first_episode_at: str
    """Start of the first admitted episode; UTC, ISO 8601."""
    last_episode_at: str
    sessions: int
    """Number of calls of ``vlaeval run`` that made the admitted results."""
    comparison: Comparison
    guard_rail: GuardRail | None = None
    """Every task at the protocol's task margin; None: it declares none."""
    tasks_like_these: TasksLikeThese | None = None
    """Secondary result about further tasks; it carries no claim."""
    family: Family | None = None
    """Candidates that were judged together; None: this one was judged alone."""
    runs: tuple[RunPart, ...] = ()
    """Several runs that are judged together; empty: one run."""
    control: Comparison | None
    """The negative control in the candidate's place."""
    assay: Assay
    sequential: Sequential | None
    """None: the number of episodes is fixed by the protocol."""
    resized: Resized | None = None
    """None: the size of the run was not set from its first pairs."""
    arms: tuple[ArmResult, ...]
    seeds: Seeds
    power: Power | None
    """None: the judged measure is not success."""
    virtual: Virtually | None = None
    """Virtual time; None: time stood still while the policies thought."""
    measured: Measured | None = None
    """The judged measure; None: success."""
    latency_ratio: float | None
    """Median inference time of the reference over the candidate's, over all process runs. Descriptive."""
    latency_ratios: tuple[ProcessRunRatio, ...]
    """Ratios at the median, 95 % and 99 %; empty with one process run, which gives no interval."""
    faster: bool | None
    """Whether the whole interval of the ratio of medians is below 1; None: no interval."""
    versions: Mapping[str, str]
    machine: Mapping[str, JsonValue]
    provenance: Mapping[str, JsonValue]
