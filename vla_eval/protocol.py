"""Protocols: immutable, versioned, hashed TOML files with the plan of a run and its analysis.

The hash is sha256 over the canonical JSON of the validated model. So everything that could change a
result changes the hash, but comments and the order of keys do not. Fields that are added to the schema
later must default to None: None is left out of the canonical form, so the hashes of released protocols
stay the same.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from vla_eval.bounds import Alpha, Margin
from vla_eval.errors import ProtocolError
from vla_eval.files.complaints import all_complaints
from vla_eval.files.jsonfile import ArmName
from vla_eval.files.tomlfile import apply_change, as_json
from vla_eval.realtime.settings import Realtime
from vla_eval.stats import ClusterTest

__all__ = [
    "LOOKS",
    "MOST_EPISODES",
    "Analysis",
    "Block",
    "Limits",
    "Protocol",
    "Range",
    "RunSettings",
    "Secondary",
    "parse_protocol",
]

LOOKS = 5
"""Number of looks of a sequential run."""

Secondary = Literal["success rate by task", "mean score", "mean score by task", "latency"]
MOST_EPISODES = 1_000_000
"""Most episodes that one arm may have to run, and so most tasks, initial states and seeds."""
_MOST_WITH_LOOKS = 20_000
_WEEK_S = 604_800.0

NonNegative = Annotated[int, Field(ge=0, le=2**32 - 1)]
Positive = Annotated[int, Field(ge=1, le=1_000_000)]
Seconds = Annotated[float, Field(gt=0, le=_WEEK_S)]
Integer = Annotated[int, Field(ge=-(2**63), lt=2**63)]


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


class Range(_Frozen):
    """``count`` consecutive integers from ``first``."""

    first: NonNegative = 0
    count: Positive

    def values(self) -> tuple[int, ...]:
        """Return the integers of the range, in order."""
        return tuple(range(self.first, self.first + self.count))


class Block(_Frozen):
    """Tasks of one suite that share an environment, a time limit and a list of initial states."""

    suite: Annotated[str, Field(min_length=1)]
    env_id: Annotated[str, Field(pattern=r"^[\w.]+:[^\s{}]*\{task\}[^\s{}]*-v\d+$")]
    """Gymnasium module-colon id with a version; ``{task}`` stands for the task's name."""
    tasks: tuple[str, ...] | Range
    """Names of tasks, or a range where the suite numbers its tasks."""
    init_states: tuple[NonNegative, ...] | Range
    max_steps: Positive
    """Time limit in control steps; settle steps inside ``reset`` do not count."""
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
        return _count(self.tasks) * _count(self.init_states)

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


def _count(values: Sequence[object] | Range) -> int:
    return values.count if isinstance(values, Range) else len(values)


class Limits(_Frozen):
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


class RunSettings(_Frozen):
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
                "latency = 'virtual' and the table run.realtime go together: give both, or neither"
            )
        return self

    @field_validator("blind_keys", mode="before")
    @classmethod
    def _true_or_absent(cls, value: object) -> object:
        # 1 equals True, and would be another hash of the same protocol.
        if value is not None and value is not True:
            raise ValueError(f"is true, or left out (got {json.dumps(value)})")
        return value


class Analysis(_Frozen):
    """The analysis plan; fixed before the first episode."""

    estimand: Annotated[str, Field(min_length=1)]
    candidate: ArmName | None = None
    """Name of the arm to be certified; None: the command line names it."""
    reference: ArmName | None = None
    negative_control: ArmName | None = None
    """Name of an arm that must fail, to show that the run could have told a difference."""
    margin: Margin
    """Non-inferiority margin on the success rate, as a fraction."""
    margin_reason: Annotated[str, Field(min_length=1)]
    alpha: Alpha = 0.05
    """One-sided level."""
    test: Literal["tango-exact"] = "tango-exact"
    """Test of independent pairs: Tango's score test with the exact unconditional guard."""
    strata: Literal["none", "task"] = "none"
    """``task``: tasks have equal weights, even with different numbers of episodes."""
    cluster: Literal["none", "initial-state"] = "none"
    """``initial-state``: states are independent, but repeats of one state are not."""
    cluster_test: ClusterTest | None = None
    """Test of repeats, see :mod:`vla_eval.stats.clusters`; None: ``both``."""
    stopping: Literal["fixed", "obrien-fleming-5"] = "fixed"
    """``obrien-fleming-5``: five looks, see :mod:`vla_eval.judging.looks`."""
    secondary: tuple[Secondary, ...] = ()
    """Secondary results in a certificate; they carry no claim."""


