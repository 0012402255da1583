"""From the episodes of many checkpoints to the verdict on two recipes.

The statistics are those of :mod:`vla_eval.stats.recipes`. Repeats of a state by one checkpoint are
averaged first, so that states are the units.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from statistics import fmean

import numpy as np

from vla_eval.judging.ledger import ArmEpisodes, Case, Mark
from vla_eval.keys import EpisodeKey
from vla_eval.stats import Guards, Judgement, SeedsOnStates, judge
from vla_eval.stats._numeric import Array, Ints

__all__ = ["judge_recipes", "on_states", "task_names"]


def on_states(
    keys: Sequence[EpisodeKey],
    candidate: Sequence[ArmEpisodes],
    reference: Sequence[ArmEpisodes],
    *,
    paired: bool,
    case: Case = "observed",
) -> SeedsOnStates:
    """Return the mean outcome of every checkpoint in every initial state.

    Args:
        keys: the planned episodes.
        candidate: the checkpoints of the candidate, (K,).
        reference: the checkpoints of the reference, (L,).
        paired: whether checkpoint k of both belongs together.
        case: ``observed`` leaves out states in which an episode of any checkpoint is missing; in the
            worst or best case for the candidate its doubtful episodes count against or for it, and
            those of the reference the other way round.

    Raises:
        ValueError: a task has fewer than two states left.
    """
    states: dict[tuple[str, str, int], list[EpisodeKey]] = defaultdict(list)
    for key in keys:
        states[key.suite, key.task, key.init_state].append(key)
    if case == "observed":
        lost = {key for arm in (*candidate, *reference) for key in (*arm.missing, *arm.pending)}
        states = {state: own for state, own in states.items() if not lost.intersection(own)}
    groups = list(states.values())
    return SeedsOnStates(
        _means(candidate, groups, case),
        _means(reference, groups, _OTHER[case]),
        _tasks(list(states)),
        paired,
    )


_OTHER: dict[Case, Case] = {"observed": "observed", "worst": "best", "best": "worst"}
"""The case for the reference in which it is the case for the candidate."""


def task_names(keys: Sequence[EpisodeKey]) -> list[str]:
    """Return ``suite/task`` in the order of the numbers of :func:`on_states`."""
    return list(dict.fromkeys(f"{key.suite}/{key.task}" for key in keys))


def _tasks(states: Sequence[tuple[str, str, int]]) -> Ints:
    numbers: dict[tuple[str, str], int] = {}
    return np.array(
        [numbers.setdefault(state[:2], len(numbers)) for state in states], dtype=np.int64
    )


def _means(
    arms: Sequence[ArmEpisodes], groups: Sequence[Sequence[EpisodeKey]], case: Case
) -> Array:
    """Return the mean outcome of each arm, (K,), in each group of episodes, (N,): (K, N)."""
    rows = [
        [fmean(_won(marks[key], case) for key in own) for own in groups]
        for marks in (arm.marks() for arm in arms)
    ]
    return np.array(rows, dtype=np.float64).reshape(len(arms), len(groups))


def _won(mark: Mark, case: Case) -> bool:
    return mark.won if case == "observed" else mark.in_case(favourable=case == "best")


def judge_recipes(
    worst: SeedsOnStates, best: SeedsOnStates, margin: float, alpha: float
) -> Judgement:
    """Return the verdict that holds in the worst and in the best case, and so in all cases between."""
    guards = Guards.of(worst.p_above, best.p_below, margin=margin, alpha=alpha)
    interval = (worst.interval(2 * alpha)[0], best.interval(2 * alpha)[1])
    return judge(interval, margin, guards=guards)
