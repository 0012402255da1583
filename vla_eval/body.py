"""The robot's side of the episode loop: bounds, the last command, and what it does while it stalls."""

from __future__ import annotations

import numpy as np
from gymnasium.spaces import Box
from numpy.typing import NDArray

from vla_eval.environment import Action, EvalEnv, Stalls
from vla_eval.errors import UsageError
from vla_eval.keys import EpisodeKey
from vla_eval.realtime.latency import VirtualTime
from vla_eval.realtime.schedule import Schedule

__all__ = ["Body"]


class Body:
    """What the loop must know of an environment's actions.

    Args:
        env: the environment.
        stalls: whether the robot can stall, as in virtual time.

    Raises:
        UsageError: the robot can stall, and the environment does not define what it does then.
    """

    def __init__(self, env: EvalEnv, *, stalls: bool) -> None:
        self._env = env
        if stalls and not isinstance(getattr(env, "inner", env), Stalls):
            raise UsageError(
                f"environment '{type(env).__name__}' does not say what its robot does while it waits "
                "for the policy, so it cannot run in virtual time: add stall_action(last, ticks) to it "
                "(docs/bring-your-environment.md), or run a protocol with latency = 'paused'"
            )
        self.low: NDArray[np.float32] = np.empty(0, np.float32)
        self.high: NDArray[np.float32] = np.empty(0, np.float32)
        self.jump = 0.0
        """Largest change of the command at a change of chunk, in units of the action's range."""
        self._last: Action | None = None
        """The last action of the policy, or what was held before the first one."""

    def begin(self) -> None:
        """Read the bounds of the actions, after a reset."""
        space = self._env.action_space
        if not isinstance(space, Box) or len(space.shape) != 1:
            raise UsageError(f"the action space must be a one-dimensional Box, not {space}")
        self.low, self.high = space.low.astype(np.float32), space.high.astype(np.float32)

    @property
    def _rate_hz(self) -> float:
        return float(self._env.metadata["render_fps"])

    def schedule(self, virtual: VirtualTime | None, horizon: int) -> Schedule:
        """Return the schedule of an episode; without virtual time, inferences take no time."""
        if virtual is None:
            return Schedule(horizon)
        names = list(self._env.metadata.get("action_names", ()))
        switches = (names.index(name) for name in self._env.metadata.get("switches", ()))
        return virtual.schedule(horizon, self._rate_hz, tuple(switches))

    def delay(self, virtual: VirtualTime | None, key: EpisodeKey, number: int) -> int:
        """Return the delay of an inference, in ticks."""
        return 0 if virtual is None else virtual.delay(key, number, self._rate_hz)

    def left_over(self, schedule: Schedule) -> NDArray[np.float32] | None:
        """Return the queued actions, float32 (n, A); None where a policy is never asked before they end."""
        if not schedule.asynchronous:
            return None
        return np.array(schedule.queued(), np.float32).reshape(-1, self.low.size)

    def commanded(self, proposed: NDArray[np.float32], *, switched: bool) -> Action:
        """Return the policy's action, clipped to the action space."""
        action: Action = np.clip(proposed, self.low, self.high)
        if switched and self._last is not None:
            change = np.abs(action - self._last) / (self.high - self.low)
            self.jump = max(self.jump, float(change.max()))
        self._last = action
        return action

    def stalled(self, ticks: int) -> Action:
        """Return the action of the ``ticks``-th control step in a row without one of the policy."""
        if self._last is None:
            hold = np.asarray(self._env.hold_action(), dtype=np.float32)
            self._last = np.clip(hold, self.low, self.high)
            return self._last
        assert isinstance(self._env, Stalls)  # noqa: S101 - see __init__
        action = np.asarray(self._env.stall_action(self._last, ticks), dtype=np.float32)
        return np.clip(action, self.low, self.high)
