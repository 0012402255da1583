"""A checker for policies, as Gymnasium's ``check_env`` is one for environments.

It checks the promises of :mod:`vla_eval.policy` that a type checker cannot see: the same episode gives
the same actions, episodes do not disturb each other, each member of a batch gets the same actions as
alone, and no global random numbers are drawn.
"""

from __future__ import annotations

import copy
import random
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from gymnasium.spaces import Box
from numpy.typing import NDArray

from vla_eval.chunks import check_chunk, check_reply
from vla_eval.environment import EvalEnv, Observation
from vla_eval.errors import InvalidActionError, PolicySpecError, UsageError, VlaEvalError
from vla_eval.keys import EpisodeKey
from vla_eval.policy import (
    ActionChunk,
    Context,
    Finding,
    Policy,
    WarmsUp,
    ability,
    end_episode,
    is_policy,
)
from vla_eval.record import Outcome

__all__ = ["check_policy", "first_actions", "first_inference", "policy_findings"]

_OUTCOMES: tuple[Outcome | None, ...] = ("success", "failure", "error", None)
_GENERATOR = "draw random numbers from context.generator() only"
_TOLERANCE = 1e-3
"""Largest change of an action in a batch, as a share of its range: sums round by their size."""


def check_policy(policy: Policy, env: EvalEnv) -> None:
    """Check that a policy keeps the contract; about ten inferences.

    ::

        env = vla_eval.make_env("vla_eval_envs:so101/PickPlace-v0", {})
        vla_eval.check_policy(MyPolicy(), env)

    Args:
        policy: any policy; wrappers and their optional abilities are checked as they are used.
        env: an environment that the policy is made for; it is reset, but not closed.

    Raises:
        PolicySpecError: lists all faults of the policy.
    """
    if not is_policy(policy):
        raise PolicySpecError(
            f"{type(policy).__name__} is no policy: it needs 'metadata' (a PolicyMetadata) and "
            "'infer(observations, contexts)'"
        )
    spec = env.spec
    suite, task = ("check", "check") if spec is None else (spec.namespace or "", spec.name)
    faults = [finding for finding in policy_findings(policy, env, suite, task) if not finding.ok]
    if faults:
        lines = "; ".join(f"{fault.name}: {fault.detail}" for fault in faults)
        raise PolicySpecError(f"policy '{policy.metadata.name}' breaks its contract: {lines}")


def policy_findings(policy: Policy, env: EvalEnv, suite: str, task: str) -> list[Finding]:
    """Return the finding of each check, in the order of the checks.

    Args:
        policy: any policy.
        env: an environment that the policy is made for.
        suite: the contexts' suite, by which some policies choose cameras and units.
        task: the contexts' task.

    Raises:
        PolicySpecError: it raises, or its first chunk cannot be executed, so no check is possible.
    """
    trial = _Trial(policy, env, suite, task)
    checks = dict(_CHECKS)
    if not policy.metadata.privileged:  # a privileged policy reads the only simulator
        checks |= _CHECKS_OF_TWO_EPISODES
    tried = ((name, _tried(check, trial)) for name, check in checks.items())
    return [Finding(name, *verdict) for name, verdict in tried if verdict is not None]


def _tried(check: _Check, trial: _Trial) -> _Verdict | None:
    """Return a check's verdict; a policy that raises fails it."""
    try:
        return check(trial)
    except VlaEvalError:
        raise
    except Exception as error:  # noqa: BLE001 - anybody's policy
        return f"raises {type(error).__name__}: {error}", False


def first_inference(
    policy: Policy, suite: str, task: str, env: EvalEnv, init_state: int = 0
) -> tuple[Observation, Context]:
    """Reset an environment, and return a policy's first observation and context.

    Raises:
        UsageError: the environment's action space is not a Box.
    """
    observation, _ = env.reset(seed=0, options={"init_state": init_state})
    space = env.action_space
    if not isinstance(space, Box):
        raise UsageError(f"the action space must be a Box, not {space}")
    context = Context(
        EpisodeKey(suite, task, init_state, 0, 0),
        step=0,
        chunk_index=0,
        instruction=env.task_description,
        action_low=space.low.astype(np.float32),
        action_high=space.high.astype(np.float32),
        env=env if policy.metadata.privileged else None,
    )
    return observation, context


def first_actions(
    policy: Policy, observation: Observation, context: Context
) -> tuple[ActionChunk, NDArray[np.float32]]:
    """Return a policy's first chunk, and its actions (T, A).

    Raises:
        PolicySpecError: the policy raises, or the chunk cannot be executed.
    """
    try:
        (chunk,) = check_reply(policy.infer([observation], [context]), 1)
        return chunk, check_chunk(chunk, context.action_low)
    except InvalidActionError as error:
        raise PolicySpecError(f"its first action cannot be executed: {error}") from None
    except VlaEvalError:
        raise
    except Exception as error:
        raise PolicySpecError(
            f"its first inference raises {type(error).__name__}: {error}"
        ) from error


type _Question = tuple[Observation, Context]
type _Verdict = tuple[str, bool]
"""The detail of a check, and whether the check passed."""
type _Check = Callable[[_Trial], _Verdict | None]
"""A check of a trial; it returns None if there is nothing to check."""


