"""Comparison of a checkpoint with its baseline: paired if the episodes are the same, else unpaired.

The same code judges certificates (:mod:`vla_eval.judging.methods`): repeats of a state are not
independent pairs, a run that may stop early has its repeated interval, and missing or retried episodes
count at their worst.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from vla_eval.bounds import check_margin
from vla_eval.errors import (
    EXIT_COMPLETE,
    EXIT_INCONCLUSIVE,
    EXIT_INFRASTRUCTURE,
    EXIT_REFUTED,
    RunFolderError,
    UsageError,
)
from vla_eval.gate.baseline import Baseline
from vla_eval.judging import ledger
from vla_eval.judging.guardrail import GuardRail, guard_rail
from vla_eval.judging.ledger import Case, Mark
from vla_eval.judging.looks import judged_by, sequential_plan
from vla_eval.judging.methods import JudgingMethod, judge_between, judging
from vla_eval.keys import EpisodeKey
from vla_eval.plan import expand
from vla_eval.protocol import Analysis, Protocol
from vla_eval.stats import (
    ClusteredRate,
    Judgement,
    PairedTable,
    Verdict,
    judge,
    miettinen_nurminen_interval,
)

__all__ = ["GateResult", "Status", "TaskChange", "compare"]


class Status(StrEnum):
    """The gate's answer."""

    HOLDS = "holds"
    REGRESSED = "regressed"
    INCONCLUSIVE = "inconclusive"
    MISSING = "missing"
    """Some episodes have errors only: no judgement until the machine is repaired."""


@dataclass(frozen=True)
class TaskChange:
    """One task, before and now."""

    task: str
    before: tuple[int, int]
    """(successes, n)."""
    now: tuple[int, int]


@dataclass(frozen=True)
class GateResult:
    """The gate's finding."""

    status: Status
    verdict: Verdict
    sentence: str
    paired: bool
    unpaired_because: str
    table: PairedTable | None
    difference: float
    """Difference of the success rates over the episodes with a result."""
    interval: tuple[float, float]
    """Interval of level 1 − 2 alpha; from the worst case of missing and retried episodes to the best."""
    margin: float
    alpha: float
    tasks: tuple[TaskChange, ...]
    missing: int
    """Number of planned episodes of the new run that have errors only."""
    retried: int
    """Number of results of the new run after an attempt that was lost while the policy ran."""

    @property
    def exit_code(self) -> int:
        """0: it holds; 1: it regressed; 6: it is inconclusive; 3: episodes are missing."""
        return {
            Status.HOLDS: EXIT_COMPLETE,
            Status.REGRESSED: EXIT_REFUTED,
            Status.INCONCLUSIVE: EXIT_INCONCLUSIVE,
            Status.MISSING: EXIT_INFRASTRUCTURE,
        }[self.status]


@dataclass(frozen=True)
class _Side:
    """Marks and scenes of the episodes of one arm."""

    marks: Mapping[EpisodeKey, Mark]
    scenes: Mapping[EpisodeKey, str]


def compare(
    now: Baseline,
    before: Baseline,
    *,
    protocol: Protocol | None = None,
    margin: float | None = None,
    alpha: float | None = None,
    allow_missing: bool = False,
) -> GateResult:
    """Judge a run against a baseline.

    It holds if the run is not worse by the margin. It has regressed if the run is proven to be worse at
    all (upper limit below 0), even by less than the margin, or if a task is proven to be worse by more than
    the protocol's task margin.

    Args:
        now: the checked run.
        before: its baseline.
        protocol: protocol of the new run; without it every episode counts as a separate state.
        margin: default the baseline's, which is its protocol's.
        alpha: one-sided; default the baseline's.
        allow_missing: judge the worst case if episodes have errors only.

    Raises:
        UsageError: the two share no task, one has no episode, or the margin is out of bounds.
        RunFolderError: the new run is not complete.
    """
    margin = check_margin(before.margin if margin is None else margin)
    alpha = before.alpha if alpha is None else alpha
    shared = _shared(now, before)
    keys = _keys(now, protocol)
    ours = _Side(now.marks(keys), now.scenes(keys))
    _refuse_peeking(now, ours)
    missing = sum(mark is Mark.MISSING for mark in ours.marks.values())
    reason = _unpaired_because(now, before, keys)
    rail = None
    if reason:
        judged, interval, table = _unpaired(now, before, protocol, margin, alpha)
        difference = now.successes / now.n - before.successes / before.n
    else:
        theirs = _Side(before.marks(keys), before.scenes(keys))
        judged, interval, method, rail = _paired(keys, ours, theirs, protocol, margin, alpha)
        difference, table = method.difference, method.table
    status = _status(judged, rail)
    if missing and not allow_missing:
        status = Status.MISSING
    return GateResult(
        status=status,
        verdict=judged.verdict,
        sentence=_sentence(status, difference, interval, margin, alpha, missing)
        + (f" On single tasks: {rail.sentence}." if rail else ""),
        paired=not reason,
        unpaired_because=reason,
        table=table,
        difference=difference,
        interval=interval,
        margin=margin,
        alpha=alpha,
        tasks=tuple(_change(task, now, before) for task in shared),
        missing=missing,
        retried=sum(mark in (Mark.WON_RETRIED, Mark.LOST_RETRIED) for mark in ours.marks.values()),
    )


