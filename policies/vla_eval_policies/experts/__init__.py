"""Scripted experts, one module a task: privileged policies that read the simulator's state.

The project's rooms do not import each other, with one exception, made here: an expert may import its
own task from ``vla_eval_envs``, for the kinematics and the places of things. Modules are imported
only when an episode of their task begins, so that listing policies loads no simulator.
"""

from __future__ import annotations

import importlib
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from vla_eval.environment import EvalEnv
from vla_eval.errors import UsageError, did_you_mean
from vla_eval_policies.experts.motion import Pace

__all__ = ["EXPERTS", "EpisodeExpert", "ExpertMaker", "begin_episode"]

_HERE = "vla_eval_policies.experts"
EXPERTS = {
    "lekiwi/ShoppingChocolate": f"{_HERE}.lekiwi.shopping:ShoppingExpert",
    "lekiwi/ShoppingMatcha": f"{_HERE}.lekiwi.shopping:ShoppingExpert",
    "lekiwi/ShoppingSalt": f"{_HERE}.lekiwi.shopping:ShoppingExpert",
    "so101/PickPlace": f"{_HERE}.so101.pick_place:PickPlaceExpert",
    "so101/PickPlaceEither": f"{_HERE}.so101.pick_place:PickPlaceEitherExpert",
    "so101/Sorting": f"{_HERE}.so101.sorting:SortingExpert",
    "so101/Stacking": f"{_HERE}.so101.stacking:StackingExpert",
}
"""``suite/task`` to the ``module:class`` of its expert, an :class:`ExpertMaker`."""
_LIBERO = f"{_HERE}.libero.expert:LiberoExpert"
"""One expert for all of LIBERO: it reads goals and shapes, not the names of tasks."""


class EpisodeExpert(Protocol):
    """An expert in one episode."""

    def actions(self, step: int, count: int) -> NDArray[np.float32]:
        """Return the next actions, float32 (count, A), when ``step`` have been executed."""


class ExpertMaker(Protocol):
    """What begins an episode: an expert's class."""

    def __call__(
        self, env: EvalEnv, *, pace: Pace, generator: np.random.Generator
    ) -> EpisodeExpert:
        """Return a new expert.

        Args:
            env: the simulator.
            pace: how fast to move.
            generator: the episode's own, for what the task leaves open.
        """


def begin_episode(
    suite: str, task: str, env: EvalEnv, *, pace: Pace, generator: np.random.Generator
) -> EpisodeExpert:
    """Return a new expert for an episode of a task.

    Raises:
        UsageError: the task has no expert.
    """
    name = f"{suite}/{task}"
    reference = _LIBERO if suite.startswith("libero_") else EXPERTS.get(name)
    if reference is None:
        hint = did_you_mean(name, EXPERTS)
        raise UsageError(f"the policy 'expert' has no expert for the task '{name}'{hint}")
    module, _, attribute = reference.partition(":")
    maker: ExpertMaker = getattr(importlib.import_module(module), attribute)
    return maker(env, pace=pace, generator=generator)
