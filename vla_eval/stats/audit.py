"""Audit of published numbers: whether they are possible, and the strongest claim they support."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum

from vla_eval.stats.paired import PairedTable
from vla_eval.stats.verdicts import Judgement, judge_paired

__all__ = [
    "AssumedPairing",
    "PairingEnvelope",
    "Spread",
    "grim_counts",
    "pairing_envelope",
    "spread_kind",
]


def grim_counts(percent: str, n: int) -> list[int]:
    """Return the success counts out of n that round to a percentage as printed.

    GRIM (Brown and Heathers 2017, Social Psychological and Personality Science 8:363): an empty list
    means that the number is no success rate of n episodes. Usually it is then a mean of partial credit.
    Its variance is at most the binomial's, so binary intervals stay valid and are conservative.

    Args:
        percent: the printed text, such as "86.5"; the number of decimals matters.
        n: number of episodes.
    """
    decimals = len(percent.partition(".")[2])
    value, slack = float(percent), 0.5 * 10.0**-decimals + 1e-9
    low = math.ceil((value - slack) * n / 100 - 1e-9)
    high = math.floor((value + slack) * n / 100 + 1e-9)
    return list(range(max(0, low), min(n, high) + 1))


class AssumedPairing(StrEnum):
    """Pairings of the episodes under which a claim from marginal counts holds."""

    ANY = "any"
    """Under any pairing."""
    FAVOURABLE = "favourable"
    """Only if the arms fail on the same episodes."""
    NONE = "none"
    """Under no pairing."""


@dataclass(frozen=True)
class PairingEnvelope:
    """The two extreme tables with the same two success counts."""

    nested: PairedTable
    """Table with as many common failures as possible: the best case for the claim."""
    disjoint: PairedTable
    """Table with as few common failures as possible: the worst case, about as without pairing."""

    def judge(
        self, *, margin: float, alpha: float = 0.05
    ) -> tuple[AssumedPairing, Judgement, Judgement]:
        """Return the pairings with which "not worse by the margin" holds, and both judgements."""
        best = judge_paired(self.nested, margin=margin, alpha=alpha)
        worst = judge_paired(self.disjoint, margin=margin, alpha=alpha)
        if worst.noninferior:
            return AssumedPairing.ANY, best, worst
        return (AssumedPairing.FAVOURABLE if best.noninferior else AssumedPairing.NONE), best, worst


def pairing_envelope(x1: int, x2: int, n: int) -> PairingEnvelope:
    """Return the extreme paired tables of two success counts on the same n episodes.

    Failures f1, f2: n01 lies between max(0, f1 − f2) and f1 − max(0, f1 + f2 − n).

    Args:
        x1: successes of the candidate.
        x2: successes of the reference.
        n: episodes, the same for both.

    Raises:
        ValueError: the counts are impossible.
    """
    if not (0 <= x1 <= n and 0 <= x2 <= n and n > 0):
        raise ValueError(f"{x1}/{n} and {x2}/{n} are no success rates")
    f1, f2 = n - x1, n - x2

    def table(n01: int) -> PairedTable:
        both = f1 - n01
        return PairedTable(n - f1 - f2 + both, f2 - both, n01, both)

    return PairingEnvelope(table(max(0, f1 - f2)), table(f1 - max(0, f1 + f2 - n)))


class Spread(StrEnum):
    """Possible meanings of a printed ±."""

    SD = "standard deviation"
    SE = "standard error"
    CI95 = "half-width of a 95 % interval"
    UNKNOWN = "none of them"


def spread_kind(rate: float, spread: float, n: int, *, tolerance: float = 0.1) -> Spread:
    """Return the meaning of a printed ±, by comparison with the binomial's for n episodes.

    A standard error over episodes contains no information about training seeds.

    Args:
        rate: success rate, a fraction.
        spread: the printed number, a fraction.
        n: episodes.
        tolerance: relative difference that rounding may explain.
    """
    sd = math.sqrt(rate * (1 - rate))
    error = sd / math.sqrt(n)
    for kind, expected in ((Spread.SE, error), (Spread.CI95, 1.96 * error), (Spread.SD, sd)):
        if expected > 0 and abs(spread / expected - 1) <= tolerance:
            return kind
    return Spread.UNKNOWN
