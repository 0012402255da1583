"""Catalogue of suites and their tasks, found through the entry-point group ``vla_eval.envs``.

An entry point names a function without arguments that returns a tuple of :class:`Suite`. Looking up
the catalogue imports no simulator, so ``vlaeval list`` answers at once and works without extras.
"""

from __future__ import annotations

import functools
import pkgutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from vla_eval.errors import UsageError, did_you_mean
from vla_eval.installed import offers

if TYPE_CHECKING:
    from vla_eval.keys import EpisodeKey
    from vla_eval.protocol import Protocol

__all__ = [
    "Cost",
    "Suite",
    "Task",
    "action_fields",
    "check_catalogue",
    "control_hz",
    "development_keys",
    "find_suite",
    "prepare",
    "suites",
]


@dataclass(frozen=True)
class Cost:
    """Cost of one environment on the developers' machine (2 cores, software GL), in seconds."""

    build_s: float
    reset_s: float
    advance_s: float
    observe_s: float


@dataclass(frozen=True)
class Task:
    """One instruction in one scene."""

    name: str
    """Name within the suite, as protocols and records use it: ``PickPlace``, or ``4`` in LIBERO."""
    env_id: str
    """Gymnasium module-colon id, for example ``vla_eval_envs:so101/PickPlace-v0``."""
    instruction: str
    init_states: int
    """Number of frozen initial states of the task."""
    max_steps: int
    """The time limit registered with Gymnasium; protocols set their own."""
    entry_point: str
    """``module:Class`` for Gymnasium's registry."""
    kwargs: Mapping[str, Any] = field(default_factory=dict)
    """Constructor arguments that select this task; JSON values only."""
    development_states: int = 0
    """Number of initial states, counted from the first, that are reserved for demonstrations, tuning and
    choosing checkpoints; a claim is about the others. 0 if none are reserved."""


@dataclass(frozen=True)
class Suite:
    """A named list of tasks that share an embodiment and an environment."""

    name: str
    description: str
    tasks: tuple[Task, ...]
    extra: str
    """The optional dependency of vla-eval-suite that the suite needs."""
    cost: Cost
    control_hz: float | None = None
    """Control rate in Hz, as in its environments' ``metadata["render_fps"]``; None: only they know."""
    doctor: str | None = None
    """``module:function`` returning a list of ``(name, ok, detail, remedy)`` tuples."""
    prepare: str | None = None
    """``module:function`` that takes a block's ``env_kwargs``. It is called once before a run starts its
    workers. It fetches the environments' requirements, such as assets, or raises one sentence that
    gives the reason."""
    actions: str | None = None
    """``module:function`` that takes a block's ``env_kwargs`` and returns (name, unit) of every action
    dimension, in order; it needs no simulator. None: viewers number the dimensions."""

    def task(self, name: str) -> Task:
        """Return the task with this name, or raise UsageError with the nearest name."""
        for task in self.tasks:
            if task.name == name:
                return task
        hint = did_you_mean(name, [task.name for task in self.tasks])
        raise UsageError(f"suite '{self.name}' has no task '{name}'{hint}")


@functools.cache
def suites() -> tuple[Suite, ...]:
    """Return every suite that an installed distribution offers, sorted by name.

    A distribution whose suites cannot be loaded is left out with a warning.
    """
    by_name: dict[str, Suite] = {}
    for origin, offered in offers("vla_eval.envs", lambda point: tuple(point.load()())):
        for suite in offered:
            if suite.name in by_name and by_name[suite.name] != suite:
                raise UsageError(
                    f"two installed distributions offer a suite named '{suite.name}'; "
                    f"uninstall one of them (the second comes from the entry point '{origin}')"
                )
            by_name[suite.name] = suite
    return tuple(by_name[name] for name in sorted(by_name))


def control_hz(suite: str) -> float | None:
    """Return the control rate of a suite's tasks in Hz; None if it is not known without a simulator."""
    return next((each.control_hz for each in suites() if each.name == suite), None)


def action_fields(suite: str, env_kwargs: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    """Return (name, unit) of every action dimension; empty if it is not known without a simulator."""
    found = next((each.actions for each in suites() if each.name == suite), None)
    if found is None:
        return ()
    fields: tuple[tuple[str, str], ...] = pkgutil.resolve_name(found)(dict(env_kwargs))
    return fields


def find_suite(name: str) -> Suite:
    """Return the suite with this name, or raise UsageError with the nearest name."""
    for suite in suites():
        if suite.name == name:
            return suite
    hint = did_you_mean(name, [suite.name for suite in suites()])
    raise UsageError(f"no suite is named '{name}'{hint}")


def check_catalogue(protocol: Protocol) -> None:
    """Refuse tasks and initial states that a known suite does not have; accept unknown suites.

    Raises:
        UsageError: names the block and the task.
    """
    known = {suite.name: suite for suite in suites()}
    for position, block in enumerate(protocol.blocks):
        suite = known.get(block.suite)
        if suite is None:
            continue
        last = max(block.init_state_numbers())
        for name in block.task_names():
            task = suite.task(name)
            if last >= task.init_states:
                raise UsageError(
                    f"{protocol.label}, blocks.{position}: initial state {last} of "
                    f"{block.suite}/{name} does not exist; it has 0 to {task.init_states - 1}"
                )


def prepare(protocol: Protocol) -> None:
    """Let each known suite of a protocol fetch its environments' requirements.

    Raises:
        UsageError, InfrastructureError: a requirement is not available.
    """
    known = {suite.name: suite for suite in suites()}
    for block in protocol.blocks:
        suite = known.get(block.suite)
        if suite is not None and suite.prepare is not None:
            pkgutil.resolve_name(suite.prepare)(dict(block.env_kwargs))


def development_keys(protocol: Protocol) -> list[EpisodeKey]:
    """Return the planned episodes that begin in a development state, in the plan's order.

    Unknown suites and tasks have no development states.
    """
    from vla_eval.plan import expand  # here: a list of suites needs no protocols

    reserved = {
        (suite.name, task.name): task.development_states
        for suite in suites()
        for task in suite.tasks
    }
    keys = (episode.key for episode in expand(protocol))
    return [key for key in keys if key.init_state < reserved.get((key.suite, key.task), 0)]
