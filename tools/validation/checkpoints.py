"""What is reported while a policy is being trained: anytime verdicts, and the best of many checkpoints."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import Any

import numpy as np
from bars import Bar
from numpy.typing import NDArray

from vla_eval.stats import (
    AnytimeDifference,
    attempt_alpha,
    exact_p_above,
    expected_excess,
    tango_z,
    wilson_interval,
)

ALPHA = 0.05
MARGIN = 0.10
ROUNDS = 60
PAIRS = 100
STATES = 50
EASY, HARD = 0.02, 0.38
"""Chance of a lost pair of the easiest and of the hardest task, before the difference under test."""


def verdicts(runs: int = 1000) -> Iterator[Bar]:
    """Verdicts of `vla_eval.evaluate`, asked for after each of 60 rounds of one pair a task.

    One task, or ten that differ: the chance that a pair is lost goes from 2 to 38 %. Errors are those of
    "not worse" where the policy loses exactly the margin of 10 points, and of "worse" where it loses nothing;
    then how often the difference is outside of the interval after any round. The wrong method asks Tango's
    score each time.
    """
    for tasks in (1, 10):
        label = f"{tasks} task{'s' if tasks > 1 else ''}"
        kept = _ever(_rounds(-MARGIN, tasks, runs), "e_not_worse")
        yield Bar(f'error of "not worse" over all rounds, {label}', kept, high=ALPHA + 0.006)
        kept = _ever(_rounds(0.0, tasks, runs), "e_worse")
        yield Bar(f'error of "worse" over all rounds, {label}', kept, high=ALPHA + 0.006)
        for loss in (0.0, 0.10, 0.30):
            outside = _ever_outside(_rounds(-loss, tasks, runs), -loss)
            what = f"difference outside of the interval after any round, {100 * loss:.0f} points lost, {label}"
            yield Bar(what, outside, high=2 * ALPHA + 0.008)
    found = _ever(_rounds(-0.40, 1, runs), "e_worse")
    yield Bar('"worse" is shown within 60 pairs, 40 points lost, 1 task', found, low=0.80)
    for name, loss, sign in (("not worse", MARGIN, 1), ("worse", 0.0, -1)):
        wrong = _tango_each_round(_rounds(-loss, 1, runs), loss, sign)
        yield Bar(f'error of Tango\'s "{name}" after each round', wrong, high=0.056, control=True)


def _rounds(difference: float, tasks: int, runs: int) -> NDArray[Any]:
    """Return mean differences of rounds of one state of each task, (runs, rounds)."""
    rng = np.random.default_rng(110 + tasks)
    lost = np.linspace(EASY, HARD, tasks) if tasks > 1 else np.array([0.10])
    # As much is won as lost, but for the difference, which is the same mean in every task.
    lost_most = np.maximum(lost, -difference)
    won = lost_most + difference
    luck = rng.random((runs, ROUNDS, tasks))
    drawn = (luck < won).astype(np.float64) - (luck > 1 - lost_most)
    return np.asarray(drawn.mean(axis=2))


def _ever(rounds: NDArray[Any], claim: str) -> float:
    """Return the share of runs whose e-value reaches 1/alpha after any round."""
    reached = 0
    for x in rounds:
        looks = (AnytimeDifference(x[:n], x[:n], MARGIN, ALPHA) for n in range(1, len(x) + 1))
        reached += any(getattr(look, claim) >= 1 / ALPHA for look in looks)
    return reached / len(rounds)


def _ever_outside(rounds: NDArray[Any], truth: float) -> float:
    """Return the share of runs whose interval leaves the truth out after any round.

    The interval holds what neither test rejects, so the two tests are asked about the truth.
    """
    outside = 0
    for x in rounds:
        looks = (AnytimeDifference(x[:n], x[:n], -truth, ALPHA) for n in range(1, len(x) + 1))
        outside += any(_rejects(look, truth) for look in looks)
    return outside / len(rounds)


def _rejects(look: AnytimeDifference, truth: float) -> bool:
    other = AnytimeDifference(-look.best, -look.worst, truth, ALPHA)
    return max(look.e_not_worse, other.e_not_worse) >= 1 / ALPHA


def _tango_each_round(rounds: NDArray[Any], loss: float, sign: int) -> float:
    return float(np.mean([_tango_ever(sign * x, -sign * loss) for x in rounds]))


def _tango_ever(x: NDArray[Any], delta: float) -> bool:
    won, lost = (x > 0).cumsum(), (x < 0).cumsum()
    return any(
        _tango(int(a), int(b), n, delta) for n, (a, b) in enumerate(zip(won, lost, strict=True), 1)
    )


@cache
def _tango(won: int, lost: int, n: int, delta: float) -> bool:
    return tango_z(won, lost, n, delta) >= 1.645


def best_of_many(runs: int = 4000) -> Iterator[Bar]:
    """The best of 10 checkpoints, as `vlaeval watch` reports it; all lose the margin, or are equally good.

    False certificates of the chosen one, 100 pairs: chosen on development states at 5 %, and on the
    certificate's states at the level that is left for the 10th use. The error of the reported excess
    is a difference of rates. Wrong methods: certify on the states of the choice at 5 %; give every use 5 %; take the
    winner's own interval, which knows nothing of the choice.
    """
    count = 10
    rng = np.random.default_rng(120)
    chances = (0.02, 0.12, 0.86)
    p_values = np.array(
        [
            [_p(won, lost) for won, lost, _ in uses]
            for uses in rng.multinomial(PAIRS, chances, (runs, count))
        ]
    )
    levels = np.array([attempt_alpha(use, alpha=ALPHA) for use in range(1, count + 1)])
    fresh, best, most = p_values[:, 0], p_values.min(axis=1), ALPHA + 0.010
    left = f"false certificate of the best of {count}"
    yield Bar(f"{left}, chosen on other states, at 5 %", _share(fresh <= ALPHA), high=most)
    yield Bar(
        f"{left}, chosen on these states, at the level left", _share(best <= levels[-1]), high=ALPHA
    )
    yield Bar(
        f"{left}, chosen on these states, at 5 %", _share(best <= ALPHA), high=most, control=True
    )
    used = f"any false certificate in {count} uses of the same states"
    yield Bar(f"{used}, at their levels", _share((p_values <= levels).any(axis=1)), high=ALPHA)
    yield Bar(f"{used}, 5 % each", _share((p_values <= ALPHA).any(axis=1)), high=most, control=True)
    yield from _winners(rng, count, runs)


def _winners(rng: np.random.Generator, count: int, runs: int) -> Iterator[Bar]:
    """Checkpoints that all succeed in 85 % of 50 states: the winner's rate, and its reported excess."""
    truth, some = 0.85, 200
    wins = rng.random((runs, count, STATES)) < truth
    highest = wins.sum(axis=2).max(axis=1)
    excess = highest.mean() / STATES - truth
    reported = np.mean([expected_excess(each.astype(float)) for each in wins[:some]])
    yield Bar(f"reported excess of the highest of {count}, difference to the true one", abs(reported - excess), high=0.005)  # fmt: skip
    yield Bar("excess taken for 0, difference to the true one", excess, high=0.005, control=True)
    again = rng.binomial(STATES, truth, runs)
    yield Bar("coverage, the winner's interval on fresh states", _covered(again, truth), low=0.93)
    what = "coverage, the winner's interval on the states of the choice"
    yield Bar(what, _covered(highest, truth), low=0.93, control=True)


def _covered(successes: NDArray[Any], truth: float) -> float:
    return _share(np.array([low <= truth <= high for low, high in map(_wilson, successes)]))


@cache
def _wilson(successes: int) -> tuple[float, float]:
    return wilson_interval(int(successes), STATES)


@cache
def _p(won: int, lost: int) -> float:
    return exact_p_above(int(won), int(lost), PAIRS, delta=-MARGIN)


def _share(yes: Any) -> float:
    return float(np.mean(yes))
