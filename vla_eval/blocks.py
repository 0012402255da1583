"""Parts of a protocol: its blocks of episodes, and the settings of a run."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Annotated, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    field_validator,
    model_validator,
)

from vla_eval.files.plain import shown
from vla_eval.realtime.settings import Realtime

__all__ = [
    "MOST_EPISODES",
    "Block",
    "Frozen",
    "Limits",
    "Positive",
    "Range",
    "RunSettings",
    "number_of",
    "refuse_too_many",
]

MOST_EPISODES = 1_000_000
"""Most episodes that one arm may have to run, and so most tasks, initial states and seeds."""
_WEEK_S = 604_800.0

NonNegative = Annotated[int, Field(ge=0, le=2**32 - 1)]
Positive = Annotated[int, Field(ge=1, le=1_000_000)]
Seconds = Annotated[float, Field(gt=0, le=_WEEK_S)]
Integer = Annotated[int, Field(ge=-(2**63), lt=2**63)]


class Frozen(BaseModel):
    """Strict and immutable: unknown keys and values of another type are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


class Range(Frozen):
    """``count`` consecutive integers from ``first``."""

    first: NonNegative = 0
    count: Positive

    def values(self) -> tuple[int, ...]:
        """Return the integers of the range, in order."""
        return tuple(range(self.first, self.first + self.count))


_ENV_ID = re.compile(r"[\w.]+:[^\s{}]*(\{task\})?[^\s{}]*-v\d+")


def _module_colon_id(value: str) -> str:
    if not _ENV_ID.fullmatch(value):
        raise ValueError(
            "is the module to import, a colon, and the id of the environment with its version; {task} "
            f"stands for the task's name, as in 'my_package:my/{{task}}-v0' (got {shown(value)})"
        )
    return value


class Block(Frozen):
    """Tasks of one suite that share an environment, a time limit and a list of initial states."""

    suite: Annotated[str, Field(min_length=1)]
    env_id: Annotated[str, AfterValidator(_module_colon_id)]
    """Gymnasium module-colon id with a version; ``{task}`` stands for the task's name, and may be left out
    where the block has one task."""
    tasks: tuple[str, ...] | Range
    """Names of tasks, or a range where the suite numbers its tasks."""
    init_states: tuple[NonNegative, ...] | Range
    max_steps: Positive
    """Time limit in control steps; settle steps inside ``reset`` do not count."""
    control_hz: Annotated[float, Field(gt=0, le=10_000)] | None = None
    """Control steps a second, so that times to success are stated in seconds too; None: in steps only."""
    env_kwargs: Mapping[str, bool | Integer | float | str] = Field(default_factory=dict)
    """Arguments of the environment: camera size, control mode, settle steps …"""

    def task_names(self) -> tuple[str, ...]:
        """Return the tasks' names, in order."""
        if isinstance(self.tasks, Range):
            return tuple(str(index) for index in self.tasks.values())
        return self.tasks

    def init_state_numbers(self) -> tuple[int, ...]:
        """Return the initial states, in order."""
        if isinstance(self.init_states, Range):
            return self.init_states.values()
        return self.init_states

    @property
    def episodes(self) -> int:
        """Number of episodes for each pair of seeds; counted without listing them."""
        return number_of(self.tasks) * number_of(self.init_states)

    @model_validator(mode="after")
    def _several_tasks_have_ids(self) -> Self:
        if "{task}" not in self.env_id and number_of(self.tasks) > 1:
            raise ValueError(
                f"env_id '{self.env_id}' is the same for all {number_of(self.tasks)} tasks; write {{task}} "
                "where the task's name stands in it, or a block for each task"
            )
        return self

    @model_validator(mode="after")
    def _lists_are_sets(self) -> Self:
        for name, values in (("tasks", self.tasks), ("init_states", self.init_states)):
            if isinstance(values, Range):
                continue
            if not values:
                raise ValueError(f"{name} is empty")
            if len(set(values)) != len(values):
                raise ValueError(f"{name} names an entry twice")
        return self


def number_of(values: Sequence[object] | Range) -> int:
    """Return how many entries a list or a range has."""
    return values.count if isinstance(values, Range) else len(values)


class Limits(Frozen):
    """Time limits of an episode, and the share of a run that may be missing."""

    infer_s: Seconds = 60.0
    """Wall time for one inference, without time in a queue."""
    env_s: Seconds = 300.0
    """Wall time for one call of the environment."""
    setup_s: Seconds = 900.0
    """Wall time to load a policy or to build an environment."""
    retries: Annotated[int, Field(ge=0, le=100)] = 2
    """Most repeats of an episode in a fresh worker after infrastructure errors."""
    error_cap: Annotated[float, Field(ge=0, le=1)] = 0.0
    """Largest share of missing episodes with which a run may still be certified."""


class RunSettings(Frozen):
    """The settings of a run."""

    env_seeds: tuple[NonNegative, ...] = (0,)
    """Seeds of the environment; in LIBERO they decide the poses of the furniture."""
    policy_seeds: tuple[NonNegative, ...] = (0,)
    """Evaluation seeds; every episode runs once with each seed, with fresh policy noise."""
    n_action_steps: Positive | None = None
    """Execution horizon; None: the policy's own."""
    order: Literal["by-task", "round-robin"] = "by-task"
    """``round-robin`` keeps every prefix of the plan balanced over tasks. Workers still stay on a
    scene as long as possible: all of a fixed plan is run, and building scenes is expensive."""
    latency: Literal["paused", "virtual"] = "paused"
    """``paused``: simulated time stands still while the policy thinks. ``virtual``: it goes on, by
    ``realtime``."""
    realtime: Realtime | None = None
    """Mode and latency of virtual time; given exactly if ``latency`` is ``virtual``."""
    max_batch: Annotated[int, Field(ge=1, le=4096)] = 1
    """Most observations per inference of a hosted policy; 1 keeps the last bits reproducible."""
    batch_wait_ms: Annotated[float, Field(ge=0, le=10_000)] = 2.0
    blind_keys: Literal[True] | None = None
    """Hide the task, initial state and seeds from policies, see :class:`~vla_eval.keys.BlindKey`."""
    limits: Limits = Limits()

    @model_validator(mode="after")
    def _virtual_time_is_declared(self) -> Self:
        if (self.latency == "virtual") != (self.realtime is not None):
            raise ValueError(
                "latency = 'virtual' and the table run.realtime (with mode and machine) go together: "
                "give both, or neither"
            )
        return self

    @field_validator("blind_keys", mode="before")
    @classmethod
    def _true_or_absent(cls, value: object) -> object:
        # 1 equals True, and would be another hash of the same protocol.
        if value is not None and value is not True:
            raise ValueError(f"is true, or left out (got {json.dumps(value)})")
        return value


def refuse_too_many(episodes: int) -> None:
    """Raise for more episodes of an arm than can be planned."""
    if episodes > MOST_EPISODES:
        raise ValueError(
            f"tasks, initial states and seeds make {episodes:,} episodes an arm; at most "
            f"{MOST_EPISODES:,} can be planned"
        )
