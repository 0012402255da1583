"""Scripted experts, one module a task: privileged policies that read the simulator's state.

The name of an expert follows from its task: ``so101.pick_place:PickPlaceExpert`` is the expert of
``vla_eval_envs.so101.pick_place:PickPlace``; there is no other registration. LIBERO has one expert for
all of its tasks, which reads goals and shapes.

The project's packages do not import each other, with one exception: an expert may import its own task
from ``vla_eval_envs``, for kinematics and positions. An expert's module is imported only when an episode
of its task begins.
"""

from __future__ import annotations

import functools
import importlib.util
import pkgutil
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from vla_eval.catalog import suites
from vla_eval.environment import EvalEnv
from vla_eval.errors import UsageError, did_you_mean
from vla_eval_policies.experts.motion import Pace

__all__ = ["EpisodeExpert", "ExpertMaker", "begin_episode", "experts"]

_HERE = "vla_eval_policies.experts"
_ENVS = "vla_eval_envs."
_LIBERO = f"{_HERE}.libero.expert:LiberoExpert"


class EpisodeExpert(Protocol):
    """An expert in one episode."""

    def actions(self, step: int, count: int) -> NDArray[np.float32]:
        """Return the next actions, float32 (count, A), after ``step`` executed actions."""


class ExpertMaker(Protocol):
    """The class of an expert; calling it begins an episode."""

    def __call__(
        self, env: EvalEnv, *, pace: Pace, generator: np.random.Generator
    ) -> EpisodeExpert:
        """Return a new expert.

        Args:
            env: the simulator.
            pace: speed of the motion.
            generator: the episode's generator, for choices that the task leaves open.
        """


def begin_episode(
    suite: str, task: str, env: EvalEnv, *, pace: Pace, generator: np.random.Generator
) -> EpisodeExpert:
    """Return a new expert for an episode of a task.

    Raises:
        UsageError: the task has no expert.
    """
    name, known = f"{suite}/{task}", experts()
    if name not in known:
        hint = did_you_mean(
            name, [task_name for task_name in known if task_name.startswith(f"{suite}/")]
        )
        raise UsageError(f"the policy 'expert' has no expert for the task '{name}'{hint}")
    maker: ExpertMaker = pkgutil.resolve_name(known[name])
    return maker(env, pace=pace, generator=generator)


@functools.cache
def experts() -> dict[str, str]:
    """Return the ``module:class`` of every task's expert, an :class:`ExpertMaker`, by ``suite/task``."""
    classes = {}
    for suite in suites():
        for task in suite.tasks:
            expert = _LIBERO if suite.extra == "libero" else _expert_of(task.entry_point)
            if expert is not None:
                classes[f"{suite.name}/{task.name}"] = expert
    return classes


def _expert_of(entry_point: str) -> str | None:
    """Return the expert whose name follows from an environment, if its module exists."""
    module, _, name = entry_point.partition(":")
    expert = f"{_HERE}.{module.removeprefix(_ENVS)}"
    if not module.startswith(_ENVS) or importlib.util.find_spec(expert) is None:
        return None
    return f"{expert}:{name}Expert"
