"""What an episode's record says of virtual time; absent from the records of paused episodes."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field

from vla_eval.realtime.schedule import Tally

__all__ = ["RealtimeRecord"]

Count = Annotated[int, Field(ge=0, le=2**53)]


class RealtimeRecord(BaseModel):
    """Delays and their consequences in one episode, in ticks (control steps); all deterministic."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    delays: tuple[Count, ...]
    """Delay of each inference."""
    expected_delay: Count
    """Delay that the schedule reckoned with."""
    stalled_ticks: Count
    """Ticks without a policy action; the stall action was executed."""
    late: Count
    """Inferences whose chunk arrived at a stalled robot, the first one apart."""
    skipped: Count
    """Actions that were executed by an older chunk before their own chunk arrived."""
    replaced: Count
    """Queued actions that a newer chunk took the place of."""
    discarded: Count
    """Inferences in flight at the end of the episode; they count as inferences."""
    ages: tuple[Count, ...]
    """Number of executed policy actions by age: ticks since the observation of their inference, from 0."""
    switches: Count
    """Changes of chunk between executed actions."""
    switch_jump_max: Annotated[float, Field(ge=0)]
    """Largest change of the action at such a change, over dimensions, in units of the action's range."""

    @classmethod
    def of(cls, tally: Tally, *, expected_delay: int, discarded: int, jump: float) -> Self:
        """Build from a schedule's counts."""
        oldest = max(tally.ages, default=-1)
        return cls(
            delays=tuple(tally.delays),
            expected_delay=expected_delay,
            stalled_ticks=tally.stalled_ticks,
            late=tally.late,
            skipped=tally.skipped,
            replaced=tally.replaced,
            discarded=discarded,
            ages=tuple(tally.ages[age] for age in range(oldest + 1)),
            switches=tally.switches,
            switch_jump_max=round(jump, 6),
        )

    @property
    def age_mean(self) -> float:
        """Mean age of the executed policy actions, in ticks; 0 without any."""
        return sum(age * count for age, count in enumerate(self.ages)) / max(1, sum(self.ages))

    @property
    def age_max(self) -> int:
        """Age of the oldest executed policy action, in ticks."""
        return max(0, len(self.ages) - 1)
