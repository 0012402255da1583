"""Errors and coverage on repeated states whose repeats depend on each other, by simulation.

Two ways to depend, both at exactly the margin: a share of the states copies its first repeat, the
others repeat independently (ICC); or success is a matter of the state's difficulty and of how it
suits each policy (logit-normal). Seeds are fixed; an error is held to 5 % and coverage of the 90 %
interval to 90 %, each with three standard errors.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import yesterday
from bars import Bar
from scipy.optimize import brentq
from scipy.special import expit

from vla_eval.stats import CLUSTER_TESTS, ClusteredPairs, ClusterTest, tango_p_noninferior

ALPHA = 0.05
ICCS = (0.0, 0.2, 0.5, 0.8, 1.0)
WINS = (0.0, 0.02, 0.10)
DIFFICULTY = 1.5
"""Standard deviation over states, on the logit scale."""


@dataclass(frozen=True)
class Design:
    """What is run, and the margin, at which the candidate is worse."""

    states: int
    repeats: int
    margin: float
    runs: int

    def __str__(self) -> str:
        """Return the design in words."""
        return f"{self.states} states × {self.repeats}, {100 * self.margin:g} points"


DESIGNS = (
    Design(10, 4, 0.10, 4000),
    Design(25, 4, 0.05, 4000),
    Design(25, 2, 0.10, 4000),
    Design(50, 4, 0.05, 3000),
    Design(50, 2, 0.05, 3000),
    Design(44, 2, 0.10, 3000),
    Design(200, 3, 0.05, 1000),
)


@dataclass
class Tally:
    """How often a test erred, and how often its interval covered."""

    runs: int = 0
    errors: int = 0
    covered: int = 0

    def add(self, data: ClusteredPairs, truth: float, test: ClusterTest) -> None:
        """Judge one run at its true difference.

        The interval holds the differences that neither test rejects at 5 %, rounded outwards, so
        that the truth is asked about and not the interval. (The exact bars compute intervals.)
        """
        above = data.p_above(truth, test=test) <= ALPHA
        self.runs += 1
        self.errors += above
        self.covered += not above and data.p_below(truth, test=test) > ALPHA


def share_of_copies(design: Design, icc: float, wins: float) -> Iterator[ClusteredPairs]:
    """Yield runs in which a share of the states copies its first repeat.

    Args:
        design: states, repeats, and the margin by which the candidate is worse.
        icc: the share.
        wins: chance that only the candidate succeeds.
    """
    rng = np.random.default_rng([21, design.states, design.repeats])
    chances = np.cumsum([wins, wins + design.margin])
    shape = (design.runs, design.states, design.repeats)
    for first in range(0, design.runs, 500):
        size = (min(500, design.runs - first), *shape[1:])
        outcome = np.searchsorted(chances, rng.random(size), side="right")
        copies = rng.random(size[:2]) < icc
        outcome = np.where(copies[..., None], outcome[..., :1], outcome)
        yield from _counted(outcome == 0, outcome == 1)


def logit_normal(
    design: Design, interaction: float, rate: float = 0.90
) -> Iterator[ClusteredPairs]:
    """Yield runs in which the logit of success is the state's difficulty plus an interaction.

    Args:
        design: states, repeats, and the margin by which the candidate is worse.
        interaction: of policy and state, standard deviation.
        rate: the reference's success.
    """
    rng = np.random.default_rng([22, design.states, design.repeats])
    spread = math.hypot(DIFFICULTY, interaction)
    means = [_logit_mean(p, spread) for p in (rate - design.margin, rate)]
    for first in range(0, design.runs, 500):
        size = (min(500, design.runs - first), design.states)
        difficulty = rng.normal(0, DIFFICULTY, size)
        new, old = (
            rng.random((*size, design.repeats))
            < expit(mean + difficulty + rng.normal(0, interaction, size))[..., None]
            for mean in means
        )
        yield from _counted(new & ~old, old & ~new)


def _counted(won: np.ndarray, lost: np.ndarray) -> Iterator[ClusteredPairs]:
    repeats = np.full(won.shape[1], won.shape[2])
    for wins, losses in zip(won.sum(axis=2), lost.sum(axis=2), strict=True):
        yield ClusteredPairs(repeats, wins, losses)


def _logit_mean(target: float, sd: float) -> float:
    """Return m with E expit(m + sd Z) = target."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(60)
    weights = weights / weights.sum()
    return float(brentq(lambda m: weights @ expit(m + sd * nodes) - target, -20, 20))


