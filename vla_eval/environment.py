"""The environment contract: plain Gymnasium, with ``step`` split into advance and observe.

Rendering is the dearest part of a simulated step, and a policy that executes ten actions per
inference looks at one observation in ten. So an :class:`EvalEnv` separates physics
(:meth:`~EvalEnv.advance`) from looking (:meth:`~EvalEnv.observe`), and the evaluator observes only
when a policy is about to look. ``step`` is the two in a row, so that ``gym.make``, ``make_vec`` and
anybody's training code see an ordinary environment.

``info`` of ``reset`` and ``advance`` carries, besides what an environment likes to add:

================  =====================================================================
key               meaning
================  =====================================================================
``is_success``    bool, the task's success predicate at this moment
``score``         float in [0, 1], partial credit reached so far (1.0 on success)
``subgoals``      dict of str to bool, the parts that make up the score, latched
``task``          str, the instruction
``scene_hash``    str (after ``reset`` only), sha256 of body and geom poses and qpos
``init_state``    int (after ``reset`` only), the numbered start that was used
``provenance``    dict of str to JSON scalar (after ``reset`` only): simulator version,
                  renderer, assets; ``standins`` true where assets are stand-ins
================  =====================================================================
"""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

import gymnasium
import numpy as np
from numpy.typing import NDArray

__all__ = ["Action", "EvalEnv", "Observation"]

Observation = dict[str, Any]
"""``{"pixels": {camera: uint8 (H, W, 3)}, "agent_pos": float32 (D,)}``."""

Action = NDArray[np.float32]
"""float32 (A,), inside the environment's ``action_space``."""


class EvalEnv(gymnasium.Env[Observation, Action]):
    """Base of this project's environments.

    Life cycle: ``reset(seed=…, options={"init_state": i})``, then ``step``, or ``advance`` any
    number of times with an ``observe`` whenever somebody looks, until ``terminated``; ``close`` once.
    The same seed and initial state give the same scene, whatever happened in the environment before.

    Subclasses set ``task_description`` (the instruction), ``metadata["render_fps"]`` (equal to the
    control rate in Hz), ``metadata["action_names"]`` and ``metadata["state_names"]``, and implement
    ``reset``, :meth:`advance`, :meth:`observe` and :meth:`hold_action`.
    """

    task_description: str

    @abstractmethod
    def advance(self, action: Action) -> tuple[float, bool, bool, dict[str, Any]]:
        """Run one control step of physics without rendering.

        Args:
            action: float32 (A,); values outside ``action_space`` are clipped.

        Returns:
            reward, terminated (true on success: the caller must reset), truncated, info.

        Raises:
            ValueError: the action has another shape than (A,) or is not finite.
        """

    @abstractmethod
    def observe(self) -> Observation:
        """Render the cameras and read the robot's state, as freshly allocated arrays."""

    @abstractmethod
    def hold_action(self) -> Action:
        """Return the action, float32 (A,), that keeps the robot where it is now."""

    def step(self, action: Action) -> tuple[Observation, float, bool, bool, dict[str, Any]]:
        """Advance, then observe: Gymnasium's five-tuple."""
        reward, terminated, truncated, info = self.advance(action)
        return self.observe(), reward, terminated, truncated, info
