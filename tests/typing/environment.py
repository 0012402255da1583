"""An environment of a user's own, and the suite that offers it."""

from __future__ import annotations

from typing import Any, assert_type

import numpy as np
from gymnasium.spaces import Box, Dict

from vla_eval import EvalEnv, make_env
from vla_eval.catalog import Cost, Suite, Task
from vla_eval.environment import Action, Observation


class Line(EvalEnv):
    metadata = {"render_modes": [], "render_fps": 10}  # noqa: RUF012 - Gymnasium's form
    task_description = "move the point to the goal"

    def __init__(self, *, image_size: int = 8) -> None:
        pixels = Dict({"front": Box(0, 255, (image_size, image_size, 3), np.uint8)})
        state = Box(-np.inf, np.inf, (1,), np.float32)
        self.observation_space = Dict({"pixels": pixels, "agent_pos": state})
        self.action_space = Box(-1.0, 1.0, (1,), np.float32)
        self._position = 0.0

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Observation, dict[str, Any]]:
        super().reset(seed=seed)
        self._position = 0.01 * int((options or {}).get("init_state", 0))
        return self.observe(), {"task": self.task_description}

    def advance(self, action: Action) -> tuple[float, bool, bool, dict[str, Any]]:
        self._position += float(action[0])
        success = self._position >= 1.0
        return float(success), success, False, {"is_success": success}

    def observe(self) -> Observation:
        state = np.array([self._position], np.float32)
        return {"pixels": {"front": np.zeros((8, 8, 3), np.uint8)}, "agent_pos": state}

    def hold_action(self) -> Action:
        return np.zeros(1, np.float32)


def suites() -> tuple[Suite, ...]:
    task = Task(
        name="Line",
        env_id="mine:mine/Line-v0",
        instruction=Line.task_description,
        init_states=100,
        max_steps=50,
        entry_point="mine:Line",
        kwargs={"image_size": 8},
    )
    cost = Cost(build_s=0.01, reset_s=0.01, advance_s=0.001, observe_s=0.001)
    return (Suite("mine", "a point on a line", (task,), extra="", cost=cost),)


def loop() -> None:
    env = make_env("mine:mine/Line-v0", {"image_size": 16})
    assert_type(env, EvalEnv)
    observation, info = env.reset(seed=0, options={"init_state": 5})
    assert_type(observation, dict[str, Any])
    _, reward, terminated, truncated, info = env.step(env.hold_action())
    assert_type((reward, terminated, truncated), tuple[float, bool, bool])
    assert_type(info, dict[str, Any])
