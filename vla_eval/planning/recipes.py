"""Training seeds, initial states and repeats that a claim about recipes needs.

The model is the simplest with all parts. A checkpoint has the rate p plus a normal value of its training
seed. In a state its success is decided by uniform numbers: with the chance ``alike`` all seeds of a side
have the same numbers in a state, and with the chance of the correlation candidate and reference do.
Student's t alone has a power by formula; both tests together are simulated, with a fixed seed.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from vla_eval.errors import UsageError
from vla_eval.planning.pairs import paired_case
from vla_eval.recipes import Design
from vla_eval.stats import PairedCase, SeedsOnStates, recipe_power
from vla_eval.stats._numeric import Array

__all__ = ["ALIKE", "TRAINING_SDS", "RecipeCase", "size_of_recipes"]

ALIKE = 0.3
"""Default share of the states in which all seeds of a side are alike."""
CORRELATION = 0.3
TRAINING_SDS = (0.0, 0.02, 0.04)
"""Standard deviations over training seeds that `vlaeval plan` shows; 0.035 is Drift-VLA's footnote."""
_RUNS = 400
_SEEDS_UP_TO = 100
_STATES_UP_TO = 5000
_REPEATS_UP_TO = 100


@dataclass(frozen=True)
class RecipeCase:
    """An expected truth about two recipes."""

    pair: PairedCase
    training_sd: float
    """Standard deviation of a recipe's success rate over its training seeds."""
    alike: float
    """Share of the states in which all seeds of a side are alike."""
    design: Design

    def variance(self, seeds: int, states: int, repeats: int) -> float:
        """Return the variance of the difference between recipes, (seeds' + luck's)/K + states'.

        The seeds of students and their teachers count as unrelated; if a good teacher makes a good
        student, the variance is smaller.
        """
        luck = (self.pair.p10 + self.pair.p01 - self.pair.difference**2) / states
        common = self.alike
        sides = 2
        if self.design == "frozen":  # the luck of the one reference is the same for all seeds
            common, sides = (1 + self.alike) / 2, 1
        training = sides * self.training_sd**2
        return (training + (1 - common) * luck / repeats) / seeds + common * luck

    def formula(
        self, seeds: int, states: int, repeats: int, *, margin: float, alpha: float
    ) -> float:
        """Return the power of Student's t alone, an upper bound of that of both tests."""
        df = (2 if self.design == "independent" else 1) * (seeds - 1)
        return recipe_power(
            self.variance(seeds, states, repeats),
            df,
            margin=margin + self.pair.difference,
            alpha=alpha,
        )

    def simulated(
        self, seeds: int, states: int, repeats: int, *, margin: float, alpha: float
    ) -> float:
        """Return the share of simulated runs that both tests certify."""
        rng = np.random.default_rng(17)
        certified = 0
        for _ in range(_RUNS):
            data = self._run(rng, seeds, states, repeats)
            certified += data.t_p_above(-margin) <= alpha and data.p_above(-margin) <= alpha
        return certified / _RUNS

    def _run(
        self, rng: np.random.Generator, seeds: int, states: int, repeats: int
    ) -> SeedsOnStates:
        others = 1 if self.design == "frozen" else seeds
        alike = rng.random(states) < self.alike
        theirs = self._luck(rng, (others, states, repeats), alike)
        ours = self._luck(rng, (seeds, states, repeats), alike)
        same = rng.random(ours.shape) < self.pair.correlation
        same[:, alike] = same[:1, alike]
        ours = np.where(same, theirs, ours)
        spread = self.training_sd * rng.standard_normal((2, seeds, 1, 1))
        if others == 1:
            spread[1] = 0.0
        won = ours < self.pair.p_candidate + spread[0]
        lost = theirs < self.pair.p_reference + spread[1][:others]
        return SeedsOnStates(
            won.mean(axis=2),
            lost.mean(axis=2),
            np.zeros(states, dtype=np.int64),
            self.design == "distilled",
        )

    @staticmethod
    def _luck(
        rng: np.random.Generator, shape: tuple[int, int, int], alike: npt.NDArray[np.bool_]
    ) -> Array:
        luck = rng.random(shape)
        luck[:, alike] = luck[:1, alike]
        return luck