def _shared(now: Baseline, before: Baseline) -> list[str]:
    """Return the common tasks."""
    shared = [task for task in before.tasks if task in now.tasks]
    if not shared or now.n == 0 or before.n == 0:
        raise UsageError(
            f"nothing to compare: {now.protocol} and {before.protocol} share "
            f"{len(shared)} tasks, with {now.n} and {before.n} finished episodes"
        )
    return shared


def _status(judged: Judgement, rail: GuardRail | None) -> Status:
    if rail is not None and rail.having("worse"):
        return Status.REGRESSED
    if judged.verdict is Verdict.INFERIOR or Verdict.WORSE in judged.also:
        return Status.REGRESSED
    return Status.HOLDS if judged.noninferior else Status.INCONCLUSIVE


def _keys(now: Baseline, protocol: Protocol | None) -> tuple[EpisodeKey, ...]:
    """Return the episodes that the new run must hold."""
    if protocol is not None:
        return tuple(episode.key for episode in expand(protocol))[: now.due]
    names = [(name, *name.partition("/")[::2]) for name in now.tasks]
    return tuple(
        EpisodeKey(suite, task, place, 0, 0)
        for name, suite, task in names
        for place in range(len(now.tasks[name].outcomes))
    )


def _refuse_peeking(now: Baseline, ours: _Side) -> None:
    pending = [key for key, mark in ours.marks.items() if mark is Mark.PENDING]
    if pending:
        raise RunFolderError(
            f"arm '{now.arm}' has not run {len(pending)} of {len(ours.marks)} planned episodes (the "
            f"first is {pending[0]}); judging before the plan is done is peeking: repeat the run "
            "command to finish it"
        )


def _unpaired_because(now: Baseline, before: Baseline, keys: Sequence[EpisodeKey]) -> str:
    """Return the reason why episodes cannot be paired; empty if they can."""
    if now.protocol_sha256 != before.protocol_sha256:
        return "another protocol"
    counts = [
        Counter({name: len(task.outcomes) for name, task in side.tasks.items()})
        for side in (now, before)
    ]
    if counts[0] != counts[1]:
        return "other episodes"
    if any(not task.each_scene for side in (now, before) for task in side.tasks.values()):
        same = all(task.scenes == before.tasks[name].scenes for name, task in now.tasks.items())
        return "" if same else "other scenes"
    ours, theirs = (side.marks(keys) for side in (now, before))
    both = [key for key in keys if ours[key].ended and theirs[key].ended]
    our_scenes, their_scenes = now.scenes(keys), before.scenes(keys)
    if any(key not in our_scenes or key not in their_scenes for key in both):
        return "unknown scenes"
    return "other scenes" if any(our_scenes[key] != their_scenes[key] for key in both) else ""


