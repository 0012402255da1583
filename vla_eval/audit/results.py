"""Results of an audit: one finding per claim, in a word, a sentence and numbers."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from vla_eval.audit.schema import Claim, ClaimsFile
from vla_eval.stats import AssumedPairing, Flag, Heterogeneity, Judgement, Spread

__all__ = [
    "AtMargin",
    "Audit",
    "Audited",
    "ClaimComparison",
    "ClaimFinding",
    "Envelope",
    "PrintedSpread",
    "SeedSpread",
    "TaskComparison",
]

type Interval = tuple[float, float]


class ClaimFinding(StrEnum):
    """The finding on a claim."""

    SUPPORTED = "supported"
    """The counts support the claim."""
    UNRESOLVED = "unresolved"
    """The counts support neither the claim nor its opposite."""
    CONTRADICTED = "contradicted"
    """The counts contradict the claim."""
    CONSISTENT = "consistent"
    """The printed numbers agree with each other."""
    INCONSISTENT = "inconsistent"
    """The printed numbers do not agree with each other."""
    IMPLAUSIBLE = "implausible"
    """The claim needs a value that no other source has measured."""
    IMPOSSIBLE = "impossible"
    """The claim is impossible with any method."""
    DESCRIBED = "described"
    """There is no assertion; intervals are added."""
    NOT_AUDITABLE = "not auditable"
    """Counts cannot judge the claim."""


@dataclass(frozen=True)
class AtMargin:
    """The verdict at one margin."""

    margin: float
    judgement: Judgement
    """Judgement at the file's alpha; unpaired."""
    strict: Judgement
    """Judgement at half of the file's alpha."""
    p_noninferior: float
    pairing: AssumedPairing | None = None
    """Pairings under which non-inferiority holds; None if the arms cannot be paired."""
    p_exact: Interval | None = None
    """Exact p-values of non-inferiority: under the best pairing, and under the worst."""


@dataclass(frozen=True)
class Envelope:
    """Tango's intervals, 90 %, under the two extreme pairings."""

    nested: Interval
    disjoint: Interval


@dataclass(frozen=True)
class PrintedSpread:
    """A printed ±, and its probable kind."""

    name: str
    printed: float
    kind: Spread
    standard_error: float
    """Binomial standard error over the episodes."""


@dataclass(frozen=True)
class SeedSpread:
    """Spread over training seeds, as fractions."""

    sd: float
    sd95: Interval
    binomial_sd: float
    training_sd: float
    half95: float
    """Half-width of the 95 % interval of the mean, by Student's t."""


@dataclass(frozen=True)
class TaskComparison:
    """Difference on one task, with its 90 % interval."""

    name: str
    difference: float
    ci90: Interval


@dataclass(frozen=True)
class ClaimComparison:
    """Candidate minus reference, as fractions."""

    names: tuple[str, str]
    counts: tuple[float, int, float, int] | None
    """Successes and episodes of the candidate, then of the reference; None over training seeds."""
    difference: float
    ci90: Interval
    ci95: Interval
    """95 % interval, simultaneous over all comparisons that this one was picked from."""
    at: tuple[AtMargin, ...]
    picked_from: int = 1
    envelope: Envelope | None = None
    spreads: tuple[PrintedSpread, ...] = ()
    needed: int | None = None
    """Unpaired episodes per arm that show parity within the first margin with 80 % probability."""
    tasks: tuple[TaskComparison, ...] = ()
    heterogeneity: Heterogeneity | None = None
    stratified90: Interval | None = None
    df: float | None = None
    """Degrees of freedom of Student's t over training seeds."""
    seeds: SeedSpread | None = None


@dataclass(frozen=True)
class Audited:
    """One claim, judged."""

    claim: Claim
    finding: ClaimFinding
    sentence: str
    """The verdict, in one sentence."""
    details: tuple[str, ...] = ()
    """Other recomputed facts, one sentence each."""
    flags: tuple[Flag, ...] = ()
    comparison: ClaimComparison | None = None
    numbers: dict[str, Any] | None = None
    """Values recomputed from times and printed numbers."""


@dataclass(frozen=True)
class Audit:
    """A file of claims, judged."""

    file: ClaimsFile
    claims: tuple[Audited, ...]

    def counts(self) -> dict[ClaimFinding, int]:
        """Return the number of claims for each finding, in the order of the findings."""
        findings = [audited.finding for audited in self.claims]
        return {finding: findings.count(finding) for finding in ClaimFinding if finding in findings}

    def by_source(self) -> dict[str, list[Audited]]:
        """Return the claims of each source, sources in the order of their first claim."""
        groups: dict[str, list[Audited]] = {}
        for audited in self.claims:
            groups.setdefault(audited.claim.source, []).append(audited)
        return groups
