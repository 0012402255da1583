"""The guard rail: no single task may lose more than ``analysis.task_margin``.

A mean can hold while one task collapses. So every task is tested twice at the task margin d, and Holm's
procedure limits the chance of any false finding over all tasks to alpha, for each kind of finding:

- **worse**: "the candidate loses d or less on this task" is refuted. One such task withholds the verdict.
- **held**: "it loses d or more" is refuted. A loss of d or more is ruled out.
- **open**: neither; with the few episodes of one task this is the usual finding.

Missing and retried episodes count against both findings. At a look of a sequential run the levels are
those of the look.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from pydantic import BaseModel, ConfigDict

from vla_eval.judging.methods import JudgingMethod
from vla_eval.stats import holm_levels

__all__ = ["GuardRail", "TaskFinding", "guard_rail"]

_LISTED = 6
"""Most tasks that a sentence names."""


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class TaskFinding(_Frozen):
    """One task at the guard rail."""

    task: str
    finding: Literal["worse", "held", "open"]
    p_within: float
    """p-value of "the candidate loses the task margin or less"; a small one shows a larger loss."""
    level_within: float
    """Holm's level, which that p-value must not exceed."""
    p_beyond: float
    """p-value of "it loses the task margin or more"; a small one rules such a loss out."""
    level_beyond: float


class GuardRail(_Frozen):
    """All tasks at the guard rail."""

    margin: float
    """The task margin, as a fraction."""
    alpha: float
    """Largest chance of any false finding of one kind, one-sided."""
    tasks: tuple[TaskFinding, ...]

    def having(self, finding: Literal["worse", "held", "open"]) -> tuple[str, ...]:
        """Return the tasks with a finding."""
        return tuple(task.task for task in self.tasks if task.finding == finding)

    @property
    def sentence(self) -> str:
        """The findings in words."""
        count, held = len(self.tasks), len(self.having("held"))
        return (
            f"guard rail, {100 * self.margin:g} points on each of {count} tasks: shown to be worse by "
            f"more: {_names(self.having('worse'))}; ruled out for {held} of {count}; open: "
            f"{_names(self.having('open'))}"
        )


def _names(tasks: tuple[str, ...]) -> str:
    more = f" and {len(tasks) - _LISTED} more" if len(tasks) > _LISTED else ""
    return ", ".join(tasks[:_LISTED]) + more if tasks else "none"


def guard_rail(
    worst: JudgingMethod, best: JudgingMethod, *, margin: float, alpha: float
) -> GuardRail:
    """Test every task at its margin, with Holm's levels over the tasks.

    Args:
        worst: the pairs in the candidate's worst case.
        best: the pairs in its best case.
        margin: the task margin, as a fraction.
        alpha: one-sided.
    """
    within = {task: method.p_below(-margin) for task, method in best.by_task().items()}
    beyond = {task: method.p_above(-margin) for task, method in worst.by_task().items()}
    levels_within = _levels(within, worst, alpha)
    levels_beyond = _levels(beyond, worst, alpha)
    return GuardRail(
        margin=margin,
        alpha=alpha,
        tasks=tuple(
            TaskFinding(
                task=task,
                finding="worse"
                if within[task] <= levels_within[task]
                else "held"
                if beyond[task] <= levels_beyond[task]
                else "open",
                p_within=within[task],
                level_within=levels_within[task],
                p_beyond=beyond[task],
                level_beyond=levels_beyond[task],
            )
            for task in within
        ),
    )


def _levels(p_values: Mapping[str, float], method: JudgingMethod, alpha: float) -> dict[str, float]:
    levels = holm_levels(
        list(p_values.values()), alpha=alpha, in_use=lambda share: method.level(2 * share) / 2
    )
    return dict(zip(p_values, levels, strict=True))
