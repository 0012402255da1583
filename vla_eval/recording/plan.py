"""Chooses the episodes for a recording of demonstrations, from a suite or from a protocol."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from vla_eval.catalog import Suite, find_suite, suites
from vla_eval.errors import UsageError, did_you_mean
from vla_eval.keys import EpisodeKey
from vla_eval.plan import PlannedEpisode, expand
from vla_eval.protocol import Protocol
from vla_eval.released import load_protocol

__all__ = ["find_source", "plan_recording", "source_label"]

_SUITE_STATES = 100
"""Default number of recorded initial states of a suite: those meant for development."""


def find_source(name: str, changes: Sequence[str] = ()) -> Suite | Protocol:
    """Return the suite of that name if there is one, else the protocol.

    Args:
        name: name of a suite or of a shipped protocol, or path of a protocol file.
        changes: ``KEY.PATH=VALUE`` changes of a protocol.

    Raises:
        UsageError: there is no such suite or protocol, or the changes are for a suite.
    """
    if name not in {suite.name for suite in suites()}:
        return load_protocol(name, overrides=changes)
    if changes:
        raise UsageError("--set changes a protocol; for a suite, use --env KEY=VALUE")
    return find_suite(name)


def source_label(source: Suite | Protocol) -> str:
    """Return the source's name for a dataset: the suite, or the protocol with its hash."""
    return source.name if isinstance(source, Suite) else f"{source.label} {source.sha256[:12]}"


def plan_recording(
    source: Suite | Protocol,
    *,
    tasks: Sequence[str] | None = None,
    init_states: Sequence[int] | None = None,
    env_kwargs: Mapping[str, Any] | None = None,
    policy_seed: int | None = None,
) -> list[PlannedEpisode]:
    """Return the episodes to record, in order.

    Args:
        source: suite or protocol of the episodes, see :func:`find_source`.
        tasks: names of the tasks to record; default all.
        init_states: numbers of the initial states; default all of a protocol, the first 100 of a suite.
        env_kwargs: arguments of the environment beyond those of the source.
        policy_seed: evaluation seed in place of the source's: fresh policy noise on the same scenes.

    Raises:
        UsageError: the source lacks a task or an initial state.
    """
    if isinstance(source, Suite):
        plan = _of_suite(source, range(_SUITE_STATES) if init_states is None else init_states)
    else:
        plan = expand(source)
    chosen = _chosen(list(plan), tasks, init_states)
    return [_changed(episode, env_kwargs or {}, policy_seed) for episode in chosen]


def _of_suite(suite: Suite, init_states: Sequence[int]) -> Iterable[PlannedEpisode]:
    for task in suite.tasks:
        for state in init_states:
            if state < task.init_states:
                key = EpisodeKey(suite.name, task.name, state, 0, 0)
                yield PlannedEpisode(key, task.env_id, {}, task.max_steps)


def _chosen(
    plan: Sequence[PlannedEpisode], tasks: Sequence[str] | None, init_states: Sequence[int] | None
) -> list[PlannedEpisode]:
    """Return the requested part of a plan; raise UsageError if a part of it does not exist."""
    known = dict.fromkeys(episode.key.task for episode in plan)
    names = list(known) if tasks is None else tasks
    for name in names:
        if name not in known:
            raise UsageError(f"--tasks: there is no task '{name}'{did_you_mean(name, known)}")
    chosen = [
        episode
        for episode in plan
        if episode.key.task in names
        and (init_states is None or episode.key.init_state in init_states)
    ]
    have = {episode.key.init_state for episode in chosen}
    missing = [state for state in init_states or () if state not in have]
    if missing or not chosen:
        raise UsageError(f"--init-states: there is no initial state {missing[:1] or ''}")
    return chosen


def _changed(
    episode: PlannedEpisode, env_kwargs: Mapping[str, Any], policy_seed: int | None
) -> PlannedEpisode:
    key = episode.key
    if policy_seed is not None:
        key = dataclasses.replace(key, policy_seed=policy_seed)
    return dataclasses.replace(episode, key=key, env_kwargs={**episode.env_kwargs, **env_kwargs})