@dataclass
class _Trial:
    """A policy, and the first observations of two episodes."""

    policy: Policy
    env: EvalEnv
    suite: str
    task: str

    def __post_init__(self) -> None:
        self.second = self._begin(1)
        self.first = self._begin(0)
        observation, context = self.first
        self.chunk, self.actions = first_actions(self.policy, copy.deepcopy(observation), context)

    def _begin(self, init_state: int) -> _Question:
        return first_inference(self.policy, self.suite, self.task, self.env, init_state)

    def later(self) -> _Question:
        """Execute the first chunk; return the policy's next observation and context."""
        observation, context = self.first
        executed = self.actions[: self.policy.metadata.n_action_steps]
        recent = [observation]
        for action in np.clip(executed, context.action_low, context.action_high):
            self.env.advance(action)
            recent.append(self.env.observe())
        earlier = self.policy.metadata.n_obs_steps - 1
        history = tuple(recent[:-1][-earlier:]) if earlier else ()
        after = replace(context, step=len(executed), chunk_index=1, history=history)
        return recent[-1], after

    def ask(self, *questions: _Question) -> ActionChunk:
        """Ask a batch of questions; return the chunk for the first of them."""
        observations = [copy.deepcopy(observation) for observation, _ in questions]
        reply = self.policy.infer(observations, [context for _, context in questions])
        return check_reply(reply, len(questions))[0]

    def differs(self, chunk: ActionChunk, expected: NDArray[Any]) -> bool:
        """Return whether a chunk's actions differ from the expected ones in any bit."""
        return not np.array_equal(np.asarray(chunk.actions, expected.dtype), expected)


def _metadata(trial: _Trial) -> _Verdict:
    ok = trial.policy.metadata == trial.policy.metadata
    return "stay the same" if ok else "change from one look to the next", ok


def _chunk_size(trial: _Trial) -> _Verdict:
    count, promised = len(trial.actions), trial.policy.metadata.chunk_size
    ok = count == promised
    return f"{count} actions" + ("" if ok else f"; its metadata say {promised}"), ok


def _nfe(trial: _Trial) -> _Verdict | None:
    count, promised = trial.chunk.nfe, trial.policy.metadata.nfe
    if promised is None:
        return None
    ok = count == promised
    return f"{count} function evaluations" + ("" if ok else f"; its metadata say {promised}"), ok


def _random_states() -> Mapping[str, bytes]:
    torch = sys.modules.get("torch")
    states = {
        "random": repr(random.getstate()).encode(),
        "numpy.random": str(np.random.get_state()).encode(),  # noqa: NPY002 - to see whether it moved
    }
    return states if torch is None else {**states, "torch": bytes(torch.get_rng_state().numpy())}


def _randomness(trial: _Trial) -> _Verdict:
    before = _random_states()
    trial.ask(trial.first)
    after = _random_states()
    drawn = [name for name, state in after.items() if before.get(name, state) != state]
    if drawn:
        return f"draws from the global generator of {', '.join(drawn)}; {_GENERATOR}", False
    return "draws from no global generator", True


def _again(trial: _Trial) -> _Verdict:
    if trial.differs(trial.ask(trial.first), trial.actions):
        return f"the same episode gives other actions; {_GENERATOR}", False
    return "the same actions", True


def _observation(trial: _Trial) -> _Verdict:
    observation, context = trial.first
    shown = copy.deepcopy(observation)
    check_reply(trial.policy.infer([shown], [context]), 1)
    ok = _same(shown, observation)
    return "is left as it was" if ok else "is changed in place", ok


def _same(ours: Any, theirs: Any) -> bool:
    if isinstance(ours, Mapping):
        return ours.keys() == theirs.keys() and all(_same(ours[key], theirs[key]) for key in ours)
    return bool(np.array_equal(ours, theirs))


def _warm_up(trial: _Trial) -> _Verdict | None:
    warmable = ability(trial.policy, WarmsUp)
    if warmable is None:
        return None
    observation, context = trial.first
    warmable.warm_up([copy.deepcopy(observation)], [context])
    ok = not trial.differs(trial.ask(trial.first), trial.actions)
    return "changes no action" if ok else "changes later actions", ok


def _end_episode(trial: _Trial) -> _Verdict:
    """End the episode with every outcome, and begin it again."""
    for outcome in _OUTCOMES:
        end_episode(trial.policy, trial.first[1].key, outcome)
    ok = not trial.differs(trial.ask(trial.first), trial.actions)
    return "the episode can begin again" if ok else "an episode that begins again is another", ok


def _batch(trial: _Trial) -> _Verdict:
    """Ask for two episodes at once; report the change of the first one's actions."""
    together = np.asarray(trial.ask(trial.first, trial.second).actions, np.float32)
    if together.shape != trial.actions.shape:
        return "a batch of two gives chunks of another shape", False
    spread = trial.first[1].action_high - trial.first[1].action_low
    span = np.where(np.isfinite(spread) & (spread > 0), spread, 1.0)
    share = float(np.max(np.abs(together - trial.actions) / span))
    return f"a batch of two changes actions by {share:.1g} of their range", share <= _TOLERANCE


def _interleaved(trial: _Trial) -> _Verdict:
    """Compare second chunks with and without another episode's first chunk in between."""
    later = trial.later()
    expected = _second_chunk(trial, later, [])
    together = _second_chunk(trial, later, [trial.second])
    if trial.differs(together, np.asarray(expected.actions)):
        return "one changes the other's actions; keep an episode's state under context.key", False
    return "do not disturb each other", True


def _second_chunk(trial: _Trial, later: _Question, between: Sequence[_Question]) -> ActionChunk:
    trial.ask(trial.first)
    for question in between:
        trial.ask(question)
    return trial.ask(later)


_CHECKS: Mapping[str, _Check] = {
    "metadata": _metadata,
    "chunk_size": _chunk_size,
    "nfe": _nfe,
    "randomness": _randomness,
    "same episode again": _again,
    "observation": _observation,
    "warm_up": _warm_up,
    "end_episode": _end_episode,
}
_CHECKS_OF_TWO_EPISODES: Mapping[str, _Check] = {
    "batch": _batch,
    "two episodes at once": _interleaved,
}
