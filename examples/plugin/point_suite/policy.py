"""A policy of the same package: walks towards the goal, at a speed that its spec sets."""

import numpy as np

from vla_eval import ActionChunk, PolicyMetadata

CHUNK_SIZE = 5


class Walk:
    """Reads the position of the point, and goes to 1 at a speed in (0, 1]."""

    def __init__(self, speed):
        self.speed = speed
        self.metadata = PolicyMetadata(
            name="walk",
            method="scripted",
            chunk_size=CHUNK_SIZE,
            n_action_steps=CHUNK_SIZE,
            options={"speed": speed},
            trained_on=(),
        )

    def infer(self, observations, contexts):
        """Return a chunk, float32 (5, 1), for every observation."""
        del contexts  # a policy that draws takes context.generator()
        return [self._towards(1.0 - float(seen["agent_pos"][0])) for seen in observations]

    def _towards(self, way):
        # One step moves the point by a tenth of the action; the last one only as far as it is.
        steps = 10.0 * way - self.speed * np.arange(CHUNK_SIZE)
        actions = np.clip(steps, 0.0, self.speed)
        return ActionChunk(actions[:, None].astype(np.float32), nfe=1)


class WalkFactory:
    """``walk[?speed=1.0]``."""

    help = "walks towards the goal"

    def placement(self, target):
        """In the worker: it is small."""
        del target
        return "worker"

    def __call__(self, target, options):
        """Build the policy; it takes no target."""
        del target
        return Walk(float(options.get("speed", 1.0)))