def _paired(
    keys: Sequence[EpisodeKey],
    ours: _Side,
    theirs: _Side,
    protocol: Protocol | None,
    margin: float,
    alpha: float,
) -> tuple[Judgement, tuple[float, float], JudgingMethod, GuardRail | None]:
    def method(case: Case) -> JudgingMethod:
        outcomes = ledger.outcomes(keys, ours.marks, theirs.marks, case)
        if not outcomes:
            raise UsageError("nothing to compare: no episode has a result on both sides")
        if protocol is None:
            return judging(outcomes, _INDEPENDENT)
        return judging(outcomes, protocol.analysis, judged_by(protocol))

    observed, worst, best = method("observed"), method("worst"), method("best")
    judged = judge_between(worst, best, margin, alpha)
    interval = (worst.interval(2 * alpha)[0], best.interval(2 * alpha)[1])
    task_margin = None if protocol is None else protocol.analysis.task_margin
    rail = None
    if task_margin is not None:
        rail = guard_rail(worst, best, margin=task_margin, alpha=alpha)
    return judged, interval, observed, rail


_INDEPENDENT = Analysis(estimand="difference", margin=0.1, margin_reason="none")
"""Analysis of independent episodes; its margin is not used."""


def _unpaired(
    now: Baseline, before: Baseline, protocol: Protocol | None, margin: float, alpha: float
) -> tuple[Judgement, tuple[float, float], None]:
    """Judge by Miettinen and Nurminen's interval, from effective counts where states repeat."""
    keys = _keys(now, protocol)
    clustered = protocol is not None and protocol.analysis.cluster != "none"
    same_plan = protocol is not None and now.protocol_sha256 == before.protocol_sha256
    level = 2 * alpha
    plan = sequential_plan(protocol) if protocol is not None else None
    if plan is not None:
        level = 2 * plan.level(max(1, sum(size <= len(keys) for size in plan.sizes)))

    def limits(*, favourable: bool) -> tuple[float, float]:
        ours = _counts(now.marks(keys), favourable=favourable, clustered=clustered)
        theirs = (
            _counts(before.marks(keys), favourable=not favourable, clustered=clustered)
            if same_plan
            else _totals(before, favourable=not favourable)
        )
        return miettinen_nurminen_interval(*ours, *theirs, alpha=level)

    interval = (limits(favourable=False)[0], limits(favourable=True)[1])
    return judge(interval, margin), interval, None


def _counts(
    marks: Mapping[EpisodeKey, Mark], *, favourable: bool, clustered: bool
) -> tuple[float, float]:
    """Return (successes, episodes), divided by the variance inflation where states repeat."""
    states: dict[tuple[str, str, int], list[int]] = defaultdict(lambda: [0, 0])
    for key, mark in marks.items():
        cell = states[key.suite, key.task, key.init_state]
        cell[0] += 1
        cell[1] += mark.in_case(favourable=favourable)
    episodes, successes = np.array(list(states.values()), dtype=np.int64).T
    if clustered:
        return ClusteredRate(episodes, successes).effective
    return float(successes.sum()), float(episodes.sum())


def _totals(baseline: Baseline, *, favourable: bool) -> tuple[float, float]:
    marks = [Mark(letter) for task in baseline.tasks.values() for letter in task.outcomes]
    known = [mark for mark in marks if mark is not Mark.PENDING]
    return float(sum(mark.in_case(favourable=favourable) for mark in known)), float(len(known))


def _change(task: str, now: Baseline, before: Baseline) -> TaskChange:
    old, new = before.tasks[task], now.tasks[task]
    return TaskChange(task, (old.successes, old.n), (new.successes, new.n))


def _sentence(
    status: Status,
    difference: float,
    interval: tuple[float, float],
    margin: float,
    alpha: float,
    missing: int,
) -> str:
    if status is Status.MISSING:
        return (
            f"{missing} planned episodes have no result after infrastructure errors, so this "
            "checkpoint cannot be judged: repair the machine and continue the run."
        )
    words = {
        Status.HOLDS: "Not worse than the baseline by the margin",
        Status.REGRESSED: "Worse than the baseline",
        Status.INCONCLUSIVE: "Too few episodes to say whether it is worse than the baseline",
    }
    counted = f" ({missing} missing episodes counted at their worst)" if missing else ""
    return (
        f"{words[status]}: difference {100 * difference:+.1f} points, {1 - 2 * alpha:.0%} interval "
        f"[{100 * interval[0]:+.1f}, {100 * interval[1]:+.1f}]{counted}, margin "
        f"{100 * margin:.3g} points."
    )
