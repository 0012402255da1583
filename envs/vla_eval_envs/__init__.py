"""Gymnasium environments of vla_eval: LIBERO, simulated SO-101 and LeKiwi tasks.

Importing this package registers every task with Gymnasium and loads no simulator::

    env = gymnasium.make("vla_eval_envs:so101/PickPlace-v0")
    env = gymnasium.make("vla_eval_envs:lekiwi/ShoppingSalt-v0")
    env = gymnasium.make("vla_eval_envs:libero/spatial-4-v0")
"""

from __future__ import annotations

from collections.abc import Iterable

import gymnasium

from vla_eval.catalog import Suite, Task
from vla_eval_envs.lekiwi.catalog import suites as _lekiwi_suites
from vla_eval_envs.libero.catalog import suites as _libero_suites
from vla_eval_envs.so101.catalog import suites as _so101_suites

__all__: list[str] = []


def _register(suites: Iterable[Suite]) -> None:
    for suite in suites:
        for task in suite.tasks:
            _register_task(task)


def _register_task(task: Task) -> None:
    # The part before the colon tells gymnasium.make which module to import; it is not the id.
    env_id = task.env_id.partition(":")[2]
    if env_id not in gymnasium.registry:
        gymnasium.register(
            env_id,
            entry_point=task.entry_point,
            max_episode_steps=task.max_steps,
            kwargs=dict(task.kwargs),
        )


_register(_so101_suites())
_register(_lekiwi_suites())
_register(_libero_suites())
