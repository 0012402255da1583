"""Scope of a run in words, always computed from the plan."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from vla_eval.keys import EpisodeKey

__all__ = ["what_ran"]

_LISTED = 4
"""Most tasks or ranges that are listed individually."""


def what_ran(keys: Sequence[EpisodeKey]) -> str:
    """Return the tasks, initial states and seeds of a plan.

    ``so101/PickPlace, initial states 100 to 199; policy seeds 1, 2``: one clause for each group of
    tasks that share their states.
    """
    states: dict[str, dict[str, set[int]]] = {}
    for key in keys:
        states.setdefault(key.suite, {}).setdefault(key.task, set()).add(key.init_state)
    groups: dict[tuple[str, tuple[int, ...]], list[str]] = {}
    for suite, tasks in states.items():
        for task, numbers in tasks.items():
            groups.setdefault((suite, tuple(sorted(numbers))), []).append(task)
    parts = [
        f"{suite}/{_tasks(tasks)}, {_states(numbers)}" for (suite, numbers), tasks in groups.items()
    ]
    for name, seeds in (
        ("environment", {key.env_seed for key in keys}),
        ("policy", {key.policy_seed for key in keys}),
    ):
        if len(seeds) > 1:
            parts.append(f"{len(seeds)} {name} seeds ({_numbers(seeds)})")
    return "; ".join(parts)


def _tasks(names: Sequence[str]) -> str:
    if len(names) == 1:
        return names[0]
    if all(name.isdigit() for name in names):
        return f"{{{_numbers(map(int, names))}}}"
    if len(names) <= _LISTED:
        return f"{{{', '.join(names)}}}"
    return f"{len(names)} tasks ({names[0]} … {names[-1]})"


def _states(numbers: Sequence[int]) -> str:
    if len(numbers) == 1:
        return f"initial state {numbers[0]}"
    ranges = _numbers(numbers)
    return (
        f"initial states {ranges}"
        if ranges.count(",") < _LISTED
        else (f"{len(numbers)} initial states from {numbers[0]} to {numbers[-1]}")
    )


def _numbers(values: Iterable[int]) -> str:
    """Return ``0 to 4, 7``."""
    ranges: list[list[int]] = []
    for value in sorted(values):
        if ranges and value == ranges[-1][1] + 1:
            ranges[-1][1] = value
        else:
            ranges.append([value, value])
    words = [str(a) if a == b else f"{a}, {b}" if b == a + 1 else f"{a} to {b}" for a, b in ranges]
    return ", ".join(words)
