"""The certificate of two recipes as data: all that a reader sees and a verifier recomputes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue

from vla_eval.bounds import Alpha, Margin
from vla_eval.certificate.model import ArmResult, Assay
from vla_eval.claims.registration import Registration
from vla_eval.recipes import Design
from vla_eval.released import Standing
from vla_eval.stats import Flag, Verdict

__all__ = [
    "RecipeCertificate",
    "RecipeComparison",
    "RecipeSide",
    "RecipeTask",
    "Retrains",
]

Interval = tuple[float, float]


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class RecipeSide(_Frozen):
    """One recipe: the spread of its success rate over training seeds, apart from that of the episodes."""

    role: Literal["candidate", "reference", "difference"]
    """``difference``: student minus its own teacher, or minus the frozen reference."""
    arms: tuple[str, ...]
    """Its arms, one for each training seed; of a difference, the candidate's."""
    values: tuple[float, ...]
    """Success rate of each checkpoint, tasks weighing the same; or its difference."""
    mean: float
    sd: float | None
    """Standard deviation over training seeds; None for one checkpoint."""
    sd_interval95: Interval | None
    """Interval of that, by χ² with K − 1 degrees of freedom."""
    evaluation_sd: float | None
    """Standard deviation that the finite number of episodes explains, on the same initial states."""
    training_sd: float | None
    """Standard deviation that remains for the training seed; 0 if the episodes explain all."""


class RecipeTask(_Frozen):
    """One task; descriptive."""

    task: str
    states: int
    candidate: float
    """Mean success rate of the candidate's checkpoints."""
    reference: float
    difference: float
    ci90: Interval


class RecipeComparison(_Frozen):
    """Two recipes, or a control and a recipe; the first is the candidate."""

    candidate: tuple[str, ...]
    reference: tuple[str, ...]
    difference: float
    ci90: Interval
    """Interval of level 1 − 2 alpha at alpha = 0.05: the hull of Student's and of the bets'."""
    ci95: Interval
    ci_judged: Interval
    """The judged interval, of level 1 − 2 alpha at the certificate's alpha. If episodes are missing or
    retried, it extends from their worst case to their best."""
    ci90_seeds: Interval
    """Student's interval alone."""
    standard_error: float
    df: float
    """Degrees of freedom over training seeds."""
    states_se: float
    """Standard error over initial states, for these checkpoints."""
    training_se: float
    """Standard error that the training seeds add to that."""
    p_worse: float
    """p-value of "worse by the margin or more": the larger one of both tests; missing and retried
    episodes count at their worst."""
    p_seeds: float
    """The same by Student's t over seeds and states, as observed."""
    p_states: float
    """The same by bets over states, for these checkpoints, as observed."""
    p_different: float
    """Two-sided p-value of "equally often"."""
    verdict: Verdict
    also: tuple[Verdict, ...] = ()
    observed_verdict: Verdict
    """Verdict from the states with all results, as if nothing were missing or retried."""


class Retrains(_Frozen):
    """Training seeds a side that a margin takes, by formula from the observed variances."""

    margin: float
    at_parity: float
    """Probability that as many seeds as here certify a recipe at parity."""
    seeds_for_80: int | None
    """Seeds a side for a probability of 80 %; None: no number of seeds, only more initial states."""


class RecipeCertificate(_Frozen):
    """The verdict on one claim about two recipes."""

    format: Literal[2] = 2
    scope: Literal["recipe"] = "recipe"
    claim: str
    """The tested sentence, with the tasks, states and seeds that ran."""
    verdict: Verdict
    sentence: str
    """The verdict in words, with its numbers."""
    design: Design
    """Relation of the training seeds of the two sides."""
    flags: tuple[Flag, ...]
    details: Mapping[str, str]
    """Details of the flags, by name: counts, arms."""
    margin: Margin
    margin_reason: str
    alpha: Annotated[float, Field(gt=0, lt=0.5)]
    """One-sided level of the verdict."""
    planned_alpha: Alpha
    """The protocol's level; larger than alpha if the states were used before."""
    attempt: Annotated[int, Field(ge=1, le=10_000)]
    """Number of this recipe among those tried on these states with this reference, by the issuer's
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
    states: int
    """Number of initial states, each run by every arm."""
    repeats: int
    """Episodes of each arm in each state."""
    comparison: RecipeComparison
    sides: tuple[RecipeSide, ...]
    """The spread over training seeds: candidate, reference, and the difference where seeds give one."""
    tasks: tuple[RecipeTask, ...]
    control: RecipeComparison | None
    """The negative control, one checkpoint, in the candidate's place."""
    assay: Assay
    retrains: tuple[Retrains, ...]
    """Retrains for the judged margin, and for 5 points if the margin is larger."""
    arms: tuple[ArmResult, ...]
    versions: Mapping[str, str]
    machine: Mapping[str, JsonValue]
    provenance: Mapping[str, JsonValue]

    @property
    def seeds(self) -> tuple[int, int]:
        """Number of training seeds of the candidate and of the reference."""
        return len(self.comparison.candidate), len(self.comparison.reference)
