"""The environment: plain Gymnasium, with what the evaluator reads in `info`."""

import hashlib

import gymnasium
import numpy as np
from gymnasium.spaces import Box, Dict


class Reach(gymnasium.Env):
    """Success within 0.01 of position 1; the numbered start decides where the point begins."""

    task_description = "move the point to the goal"
    observation_space = Dict({"agent_pos": Box(-9.0, 9.0, (1,), np.float32)})
    action_space = Box(-1.0, 1.0, (1,), np.float32)
    metadata = {"render_modes": [], "render_fps": 10}  # noqa: RUF012 - Gymnasium's form

    def reset(self, *, seed=None, options=None):
        """Begin at a numbered start, and say which scene that is."""
        super().reset(seed=seed)
        start = (options or {}).get("init_state", 0)
        self.position = -0.05 * start
        scene = hashlib.sha256(f"point {self.position:.9f}".encode()).hexdigest()
        return self._look(), {"is_success": False, "init_state": start, "scene_hash": scene}

    def step(self, action):
        """Move the point by a tenth of the action, float32 (1,)."""
        self.position += 0.1 * float(np.clip(action[0], -1.0, 1.0))
        done = abs(self.position - 1.0) < 0.01
        return self._look(), float(done), done, False, {"is_success": done}

    def _look(self):
        return {"agent_pos": np.array([self.position], np.float32)}
