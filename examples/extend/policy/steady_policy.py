"""A policy that always executes the same action."""

import numpy as np

from vla_eval import ActionChunk, PolicyMetadata


class Steady:
    """One action for every observation, whatever it shows."""

    def __init__(self, value):
        self.value = value
        self.metadata = PolicyMetadata(
            name="steady",
            method="constant",
            chunk_size=1,
            n_action_steps=1,
            options={"value": value},
            trained_on=(),
        )

    def infer(self, observations, contexts):
        """Return a chunk, float32 (1, A), for every observation."""
        sizes = [context.action_low.shape for context in contexts]
        return [ActionChunk(np.full((1, *size), self.value, np.float32), nfe=0) for size in sizes]


class SteadyFactory:
    """``steady[?value=1.0]``."""

    help = "always the same action"

    def placement(self, target):
        """In the worker: it is small."""
        return "worker"

    def __call__(self, target, options):
        """Build the policy; it takes no target."""
        return Steady(float(options.get("value", 1.0)))
