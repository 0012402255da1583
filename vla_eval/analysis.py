"""The analysis plan of a protocol: what is judged, against which margin, by which test."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from vla_eval.bounds import Alpha, Margin
from vla_eval.files.jsonfile import ArmName
from vla_eval.recipes import RecipePlan
from vla_eval.stats import ClusterTest

__all__ = ["Analysis", "BreakEven", "Measure", "Resize", "Secondary"]

Measure = Literal["score", "time-to-success"]
Secondary = Literal[
    "success rate by task", "mean score", "mean score by task", "latency", "tasks like these"
]
Positive = Annotated[int, Field(ge=1, le=1_000_000)]
Weight = Annotated[float, Field(gt=0, le=1e6)]


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


class Resize(_Frozen):
    """A rule that sets the number of pairs once, from how many of the first are discordant.

    See :mod:`vla_eval.stats.resizing`. The blocks list all ``at_most`` episodes.
    """

    after: Positive
    """Episodes an arm after which the discordant pairs are counted."""
    planned: Positive
    """Fewest episodes an arm."""
    at_most: Positive
    """Most episodes an arm."""
    power: Annotated[float, Field(gt=0, lt=1)] = 0.8
    """Wanted chance of a certificate if the arms are equally good."""


Ticks = Annotated[int, Field(ge=0, le=10_000)]


class BreakEven(_Frozen):
    """At which delays of the reference the candidate, at one delay, is better and at which it is not.

    See :mod:`vla_eval.judging.break_even`. A sweep over delays judges it.
    """

    candidate: ArmName
    reference: ArmName
    candidate_ticks: Ticks
    """Delay of the candidate in control steps."""
    reference_ticks: Annotated[tuple[Ticks, ...], Field(min_length=2)]
    """Delays of the reference in control steps, rising."""

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if list(self.reference_ticks) != sorted(set(self.reference_ticks)):
            raise ValueError("reference_ticks must rise: their order is the order of the tests")
        if self.candidate == self.reference:
            raise ValueError("candidate and reference are two arms")
        return self


class Analysis(_Frozen):
    """The analysis plan; fixed before the first episode."""

    estimand: Annotated[str, Field(min_length=1)]
    measure: Measure | None = None
    """Value of an episode in [0, 1], see :mod:`vla_eval.judging.measures`; None: its success, 0 or 1."""
    candidate: ArmName | None = None
    """Name of the arm to be certified; None: the command line names it."""
    candidates: tuple[ArmName, ...] | None = None
    """Names of several arms to be certified together, with Holm's levels."""
    reference: ArmName | None = None
    negative_control: ArmName | None = None
    """Name of an arm that must fail, to show that the run could have told a difference."""
    as_fast: ArmName | None = None
    """Name of an arm with the reference's policy and the candidate's latency, in virtual time: it splits the
    difference into what the method costs and what latency costs the reference."""
    margin: Margin
    """Non-inferiority margin on the mean of the measure, as a fraction of its range."""
    margin_reason: Annotated[str, Field(min_length=1)]
    alpha: Alpha = 0.05
    """One-sided level."""
    test: Literal["tango-exact"] = "tango-exact"
    """Test of independent pairs: Tango's score test with the exact unconditional guard."""
    strata: Literal["none", "task"] = "none"
    """``task``: tasks have equal weights, even with different numbers of episodes."""
    weights: Mapping[str, Weight] | None = None
    """Weights of the tasks, by ``suite/task`` and in any unit; needs ``strata = "task"``."""
    task_margin: Margin | None = None
    """The guard rail: largest loss on a single task, as a fraction (:mod:`vla_eval.judging.guardrail`)."""
    cluster: Literal["none", "initial-state"] = "none"
    """``initial-state``: states are independent, but repeats of one state are not."""
    cluster_test: ClusterTest | None = None
    """Test of repeats, see :mod:`vla_eval.stats.clusters`; None: ``both``."""
    stopping: Literal["fixed", "obrien-fleming-5"] = "fixed"
    """``obrien-fleming-5``: five looks, see :mod:`vla_eval.judging.looks`."""
    within_steps: tuple[Positive, ...] | None = None
    """Times in control steps, rising, at which success is compared in virtual time besides the claim
    (:mod:`vla_eval.judging.curves`); None: the quarters of the time limit."""
    break_even: BreakEven | None = None
    """What a sweep over delays judges; None: nothing."""
    secondary: tuple[Secondary, ...] = ()
    """Secondary results in a certificate; they carry no claim."""
    resize: Resize | None = None
    """Blinded re-estimation of the number of pairs; None: the number is fixed, or has looks."""
    recipe: RecipePlan | None = None
    """The claim is about two recipes, over their training seeds; None: about two arms."""

    @model_validator(mode="after")
    def _rising_times(self) -> Self:
        times = self.within_steps
        if times is not None and (not times or list(times) != sorted(set(times))):
            raise ValueError("within_steps must hold rising numbers of control steps, at least one")
        return self

    @model_validator(mode="after")
    def _break_even_of_whole_runs(self) -> Self:
        decided = self.stopping != "fixed" or self.resize is not None
        if self.break_even is not None and decided:
            raise ValueError(
                "break_even compares runs of one size: leave out stopping and resize, or break_even"
            )
        return self

    @model_validator(mode="after")
    def _nothing_for_successes_only(self) -> Self:
        if self.measure is None:
            return self
        asked = {
            "cluster_test": self.cluster_test is not None,
            "weights": self.weights is not None,
            "task_margin": self.task_margin is not None,
            "candidates": self.candidates is not None,
            "resize": self.resize is not None,
            "recipe": self.recipe is not None,
            "stopping": self.stopping != "fixed",
            "secondary 'tasks like these'": "tasks like these" in self.secondary,
        }
        for name, given in asked.items():
            if given:
                raise ValueError(
                    f"{name} is computed for successes only: leave it out, or measure = "
                    f"'{self.measure}'"
                )
        return self
