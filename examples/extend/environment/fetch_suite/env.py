"""The adapter: a task of Gymnasium-Robotics, with what the evaluator reads."""

import hashlib

import gymnasium
import numpy as np
from gymnasium.spaces import Box, Dict

from vla_eval import EvalEnv
from vla_eval_envs.gl import choose_gl_backend
from vla_eval_envs.scene import scene_hash, state_hash

choose_gl_backend()  # before MuJoCo is imported


class Fetch(EvalEnv):
    """Pictures are drawn only when a policy looks; a numbered start is a seed of the task's own."""

    metadata = {  # noqa: RUF012 - Gymnasium's form
        "render_modes": [],
        "render_fps": 25,
        "action_names": ("x", "y", "z", "gripper"),
    }

    def __init__(self, env_id, instruction, image_size=128):
        size = {"width": image_size, "height": image_size}
        made = gymnasium.make(f"gymnasium_robotics:{env_id}", render_mode="rgb_array", **size)
        self.env = made.unwrapped  # without its time limit: the protocol sets one
        self.task_description = instruction
        self.action_space = self.env.action_space
        parts = self.env.observation_space
        state = parts["observation"].shape[0] + parts["desired_goal"].shape[0]
        camera = Box(0, 255, (image_size, image_size, 3), np.uint8)
        agent = Box(-np.inf, np.inf, (state,), np.float32)
        self.observation_space = Dict({"pixels": Dict({"front": camera}), "agent_pos": agent})

    def reset(self, *, seed=None, options=None):
        """Begin at a numbered start: seed and start together decide the scene."""
        start = (options or {}).get("init_state", 0)
        scene = np.random.SeedSequence((seed or 0, start)).generate_state(1)
        self.seen, _ = self.env.reset(seed=int(scene[0]))
        # The goal is no body of the model, so its hash alone would be the same for all starts.
        goal = np.round(self.seen["desired_goal"], 9).tobytes()
        text = scene_hash(self.env.model, self.env.data).encode() + goal
        info = {"init_state": start, "scene_hash": hashlib.sha256(text).hexdigest()}
        return self.observe(), info | {"is_success": self.is_success()}

    def advance(self, action):
        """Run one control step; the task ends as soon as it is done."""
        self.seen, reward, _, _, _ = self.env.step(np.asarray(action))
        done = self.is_success()
        return float(reward), done, False, {"is_success": done}

    def observe(self):
        """Draw the camera, and read the gripper's state and the goal."""
        state = np.concatenate([self.seen["observation"], self.seen["desired_goal"]])
        return {
            "pixels": {"front": self.env.render().copy()},
            "agent_pos": state.astype(np.float32),
        }

    def is_success(self):
        """Return whether the goal is reached, by the task's own measure."""
        reached = self.seen["achieved_goal"], self.seen["desired_goal"]
        return bool(self.env._is_success(*reached))  # noqa: SLF001 - its only name

    def hold_action(self):
        """Stay: actions are displacements."""
        return np.zeros(4, np.float32)

    def state_hash(self):
        """Let a replay compare the end of an episode."""
        return state_hash(self.env.data)

    def close(self):
        """Close the simulator."""
        self.env.close()
