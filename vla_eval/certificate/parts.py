"""Parts of a certificate that only some protocols ask for."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import BaseModel, ConfigDict

__all__ = ["Family", "RunPart", "TasksLikeThese"]


class TasksLikeThese(BaseModel):
    """Mean difference over further tasks like these; a secondary result that carries no claim.

    The tasks count as a random sample of such tasks, which nothing in the run can show.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    tasks: int
    difference: float
    """Mean of the tasks' differences, each task with equal weight."""
    spread: float
    """Estimated SD of the tasks' true differences; 0 if sampling noise explains all."""
    ci95: tuple[float, float]
    """Student's t over tasks; the variance is at least that of the tasks' sampling noise."""

    @property
    def sentence(self) -> str:
        """The result in words."""
        low, high = (f"{100 * limit:+.1f}" for limit in self.ci95)
        return (
            f"further tasks like these {self.tasks} (if they are a random sample): difference "
            f"{100 * self.difference:+.1f} points, 95 % [{low}, {high}], SD over tasks "
            f"{100 * self.spread:.1f}"
        )


class Family(BaseModel):
    """Candidates that were judged together, and the levels of one of them."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    candidates: tuple[str, ...]
    """All candidates, in the order of the run's arms."""
    declared: bool
    """Whether the protocol names them."""
    alpha: float
    """Largest chance of any false certificate among them."""
    p_worse: Mapping[str, float]
    """p-value of "worse by the margin or more" of each candidate."""
    level: float
    """Holm's level of this candidate, for "not worse by the margin"."""
    level_others: float
    """Level of all other words about it: alpha over the number of candidates."""

    @property
    def sentence(self) -> str:
        """The family in words."""
        place = "in the protocol" if self.declared else "on the command line"
        return (
            f"one of {len(self.candidates)} candidates judged together ({', '.join(self.candidates)}; "
            f"named {place}): by Holm's procedure this one needs p {self.level:.3g}, and words other than "
            f"non-inferior need {self.level_others:.3g}"
        )


class RunPart(BaseModel):
    """One of several runs that a certificate pools."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    protocol: str
    protocol_sha256: str
    records_sha256: str
    first_episode_at: str
    """Start of its first attempt; UTC, ISO 8601."""
    pairs: int
    difference: float
    e_value: float
    """Evidence against "worse by the margin or more"; the product over the runs is judged."""