class Protocol(_Frozen):
    """A whole protocol file."""

    schema_version: Literal[1]
    protocol: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]*$")]
    version: Positive
    title: Annotated[str, Field(min_length=1)]
    source: Annotated[str, Field(min_length=1)]
    """Origin of the settings."""
    leaves_open: tuple[str, ...] = ()
    """Settings that the source leaves open, and the choices made here."""
    blocks: Annotated[tuple[Block, ...], Field(min_length=1)]
    run: RunSettings = RunSettings()
    analysis: Analysis
    overrides: Mapping[str, str] | None = None
    """Command-line overrides; their presence marks a run as modified."""

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        repeats = len(self.run.env_seeds) * len(self.run.policy_seeds)
        _refuse_too_many(repeats * sum(block.episodes for block in self.blocks))
        seen: set[tuple[str, str]] = set()
        for block in self.blocks:
            for task in block.task_names():
                if (block.suite, task) in seen:
                    raise ValueError(f"task '{task}' of suite '{block.suite}' is in two blocks")
                seen.add((block.suite, task))
        for name in ("env_seeds", "policy_seeds"):
            values = getattr(self.run, name)
            if not values or len(set(values)) != len(values):
                raise ValueError(f"run.{name} must hold different seeds, at least one")
        if repeats > 1 and self.analysis.cluster == "none":
            raise ValueError(
                f"run repeats every initial state {repeats} times, so analysis.cluster must be "
                "'initial-state': repeats of one state are not independent pairs"
            )
        if self.analysis.cluster_test is not None and self.analysis.cluster == "none":
            raise ValueError("analysis.cluster_test needs analysis.cluster = 'initial-state'")
        if self.analysis.stopping != "fixed":
            self._check_looks()
        names = [self.analysis.candidate, self.analysis.reference, self.analysis.negative_control]
        filled = [name for name in names if name is not None]
        if len(set(filled)) != len(filled):
            raise ValueError("analysis names one arm in two roles")
        return self

    def _check_looks(self) -> None:
        """Refuse a protocol that looks cannot be taken of."""
        states = {_count(block.init_states) for block in self.blocks}
        repeats = len(self.run.env_seeds) * len(self.run.policy_seeds)
        why = {
            "run.order must be 'round-robin': every look has to be balanced over the tasks": (
                self.run.order != "round-robin"
            ),
            "every task needs the same number of initial states, so that looks are balanced": (
                len(states) > 1
            ),
            "five looks need five initial states of every task": min(states) < LOOKS,
            "every initial state must run once (one env seed, one policy seed): the bounds are for "
            "independent pairs": repeats > 1 or self.analysis.cluster != "none",
            f"looks are computed for at most {_MOST_WITH_LOOKS:,} episodes an arm": (
                sum(block.episodes for block in self.blocks) > _MOST_WITH_LOOKS
            ),
            "run.limits.error_cap must be 0: a look needs all of its pairs": (
                self.run.limits.error_cap > 0
            ),
        }
        for sentence, broken in why.items():
            if broken:
                raise ValueError(f"analysis.stopping = '{self.analysis.stopping}': {sentence}")

    @property
    def label(self) -> str:
        """``name@version``, with ``+modified`` if the command line changed the protocol."""
        return f"{self.protocol}@{self.version}{'+modified' if self.overrides else ''}"

    def canonical_json(self) -> str:
        """Return the canonical form: sorted keys, no whitespace, None left out, no NaN."""
        dump = self.model_dump(mode="json", exclude_none=True)
        return json.dumps(dump, sort_keys=True, separators=(",", ":"), allow_nan=False)

    def __hash__(self) -> int:
        """Make protocols usable as keys of a cache."""
        return hash((self.protocol, self.version, self.title))

    @property
    def sha256(self) -> str:
        """Hash of the canonical form: the identity of the protocol."""
        return hashlib.sha256(self.canonical_json().encode()).hexdigest()


def parse_protocol(
    data: Mapping[str, Any], where: str, *, overrides: Sequence[str] = ()
) -> Protocol:
    """Validate the content of a protocol file.

    Args:
        data: the parsed TOML.
        where: the file's name, for messages.
        overrides: ``key.path=value`` strings; they become part of the protocol and of its hash.

    Raises:
        ProtocolError: gives the path of the wrong key and the expected value.
    """
    content: dict[str, Any] = json.loads(as_json(data, where))
    for override in overrides:
        apply_change(content, override)
    if overrides:
        content["overrides"] = dict(override.split("=", 1) for override in overrides)
    try:
        return Protocol.model_validate_json(as_json(content, where))
    except ValidationError as error:
        raise ProtocolError(f"{where}: {all_complaints(error, Protocol)}") from None


def _refuse_too_many(episodes: int) -> None:
    if episodes > MOST_EPISODES:
        raise ValueError(
            f"tasks, initial states and seeds make {episodes:,} episodes an arm; at most "
            f"{MOST_EPISODES:,} can be planned"
        )
