"""Scripted experts, one module a task: privileged policies that read the simulator's state.

The project's rooms do not import each other, with one exception, made here: an expert may import its
own task from ``vla_eval_envs``, for the kinematics and the places of things. Modules are imported
only when an episode of their task begins, so that listing policies loads no simulator.
"""

from __future__ import annotations

import importlib
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from vla_eval.environment import EvalEnv
from vla_eval.errors import UsageError, did_you_mean

__all__ = ["EXPERTS", "EpisodeExpert", "begin_episode"]

EXPERTS = {
    "so101/PickPlace": "vla_eval_policies.experts.so101_pick_place:PickPlaceExpert",
}
"""``suite/task`` to the ``module:class`` of its expert."""


class EpisodeExpert(Protocol):
    """An expert in one episode."""

    def actions(self, step: int, count: int) -> NDArray[np.float32]:
        """Return the next actions, float32 (count, A), when ``step`` have been executed."""


def begin_episode(suite: str, task: str, env: EvalEnv) -> EpisodeExpert:
    """Return a new expert for an episode of a task.

    Raises:
        UsageError: the task has no expert.
    """
    name = f"{suite}/{task}"
    if name not in EXPERTS:
        hint = did_you_mean(name, EXPERTS)
        raise UsageError(f"the policy 'expert' has no expert for the task '{name}'{hint}")
    module, _, attribute = EXPERTS[name].partition(":")
    made: Any = getattr(importlib.import_module(module), attribute)
    expert: EpisodeExpert = made(env)
    return expert
