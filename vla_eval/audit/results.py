"""What an audit finds: one finding a claim, in a word, a sentence and numbers."""

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
    """What became of a claim."""

    SUPPORTED = "supported"
    """The counts carry what is claimed."""
    UNRESOLVED = "unresolved"
    """They carry neither it nor its opposite."""
    CONTRADICTED = "contradicted"
    """They speak against it."""
    CONSISTENT = "consistent"
    """Printed numbers agree with each other."""
    INCONSISTENT = "inconsistent"
    """They do not."""
    IMPLAUSIBLE = "implausible"
    """It would need something that nobody else has measured."""
    IMPOSSIBLE = "impossible"
    """It cannot be, whatever the method."""
    DESCRIBED = "described"
    """Nothing is claimed; intervals are added."""
    NOT_AUDITABLE = "not auditable"
    """Counts cannot judge it."""


@dataclass(frozen=True)
class AtMargin:
    """The verdict at one margin."""

    margin: float
    judgement: Judgement
    """At the file's alpha; unpaired."""
    strict: Judgement
    """At half of it."""
    p_noninferior: float
    pairing: AssumedPairing | None = None
    """Under which pairings non-inferiority holds, where the arms may be paired."""
    p_exact: Interval | None = None
    """Exact p-values of non-inferiority: under the best pairing, and under the worst."""


@dataclass(frozen=True)
class Envelope:
    """Tango's intervals, 90 %, under the two extreme pairings."""

    nested: Interval
    disjoint: Interval


@dataclass(frozen=True)
class PrintedSpread:
    """A printed ±, and what it may be."""

    name: str
    printed: float
    kind: Spread
    standard_error: float
    """Binomial, of the episodes."""


@dataclass(frozen=True)
class SeedSpread:
    """Spread over training seeds, fractions."""

    sd: float
    sd95: Interval
    binomial_sd: float
    training_sd: float
    half95: float
    """Half-width of the 95 % interval of the mean, by Student's t."""


@dataclass(frozen=True)
class TaskComparison:
    """One task, 90 %."""

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
    """Simultaneous for all the comparisons that this one was picked from."""
    at: tuple[AtMargin, ...]
    picked_from: int = 1
    envelope: Envelope | None = None
    spreads: tuple[PrintedSpread, ...] = ()
    needed: int | None = None
    """Episodes an arm, unpaired, that show parity within the first margin four times out of five."""
    tasks: tuple[TaskComparison, ...] = ()
    heterogeneity: Heterogeneity | None = None
    stratified90: Interval | None = None
    df: float | None = None
    """Of Student's t, over training seeds."""
    seeds: SeedSpread | None = None


@dataclass(frozen=True)
class Audited:
    """One claim, judged."""

    claim: Claim
    finding: ClaimFinding
    sentence: str
    """The verdict, in one sentence."""
    details: tuple[str, ...] = ()
    """What else was recomputed, a sentence each."""
    flags: tuple[Flag, ...] = ()
    comparison: ClaimComparison | None = None
    numbers: dict[str, Any] | None = None
    """What was recomputed from times and printed numbers."""


@dataclass(frozen=True)
class Audit:
    """A file of claims, judged."""

    file: ClaimsFile
    claims: tuple[Audited, ...]

    def counts(self) -> dict[ClaimFinding, int]:
        """Return how many claims have each finding, in the order of the findings."""
        found = [each.finding for each in self.claims]
        return {finding: found.count(finding) for finding in ClaimFinding if finding in found}

    def by_source(self) -> dict[str, list[Audited]]:
        """Return the claims of each source, sources in the order of their first claim."""
        groups: dict[str, list[Audited]] = {}
        for each in self.claims:
            groups.setdefault(each.claim.source, []).append(each)
        return groups
