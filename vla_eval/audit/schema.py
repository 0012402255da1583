"""The file of claims: published claims, their places and their counts.

TOML with sources and claims; unknown keys are refused with their path. Percentages are strings, as
printed: their decimals determine the counts that they can represent.
"""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from vla_eval.bounds import Alpha, Margin
from vla_eval.errors import did_you_mean
from vla_eval.stats import grim_counts

__all__ = [
    "Change",
    "ChangeClaim",
    "Claim",
    "ClaimsFile",
    "ErrorClaim",
    "LatencyClaim",
    "PrintedLatency",
    "PrintedSeeds",
    "Rate",
    "RateClaim",
    "RatesClaim",
    "RemarkClaim",
    "SeedsClaim",
    "Source",
    "SpanClaim",
    "SpeedupClaim",
    "TaskRates",
]

Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][\w.-]*$")]
Words = Annotated[str, Field(min_length=1)]
Count = Annotated[int, Field(ge=1, le=1_000_000)]
Positive = Annotated[float, Field(ge=1e-9, le=1e9, allow_inf_nan=False)]
Nfe = Annotated[float, Field(ge=1e-3, le=1e6, allow_inf_nan=False)]
Number = Annotated[str, Field(pattern=r"^-?[0-9]{1,12}(\.[0-9]{1,12})?$")]
"""Number as printed: its decimals are its precision."""
Percent = Annotated[str, Field(pattern=r"^(100(\.0{1,12})?|[0-9]{1,2}(\.[0-9]{1,12})?)$")]
Asserts = Literal["parity", "better", "worse", "unresolved", "nothing"]


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Source(_Frozen):
    """Origin of published numbers."""

    title: Words
    short: Words
    """Short name, for pictures."""
    arxiv: Annotated[str, Field(pattern=r"^\d{4}\.\d{4,5}$")] | None = None
    url: str | None = None
    note: str = ""
    """Remark on the source, for example that it quotes numbers of others."""


class Rate(_Frozen):
    """A success rate: either the successes, or the percentage as printed."""

    name: Words
    n: Count
    successes: Annotated[int, Field(ge=0)] | None = None
    percent: Percent | None = None
    spread: Number | None = None
    """A printed ±, in points."""

    @model_validator(mode="after")
    def _one_of_both(self) -> Self:
        if (self.successes is None) == (self.percent is None):
            raise ValueError("give either successes or percent")
        if self.successes is not None and self.successes > self.n:
            raise ValueError(f"{self.successes} successes in {self.n} episodes cannot be")
        return self

    @property
    def counts(self) -> tuple[int, ...]:
        """Every number of successes that the printed rate can represent; empty: GRIM fails."""
        if self.percent is None:
            return (int(self.successes or 0),)
        return tuple(grim_counts(self.percent, self.n))

    @property
    def count(self) -> float:
        """Number of successes; not whole if the printed rate represents no count, or several."""
        counts = self.counts
        return counts[0] if len(counts) == 1 else float(self.percent or 0) * self.n / 100

    @property
    def rate(self) -> float:
        """Success rate."""
        return self.count / self.n


class TaskRates(_Frozen):
    """One task of a comparison."""

    name: Words
    candidate: Rate
    reference: Rate


class _Claim(_Frozen):
    id: Name
    source: Name
    where: Words
    """Section, table, abstract."""
    says: Words
    """The claim in words."""
    note: str = ""
    """Further facts: confounders, assumed counts."""


class RatesClaim(_Claim):
    """Two success rates."""

    kind: Literal["rates"]
    asserts: Asserts
    """Assertion about the candidate, compared with the reference."""
    candidate: Rate
    reference: Rate
    same_episodes: bool = False
    """Whether both may have run the same episodes, so that an unpublished pairing could matter."""
    pooled_seeds: Count = 1
    """Number of evaluation seeds of one checkpoint on the same initial states that n pools."""
    picked_from: Count = 1
    """Number of comparisons among which this one was the widest: the 95 % interval is Bonferroni's."""
    halves: bool = False
    """Whether the percentages are means of scores 0, ½ and 1, not shares of successes."""
    negative_control: Name | None = None
    """Id of another claim of this file, whose candidate should fail against the same reference."""
    tasks: tuple[TaskRates, ...] = ()


class RateClaim(_Claim):
    """One success rate."""

    kind: Literal["rate"]
    rate: Rate


class PrintedSeeds(_Frozen):
    """Checkpoints of one recipe, from different training seeds."""

    name: Words
    percents: Annotated[tuple[Percent, ...], Field(min_length=1, max_length=10_000)]
    n: Count
    """Episodes of each checkpoint."""


class SeedsClaim(_Claim):
    """A recipe against a recipe, over training seeds."""

    kind: Literal["seeds"]
    asserts: Asserts
    candidate: PrintedSeeds
    reference: PrintedSeeds
    design: Literal["independent", "frozen-reference", "paired"]
    """``frozen-reference``: one reference checkpoint; ``paired``: row k of both belongs together."""

    @model_validator(mode="after")
    def _enough(self) -> Self:
        candidates, references = len(self.candidate.percents), len(self.reference.percents)
        if self.design == "frozen-reference" and (references != 1 or candidates < 2):
            raise ValueError("frozen-reference takes one reference checkpoint, and two candidates")
        if self.design == "paired" and (candidates != references or candidates < 2):
            raise ValueError("paired takes as many candidates as references, at least two")
        if self.design == "independent" and candidates + references < 3:
            raise ValueError("independent takes three checkpoints or more")
        return self


