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

from pydantic import (
    Field,
    ValidationError,
    model_validator,
)

from vla_eval.analysis import Analysis, Resize
from vla_eval.blocks import Block, Frozen, Positive, RunSettings, number_of, refuse_too_many
from vla_eval.drawing.svg import shorten
from vla_eval.errors import ProtocolError
from vla_eval.files.complaints import all_complaints
from vla_eval.files.tomlfile import apply_change, as_json

__all__ = [
    "LOOKS",
    "Protocol",
    "parse_protocol",
]

LOOKS = 5
"""Number of looks of a sequential run."""

_MOST_WITH_LOOKS = 20_000
_MOST_RESIZED = 2_000
_SHOWN = 120
"""Most characters of a change that sentences show."""


class Protocol(Frozen):
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
        refuse_too_many(self.episodes)
        seen: set[tuple[str, str]] = set()
        for block in self.blocks:
            for task in block.task_names():
                if (block.suite, task) in seen:
                    raise ValueError(f"task '{task}' of suite '{block.suite}' is in two blocks")
                seen.add((block.suite, task))
        self._check_repeats()
        if self.analysis.stopping != "fixed":
            self._check_looks()
        if self.analysis.resize is not None:
            self._check_resize(self.analysis.resize)
        names = [self.analysis.candidate, self.analysis.reference, self.analysis.negative_control]
        filled = [name for name in (*names, *(self.analysis.candidates or ())) if name is not None]
        if len(set(filled)) != len(filled):
            raise ValueError("analysis names one arm in two roles")
        self._check_tasks([f"{suite}/{task}" for suite, task in sorted(seen)])
        self._check_candidates()
        return self

    def _check_repeats(self) -> None:
        """Refuse seeds and tests of repeats that do not go together."""
        repeats = len(self.run.env_seeds) * len(self.run.policy_seeds)
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

    def _check_tasks(self, tasks: Sequence[str]) -> None:
        """Refuse weights that do not fit the tasks, and a guard rail for one task."""
        weights = self.analysis.weights
        if weights is not None:
            if self.analysis.strata != "task" or self.analysis.stopping != "fixed":
                raise ValueError(
                    "analysis.weights needs analysis.strata = 'task' and analysis.stopping = 'fixed'"
                )
            if sorted(weights) != sorted(tasks):
                strange = min(set(weights) ^ set(tasks))
                raise ValueError(
                    f"analysis.weights must name every task of the blocks and no other, as SUITE/TASK "
                    f"('{strange}' is on one side only)"
                )
        if self.analysis.task_margin is not None and len(tasks) < 2:
            raise ValueError("analysis.task_margin needs two or more tasks")

    def _check_candidates(self) -> None:
        """Refuse a family of candidates that cannot be judged."""
        several = self.analysis.candidates
        if several is None:
            return
        if len(several) < 2 or self.analysis.candidate is not None:
            raise ValueError(
                "analysis.candidates names two or more arms; for one arm use analysis.candidate alone"
            )
        if self.analysis.stopping != "fixed":
            raise ValueError(
                "analysis.candidates needs analysis.stopping = 'fixed': looks compare one candidate "
                "with the reference"
            )

    def _check_looks(self) -> None:
        """Refuse a protocol that looks cannot be taken of."""
        states = [number_of(block.init_states) for block in self.blocks]
        why = self._no_rounds() | {
            "five looks need five initial states of every task": min(states) < LOOKS,
            f"looks are computed for at most {_MOST_WITH_LOOKS:,} episodes an arm": (
                self.episodes > _MOST_WITH_LOOKS
            ),
        }
        _refuse(f"analysis.stopping = '{self.analysis.stopping}'", why)

    def _check_resize(self, resize: Resize) -> None:
        """Refuse a protocol whose number of pairs cannot be set after the first of them."""
        tasks = sum(number_of(block.tasks) for block in self.blocks)
        sizes = (resize.after, resize.planned, resize.at_most)
        why = {
            "the run has looks (analysis.stopping), which stop it early already; choose one of the two": (
                self.analysis.stopping != "fixed"
            ),
            "the rule is for one candidate; leave out analysis.candidates": (
                self.analysis.candidates is not None
            ),
            "pairs weigh the same; leave out analysis.weights": self.analysis.weights is not None,
            "after, planned and at_most must rise (planned may equal after)": not (
                resize.after <= resize.planned < resize.at_most
            ),
            f"after, planned and at_most must be whole rounds over the tasks: multiples of {tasks}": any(
                size % tasks for size in sizes
            ),
            f"the blocks list {self.episodes} episodes an arm, and at_most is {resize.at_most}; list "
            "exactly the most that may run": self.episodes != resize.at_most,
            f"sizes are computed for at most {_MOST_RESIZED:,} episodes an arm": (
                resize.at_most > _MOST_RESIZED
            ),
        }
        _refuse("analysis.resize", self._no_rounds() | why)

    def _no_rounds(self) -> dict[str, bool]:
        """Return what keeps prefixes of the plan from being balanced, independent and complete pairs."""
        states = {number_of(block.init_states) for block in self.blocks}
        repeats = len(self.run.env_seeds) * len(self.run.policy_seeds)
        return {
            "run.order must be 'round-robin': every look has to be balanced over the tasks": (
                self.run.order != "round-robin"
            ),
            "every task needs the same number of initial states, so that looks are balanced": (
                len(states) > 1
            ),
            "every initial state must run once (one env seed, one policy seed): the bounds are for "
            "independent pairs": repeats > 1 or self.analysis.cluster != "none",
            "run.limits.error_cap must be 0: a look needs all of its pairs": (
                self.run.limits.error_cap > 0
            ),
        }

    @property
    def episodes(self) -> int:
        """Number of episodes an arm; counted without listing them."""
        repeats = len(self.run.env_seeds) * len(self.run.policy_seeds)
        return repeats * sum(block.episodes for block in self.blocks)

    @model_validator(mode="after")
    def _recipes_can_be_judged(self) -> Self:
        analysis, recipe = self.analysis, self.analysis.recipe
        if recipe is None:
            return self
        why = {
            "leave out analysis.candidate, candidates and reference, which analysis.recipe replaces": (
                bool(analysis.candidate or analysis.candidates or analysis.reference)
            ),
            "leave out analysis.task_margin and weights: recipes are judged over all tasks alike": (
                analysis.task_margin is not None or analysis.weights is not None
            ),
            "leave out analysis.measure and resize: recipes are judged by success, on a fixed plan": (
                analysis.measure is not None or analysis.resize is not None
            ),
            "analysis.secondary may be 'success rate by task' and 'mean score'": (
                not {*analysis.secondary} <= {"success rate by task", "mean score"}
            ),
            "analysis.negative_control is an arm of a recipe as well": (
                analysis.negative_control in recipe.names
            ),
            "analysis.stopping must be 'fixed': the bounds of the looks are for two arms": (
                analysis.stopping != "fixed"
            ),
            "leave out analysis.resize: its test is for two arms": analysis.resize is not None,
            "every task needs two initial states, whose spread is part of the interval": (
                min(number_of(block.init_states) for block in self.blocks) < 2
            ),
        }
        for sentence, broken in why.items():
            if broken:
                raise ValueError(f"analysis.recipe: {sentence}")
        return self

    @property
    def label(self) -> str:
        """``name@version``, with ``+modified`` if the command line changed the protocol."""
        return f"{self.protocol}@{self.version}{'+modified' if self.overrides else ''}"

    @property
    def changes(self) -> str:
        """The changes of the command line in one line; a table of numbers is cut short."""
        values = (self.overrides or {}).items()
        return ", ".join(f"{key}={shorten(value, _SHOWN)}" for key, value in values)

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


def _refuse(what: str, reasons: Mapping[str, bool]) -> None:
    """Raise for the first reason that holds."""
    for sentence, holds in reasons.items():
        if holds:
            raise ValueError(f"{what}: {sentence}")