def copied() -> Iterator[Bar]:
    """Repeats of which a share are copies: ICC 0, .2, .5, .8, 1, with 0, 2 and 10 % of pairs won.

    The largest error and the least coverage over these 15 truths, all at exactly the margin.
    """
    for design in DESIGNS:
        tallies = [
            _tallied(share_of_copies(design, icc, wins), design) for icc in ICCS for wins in WINS
        ]
        yield from _bars(tallies, design, f"{design}, ICC 0-1")


def interacting() -> Iterator[Bar]:
    """Repeats of one initial state, whose difficulty and whose policies' luck is drawn once.

    The logit of success is the state's difficulty (SD 1.5) plus an interaction of policy and state
    (SD 0, .8 and 1.6); the reference succeeds in 90 %, the candidate in less, by exactly the margin.
    """
    for design in (
        Design(30, 5, 0.05, 2000),
        Design(44, 2, 0.10, 2000),
        Design(200, 3, 0.05, 1000),
    ):
        tallies = [_tallied(logit_normal(design, sd), design) for sd in (0.0, 0.8, 1.6)]
        yield from _bars(tallies, design, f"{design}, interaction")


def _tallied(runs: Iterator[ClusteredPairs], design: Design) -> dict[ClusterTest, Tally]:
    tallies = {test: Tally() for test in CLUSTER_TESTS}
    for data in runs:
        for test, tally in tallies.items():
            tally.add(data, -design.margin, test)
    return tallies


def _bars(tallies: list[dict[ClusterTest, Tally]], design: Design, what: str) -> Iterator[Bar]:
    for test in CLUSTER_TESTS:
        worst = max(each[test].errors / each[test].runs for each in tallies)
        least = min(each[test].covered / each[test].runs for each in tallies)
        high = ALPHA + 3 * math.sqrt(ALPHA * (1 - ALPHA) / design.runs)
        low = 1 - 2 * ALPHA - 3 * math.sqrt(2 * ALPHA * (1 - 2 * ALPHA) / design.runs)
        yield Bar(f"error, {test}, {what}", worst, high=high)
        yield Bar(f"coverage, {test}, {what}", least, low=low)


def ignored(runs: int = 4000) -> Iterator[Bar]:
    """The wrong methods: Tango's score over √VIF as it was, and repeats taken for independent pairs.

    Both where the bars above hold: copies (ICC .8, no pair won) and interactions (SD 1.6).
    """
    high = ALPHA + 3 * math.sqrt(ALPHA * (1 - ALPHA) / runs)
    low = 1 - 2 * ALPHA - 3 * math.sqrt(2 * ALPHA * (1 - 2 * ALPHA) / runs)
    for states, repeats, margin in ((10, 4, 0.10), (25, 4, 0.05)):
        design = Design(states, repeats, margin, runs)
        errors = covered = 0
        for data in share_of_copies(design, 0.8, 0.0):
            errors += yesterday.certifies(data, margin=margin)
            covered += yesterday.covers(data, -margin)
        yield Bar(f"error, Tango/√VIF, {design}, ICC 0.8", errors / runs, high=high, control=True)
        yield Bar(f"coverage, Tango/√VIF, {design}, ICC 0.8", covered / runs, low=low, control=True)
    for design in (Design(30, 5, 0.05, runs), Design(200, 3, 0.05, runs)):
        pooled = 0
        for data in logit_normal(design, 1.6):
            table = int(data.wins.sum()), int(data.losses.sum()), data.n
            pooled += tango_p_noninferior(*table, margin=design.margin) <= ALPHA
        yield Bar(
            f"error, pooled pairs, {design}, interaction 1.6",
            pooled / runs,
            high=high,
            control=True,
        )