class SpanClaim(_Claim):
    """The spread of one recipe over training seeds: wider than its episodes explain."""

    kind: Literal["span"]
    checkpoints: PrintedSeeds

    @model_validator(mode="after")
    def _enough(self) -> Self:
        if len(self.checkpoints.percents) < 2:
            raise ValueError("a spread over training seeds takes two checkpoints or more")
        return self


class PrintedLatency(_Frozen):
    """The printed time of one chunk."""

    nfe: Nfe
    ms: Positive
    error_ms: Positive | None = None


class LatencyClaim(_Claim):
    """Times of one chunk at one or more numbers of function evaluations, and conclusions from them."""

    kind: Literal["latency"]
    chunk: Annotated[tuple[PrintedLatency, ...], Field(min_length=1)]
    prefix_ms: Positive | None = None
    """Printed time of the prefix; with ``step_ms`` it replaces the fit if there is only one time."""
    step_ms: Positive | None = None
    solver_ms: Positive | None = None
    """Printed time of all evaluations at their largest number."""
    speedup: Number | None = None
    """Printed speed-up from the largest number of evaluations to the smallest."""
    speedup_of: Literal["chunk", "solver"] = "chunk"
    slow_nfe: Nfe = 10
    """Number of evaluations of the slow side of the speed-up."""
    solver_share: Percent | None = None
    """Printed share of the solver at the largest number of evaluations."""


class SpeedupClaim(_Claim):
    """A speed-up without times: its needed prefix is compared with times published by others."""

    kind: Literal["speed-up"]
    speedup: Number
    slow_nfe: Nfe = 10
    fast_nfe: Nfe = 1
    compared_with: Annotated[tuple[Name, ...], Field(min_length=1)]
    """Ids of latency claims of this file."""


class Change(_Frozen):
    """A relative change, as printed."""

    what: Words
    before: Positive
    after: Positive
    percent: Number


class ChangeClaim(_Claim):
    """Relative changes of printed numbers."""

    kind: Literal["change"]
    changes: Annotated[tuple[Change, ...], Field(min_length=1)]


class ErrorClaim(_Claim):
    """A binomial standard error, in points."""

    kind: Literal["standard-error"]
    n: Count
    at: Annotated[float, Field(ge=1e-4, lt=1)]
    """Success rate that the standard error belongs to."""
    points: Number


class RemarkClaim(_Claim):
    """A claim that counts cannot judge, with the reason."""

    kind: Literal["remark"]
    reason: Words


Claim = Annotated[
    RatesClaim
    | RateClaim
    | SpanClaim
    | SeedsClaim
    | LatencyClaim
    | SpeedupClaim
    | ChangeClaim
    | ErrorClaim
    | RemarkClaim,
    Field(discriminator="kind"),
]


class ClaimsFile(_Frozen):
    """A whole file of claims."""

    schema_version: Literal[1]
    title: Words
    margins: Annotated[tuple[Margin, ...], Field(min_length=1)] = (0.05, 0.10)
    """Margins, ascending; the first decides the finding, the others are shown beside it."""
    alpha: Alpha = 0.05
    """One-sided level."""
    sources: dict[Name, Source]
    claims: Annotated[tuple[Claim, ...], Field(min_length=1)]

    @model_validator(mode="after")
    def _names_meet(self) -> Self:
        if list(self.margins) != sorted(set(self.margins)):
            raise ValueError("margins must ascend")
        kinds = {claim.id: claim.kind for claim in self.claims}
        if len(kinds) != len(self.claims):
            ids = [claim.id for claim in self.claims]
            raise ValueError(f"two claims have the id '{next(i for i in ids if ids.count(i) > 1)}'")
        for claim in self.claims:
            if claim.source not in self.sources:
                hint = did_you_mean(claim.source, self.sources)
                raise ValueError(f"claim '{claim.id}': no source '{claim.source}'{hint}")
            for name, kind in _references(claim):
                if kinds.get(name) != kind:
                    hint = did_you_mean(name, [known for known in kinds if kinds[known] == kind])
                    raise ValueError(f"claim '{claim.id}': '{name}' is no {kind} claim{hint}")
        return self

    def claim(self, name: str) -> Claim:
        """Return the claim with this id."""
        return next(claim for claim in self.claims if claim.id == name)


def _references(claim: Claim) -> list[tuple[str, str]]:
    """Return the ids of other claims that a claim names, with the required kind."""
    if isinstance(claim, RatesClaim) and claim.negative_control is not None:
        return [(claim.negative_control, "rates")]
    if isinstance(claim, SpeedupClaim):
        return [(name, "latency") for name in claim.compared_with]
    return []
