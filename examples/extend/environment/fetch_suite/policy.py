"""A scripted policy for Reach: straight to the goal."""

import numpy as np

from vla_eval import ActionChunk, PolicyMetadata


class ToGoal:
    """Moves the gripper towards the goal, both of which `agent_pos` holds."""

    def __init__(self, gain):
        self.gain = gain
        self.metadata = PolicyMetadata(
            name="to-goal",
            method="scripted",
            chunk_size=1,
            n_action_steps=1,
            options={"gain": gain},
            trained_on=(),
        )

    def infer(self, observations, contexts):
        """Return a chunk, float32 (1, 4), for every observation."""
        del contexts
        return [ActionChunk(self.action(seen["agent_pos"]), nfe=0) for seen in observations]

    def action(self, state):
        """Return the displacement towards the goal, which is the state's end."""
        way = np.clip(self.gain * (state[-3:] - state[:3]), -1.0, 1.0)
        return np.append(way, 0.0).astype(np.float32)[None]


class ToGoalFactory:
    """``to-goal[?gain=5.0]``."""

    help = "moves Fetch's gripper to the goal"

    def placement(self, target):
        """In the worker: it is small."""
        del target
        return "worker"

    def __call__(self, target, options):
        """Build the policy; it takes no target."""
        del target
        return ToGoal(float(options.get("gain", 5.0)))
