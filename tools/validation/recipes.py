"""Errors and coverage of recipe certificates, by simulation: training seeds random, states random.

Success is a matter of a latent normal value: the task's difficulty, the training seed, the state for
both sides, the state for all seeds of one side alike (dependence), and luck. So the true rates are
known exactly, and seeds vary skewly near 100 %, as they do. Both recipes differ by exactly the margin.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product

import numpy as np
from bars import Bar
from scipy.special import ndtri
from scipy.stats import norm

from vla_eval.stats import Checkpoints, SeedsOnStates, compare_distilled, tango_p_noninferior

ALPHA = 0.05
MARGIN = 0.05
RUNS = 2000
DESIGNS = ("distilled", "frozen", "independent")
SIZES = ((4, 5), (10, 10), (40, 5))
"""Tasks, and initial states of each."""
TRUTHS = (
    (0.0, 0.0, 0.9),
    (0.023, 0.023, 0.0),
    (0.046, 0.046, 0.9),
    (0.046, 0.0, 0.0),
)
"""SD over training seeds of the candidate and of the reference, and the share of the luck that all
seeds of a side have in common in a state."""


@dataclass(frozen=True)
class World:
    """One truth about two recipes."""

    design: str
    seeds: int
    tasks: int
    states: int
    sd: tuple[float, float]
    dependence: float
    lowest: float = 0.65
    """Success rate of the reference on the hardest task; 0.98 on the easiest."""

    @property
    def rates(self) -> np.ndarray:
        """Success rate of the reference on each task, (T,)."""
        return np.linspace(self.lowest, 0.98, self.tasks)

    def runs(self, count: int = RUNS) -> Iterator[SeedsOnStates]:
        """Yield simulated runs in which the candidate is worse by exactly the margin."""
        rng = np.random.default_rng([31, self.seeds, self.tasks, round(1000 * self.sd[0])])
        tasks = np.repeat(np.arange(self.tasks), self.states)
        theirs = 1 if self.design == "frozen" else self.seeds
        for first in range(0, count, 250):
            size = min(250, count - first)
            luck = rng.standard_normal((size, 1, len(tasks)))
            seeds = rng.standard_normal((2, size, self.seeds))
            if self.design == "distilled":  # a student inherits half of its teacher's luck
                seeds[0] = math.sqrt(0.5) * (seeds[0] + seeds[1])
            sd = (self.sd[0], 0.0 if self.design == "frozen" else self.sd[1])
            candidate = self._side(rng, self.rates - MARGIN, sd[0], luck, seeds[0])
            reference = self._side(rng, self.rates, sd[1], luck, seeds[1][:, :theirs])
            for ours, other in zip(candidate, reference, strict=True):
                yield SeedsOnStates(ours, other, tasks, self.design == "distilled")

    def _side(
        self,
        rng: np.random.Generator,
        rates: np.ndarray,
        sd: float,
        luck: np.ndarray,
        seeds: np.ndarray,
    ) -> np.ndarray:
        """Return outcomes of one side, (runs, K, N): 1 or 0."""
        level = ndtri(rates)
        of_seed = min(0.9, (sd / float(norm.pdf(level).mean())) ** 2)
        rest = 1 - of_seed
        shape = (*seeds.shape, luck.shape[2])
        alike = rng.standard_normal((shape[0], 1, shape[2]))
        own = rng.standard_normal(shape)
        value = (
            math.sqrt(0.3 * rest) * luck
            + math.sqrt(0.7 * self.dependence * rest) * alike
            + math.sqrt(0.7 * (1 - self.dependence) * rest) * own
            + math.sqrt(of_seed) * seeds[:, :, None]
        )
        return (value < np.repeat(level, self.states)).astype(np.float64)


def covered() -> Iterator[Bar]:
    """The certificate's two tests together, at exactly the margin: 5 % each way, 90 % coverage.

    The worst of 12 truths for each design and number of seeds: 4, 10 and 40 tasks, training SD of 0,
    2.3 and 4.6 points (also on one side alone), seeds that are independent or alike in a state.
    """
    high = ALPHA + 3 * math.sqrt(ALPHA * (1 - ALPHA) / RUNS)
    low = 1 - 2 * ALPHA - 3 * math.sqrt(2 * ALPHA * (1 - 2 * ALPHA) / RUNS)
    for design, seeds in product(DESIGNS, (2, 3, 5)):
        found = [
            _tallied(World(design, seeds, *size, truth[:2], truth[2]))
            for size, truth in product(SIZES, TRUTHS)
        ]
        what = f"{design}, K = {seeds}"
        yield Bar(f"error, {what}", max(error for error, _ in found), high=high)
        yield Bar(f"coverage, {what}", min(cover for _, cover in found), low=low)


def _tallied(world: World) -> tuple[float, float]:
    """Return how often a recipe at the margin is certified, and how often the interval covers."""
    errors = misses = 0
    for data in world.runs():
        # The bets can only take rejections away, so they are asked only where Student's t rejects.
        p = data.t_p_above(-MARGIN)
        error = p <= ALPHA and data.p_above(-MARGIN) <= ALPHA
        errors += error
        misses += error or (1 - p <= ALPHA and data.p_below(-MARGIN) <= ALPHA)
    return errors / RUNS, 1 - misses / RUNS


def ignored() -> Iterator[Bar]:
    """The wrong methods, under the limits above: pooled pairs, and t over seeds without the states.

    Pooled pairs fail where training varies, Student's t with the binomial floor where seeds are alike
    in a state, the t over seeds and states without the bets where few states differ.
    """
    high = ALPHA + 3 * math.sqrt(ALPHA * (1 - ALPHA) / RUNS)
    varied = World("distilled", 3, 4, 25, (0.046, 0.046), 0.0)
    pooled = sum(_pooled_p(data) <= ALPHA for data in varied.runs()) / RUNS
    yield Bar(f"error, pooled pairs, {_words(varied)}", pooled, high=high, control=True)
    alike = World("distilled", 5, 4, 25, (0.0, 0.0), 0.9)
    floored = sum(_seeds_p(data) <= ALPHA for data in alike.runs()) / RUNS
    yield Bar(f"error, t over seeds, {_words(alike)}", floored, high=high, control=True)
    few = World("distilled", 5, 1, 20, (0.0, 0.0), 0.9, lowest=0.97)
    bare = sum(data.t_p_above(-MARGIN) <= ALPHA for data in few.runs()) / RUNS
    yield Bar(f"error, t without bets, {_words(few)}", bare, high=high, control=True)


def _words(world: World) -> str:
    return (
        f"K = {world.seeds}, {world.tasks} × {world.states} states, SD {100 * world.sd[0]:g} points, "
        f"alike {world.dependence:g}"
    )


def _pooled_p(data: SeedsOnStates) -> float:
    won = int(np.sum((data.candidate == 1) & (data.reference == 0)))
    lost = int(np.sum((data.candidate == 0) & (data.reference == 1)))
    return tango_p_noninferior(won, lost, data.candidate.size, margin=MARGIN)


def _seeds_p(data: SeedsOnStates) -> float:
    sizes = np.bincount(data.tasks)
    ours, theirs = (
        Checkpoints.of(np.array([np.bincount(data.tasks, weights=row) for row in rows]), sizes)
        for rows in (data.candidate, data.reference)
    )
    return compare_distilled(ours, theirs).p_noninferior(margin=MARGIN)