def size_of_recipes(  # noqa: PLR0913 - a plan has that many parts
    seeds: int,
    training_sd: float,
    *,
    states: int = 200,
    repeats: int = 1,
    p: float = 0.9,
    difference: float = 0.0,
    correlation: float = CORRELATION,
    alike: float = ALIKE,
    design: Design = "distilled",
    margin: float = 0.05,
    alpha: float = 0.05,
    power: float = 0.8,
) -> dict[str, Any]:
    """Return the power of a number of training seeds, as ``vlaeval power --seeds K --json`` prints it.

    Args:
        seeds: K checkpoints a side, at least 2; with a frozen reference of the candidate.
        training_sd: standard deviation of a recipe's success rate over training seeds, a fraction.
        states: different initial states, all run by every checkpoint.
        repeats: episodes of every checkpoint in every state.
        p: success rate of the reference.
        difference: expected difference, candidate minus reference.
        correlation: correlation of candidate and reference on the same episode.
        alike: share of the states in which all seeds of a side are alike.
        design: relation of the seeds of both sides.
        margin: largest accepted loss, as a fraction.
        alpha: one-sided level.
        power: wanted probability of a certificate.

    Raises:
        UsageError: these values are impossible, or the design is empty or too large.
    """
    _check(seeds, training_sd, states, repeats, alike)
    case = RecipeCase(paired_case(p, difference, correlation, margin), training_sd, alike, design)
    level = {"margin": margin, "alpha": alpha}
    enough = (k for k in range(2, 1000) if case.formula(k, states, repeats, **level) >= power)
    return {
        **level,
        "p_reference": p,
        "difference": difference,
        "correlation": correlation,
        "alike": alike,
        "design": design,
        "training_sd": training_sd,
        "states": states,
        "repeats": repeats,
        "seeds": seeds,
        "episodes": states * repeats * (seeds + (1 if design == "frozen" else seeds)),
        "standard_error": math.sqrt(case.variance(seeds, states, repeats)),
        "wanted": power,
        "power": case.simulated(seeds, states, repeats, **level),
        "power_of_t": case.formula(seeds, states, repeats, **level),
        "seeds_needed": next(enough, None),
        "seeds_shown": _shown(case, states, repeats, **level),
    }


def _shown(
    case: RecipeCase, states: int, repeats: int, *, margin: float, alpha: float
) -> list[dict[str, Any]]:
    """Return the power by formula of some numbers of seeds, here and with four times the states."""
    return [
        {
            "seeds": k,
            "power_of_t": case.formula(k, states, repeats, margin=margin, alpha=alpha),
            "power_of_t_4_times_states": case.formula(
                k, 4 * states, repeats, margin=margin, alpha=alpha
            ),
        }
        for k in (2, 3, 5, 8, 12, 20)
    ]


def _check(seeds: int, training_sd: float, states: int, repeats: int, alike: float) -> None:
    if seeds == 1:
        raise UsageError(
            "--seeds 1: one training seed says nothing about a recipe; plan two retrains or more"
        )
    for name, value, least, top in (
        ("seeds", seeds, 2, _SEEDS_UP_TO),
        ("states", states, 2, _STATES_UP_TO),
        ("repeats", repeats, 1, _REPEATS_UP_TO),
    ):
        if not least <= value <= top:
            raise UsageError(f"--{name} {value}: expected {least} to {top}")
    if not 0 <= training_sd < 0.5:
        raise UsageError(
            f"--training-sd {training_sd:g}: expected a fraction from 0 to below 0.5, such as 0.027 "
            "for 2.7 points"
        )
    if not 0 <= alike <= 1:
        raise UsageError(f"--icc {alike:g}: expected a number from 0 to 1")
