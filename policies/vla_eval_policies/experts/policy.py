"""``expert``: the scripted expert of the running task."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field

from vla_eval.catalog import find_suite
from vla_eval.environment import EvalEnv, Observation
from vla_eval.errors import PolicySpecError, UsageError
from vla_eval.keys import EpisodeKey, PolicyKey
from vla_eval.policy import ActionChunk, Context, Placement, Policy, PolicyMetadata
from vla_eval.record import Outcome
from vla_eval.spec import parse_options
from vla_eval_policies.experts import EpisodeExpert, begin_episode
from vla_eval_policies.experts.motion import PACES

__all__ = ["ExpertFactory", "ExpertPolicy"]

_N_ACTION_STEPS = 10
# More episodes than any worker interleaves. An expert that was forgotten in the middle of an episode
# plans again from the present state, as after a failed grasp.
_EPISODES_REMEMBERED = 64


class _Options(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    pace: Literal["slow", "normal", "fast"] = "normal"
    """Speed of the motion: a careful, an ordinary or a practised teleoperator."""
    chunk: int = Field(default=_N_ACTION_STEPS, ge=_N_ACTION_STEPS, le=1000)
    """Number of actions in a chunk, of which ten are executed; with a delay the others are needed, too."""


class ExpertPolicy:
    """Asks the expert of every episode's task; reads the simulator.

    It draws random numbers only if a task leaves a choice open: once an episode, from the stream
    ``side`` of the episode's key.
    """

    blind: ClassVar[bool] = True

    def __init__(self, pace: str = "normal", chunk: int = _N_ACTION_STEPS) -> None:
        self._pace = PACES[pace]
        self._chunk = chunk
        self.metadata = PolicyMetadata(
            name="expert",
            method="scripted",
            chunk_size=chunk,
            n_action_steps=_N_ACTION_STEPS,
            privileged=True,
            options={"pace": pace},
            trained_on=(),
        )
        self._episodes: OrderedDict[PolicyKey, EpisodeExpert] = OrderedDict()

    def infer(
        self, observations: Sequence[Observation], contexts: Sequence[Context]
    ) -> list[ActionChunk]:
        """Return the next actions of every episode; the observations are ignored.

        Raises:
            UsageError: the task has no expert, or the simulator is not accessible.
        """
        del observations
        return [
            ActionChunk(self._expert(context).actions(context.executed, self._chunk))
            for context in contexts
        ]

    def end_episode(self, key: PolicyKey, outcome: Outcome | None) -> None:
        """Forget the episode's expert."""
        del outcome
        self._episodes.pop(key, None)

    def _expert(self, context: Context) -> EpisodeExpert:
        expert = self._episodes.get(context.key) if context.chunk_index > 0 else None
        if expert is None:
            if context.env is None:
                raise UsageError("policy 'expert' needs the environment at hand (worker placement)")
            # The episode's generator, not the chunk's: a forgotten expert must make the same choice again.
            expert = begin_episode(
                context.suite,
                _task_of(context, context.env),
                context.env,
                pace=self._pace,
                generator=context.key.generator(0, "side"),
            )
        self._episodes[context.key] = expert
        self._episodes.move_to_end(context.key)
        if len(self._episodes) > _EPISODES_REMEMBERED:
            self._episodes.popitem(last=False)
        return expert


def _task_of(context: Context, env: EvalEnv) -> str:
    """Return the task's name from the key; if it is hidden there, that of the environment's id."""
    if isinstance(context.key, EpisodeKey):
        return context.key.task
    if env.spec is None:
        raise UsageError(
            "policy 'expert': the protocol hides keys (run.blind_keys), and the environment was not "
            "made by its id, so that nothing says which task this is"
        )
    for task in find_suite(context.suite).tasks:
        if task.env_id.rpartition(":")[2] == env.spec.id:
            return task.name
    return env.spec.name


class ExpertFactory:
    """``expert[?pace=slow|normal|fast][&chunk=10]``."""

    help: ClassVar[str] = "the scripted expert of the task: the ceiling, and a source of data"

    def placement(self, target: str | None) -> Placement:
        """Return the worker, because the expert reads the simulator."""
        del target
        return "worker"

    def __call__(self, target: str | None, options: Mapping[str, Any]) -> Policy:
        """Build the policy; it has no target."""
        if target is not None:
            raise PolicySpecError(f"policy kind 'expert' takes no target (got '{target}')")
        chosen = parse_options(_Options, options, "expert")
        return ExpertPolicy(chosen.pace, chosen.chunk)
