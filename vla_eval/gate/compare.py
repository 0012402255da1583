"""Comparing a checkpoint with its baseline: paired where the episodes are the same, else not."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from vla_eval.errors import UsageError
from vla_eval.gate.baseline import Baseline
from vla_eval.stats import (
    Judgement,
    PairedTable,
    Verdict,
    exact_p_noninferior,
    judge_independent,
    judge_paired,
    miettinen_nurminen_interval,
)

__all__ = ["GateResult", "Status", "TaskChange", "compare"]


class Status(StrEnum):
    """What the gate says."""

    HOLDS = "holds"
    REGRESSED = "regressed"
    INCONCLUSIVE = "inconclusive"


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
    table: PairedTable | None
    difference: float
    interval: tuple[float, float]
    """Level 1 − 2 alpha."""
    margin: float
    alpha: float
    tasks: tuple[TaskChange, ...]
    missing: int
    """Planned episodes of the new run without a result."""


def compare(
    now: Baseline, before: Baseline, *, margin: float | None = None, alpha: float | None = None
) -> GateResult:
    """Judge a run against a baseline.

    It holds when the run is not worse by the margin, and has regressed when it is worse at all
    (upper limit below 0), by however little: a gate must not wave a proven loss through.

    Args:
        now: the run that is to pass.
        before: what it is measured by.
        margin: default the baseline's, which is its protocol's.
        alpha: one-sided; default the baseline's.

    Raises:
        UsageError: the two share no task, or one has no episode.
    """
    margin = before.margin if margin is None else margin
    alpha = before.alpha if alpha is None else alpha
    shared = [task for task in before.tasks if task in now.tasks]
    if not shared or now.n == 0 or before.n == 0:
        raise UsageError(
            f"nothing to compare: {now.protocol} and {before.protocol} share "
            f"{len(shared)} tasks, with {now.n} and {before.n} finished episodes"
        )
    table = _paired_table(now, before)
    if table is not None and table.n > 0:
        judgement = judge_paired(table, margin=margin, alpha=alpha)
        interval, difference = table.interval(alpha=2 * alpha), table.difference
    else:
        counts = (now.successes, now.n, before.successes, before.n)
        judgement = judge_independent(*counts, margin=margin, alpha=alpha)
        interval = miettinen_nurminen_interval(*counts, alpha=2 * alpha)
        difference = now.successes / now.n - before.successes / before.n
    status = Status.HOLDS if judgement.noninferior else Status.INCONCLUSIVE
    if judgement.verdict is Verdict.INFERIOR or _is_worse(judgement, table, alpha):
        status = Status.REGRESSED
    return GateResult(
        status=status,
        verdict=judgement.verdict,
        sentence=_sentence(status, difference, interval, margin, alpha),
        paired=table is not None,
        table=table,
        difference=difference,
        interval=interval,
        margin=margin,
        alpha=alpha,
        tasks=tuple(_change(task, now, before) for task in shared),
        missing=now.missing,
    )


def _is_worse(judgement: Judgement, table: PairedTable | None, alpha: float) -> bool:
    """Return whether a loss is proven, with the exact test as a guard where there are pairs.

    The score interval alone is slightly liberal with few discordant pairs.
    """
    if Verdict.WORSE not in judgement.also:
        return False
    if table is None:
        return True
    return exact_p_noninferior(table.n01, table.n10, table.n, margin=0.0) <= alpha


def _paired_table(now: Baseline, before: Baseline) -> PairedTable | None:
    """Return the counts of pairs, or None where episodes or scenes are not the same."""
    if now.protocol_sha256 != before.protocol_sha256 or set(now.tasks) != set(before.tasks):
        return None
    cells = {"11": 0, "10": 0, "01": 0, "00": 0}
    for task, ours in now.tasks.items():
        theirs = before.tasks[task]
        if ours.scenes != theirs.scenes or len(ours.outcomes) != len(theirs.outcomes):
            return None
        for one, other in zip(ours.outcomes, theirs.outcomes, strict=True):
            if "-" not in (one, other):
                cells[one + other] += 1
    return PairedTable(n11=cells["11"], n10=cells["10"], n01=cells["01"], n00=cells["00"])


def _change(task: str, now: Baseline, before: Baseline) -> TaskChange:
    old, new = before.tasks[task], now.tasks[task]
    return TaskChange(task, (old.successes, old.n), (new.successes, new.n))


def _sentence(
    status: Status, difference: float, interval: tuple[float, float], margin: float, alpha: float
) -> str:
    words = {
        Status.HOLDS: "Not worse than the baseline by the margin",
        Status.REGRESSED: "Worse than the baseline",
        Status.INCONCLUSIVE: "Too few episodes to say whether it is worse than the baseline",
    }
    return (
        f"{words[status]}: difference {difference:+.1%}, {1 - 2 * alpha:.0%} interval "
        f"[{interval[0]:+.1%}, {interval[1]:+.1%}], margin {margin:.1%}."
    )
