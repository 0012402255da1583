"""Episode keys: everything that decides an episode besides the policy."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np

__all__ = ["EpisodeKey"]


@dataclass(frozen=True, order=True)
class EpisodeKey:
    """(suite, task, initial state, env seed, policy seed)."""

    suite: str
    task: str
    init_state: int
    env_seed: int
    policy_seed: int

    def __str__(self) -> str:
        return f"{self.suite}/{self.task}/i{self.init_state}/e{self.env_seed}/p{self.policy_seed}"

    def generator(self, chunk_index: int, stream: str = "policy") -> np.random.Generator:
        """Return the generator for one chunk of this episode.

        It depends on the whole key, the chunk index and the name of the stream and on nothing else:
        neither the batch that a sample is in nor the number of workers changes an action's noise, two
        arms with the same key share their starting noise, and two episodes with the same policy seed
        do not.

        Args:
            chunk_index: how many chunks the episode has asked for before this one, from 0.
            stream: one name for each independent use of randomness.
        """
        digest = hashlib.sha256(f"{self}/{stream}".encode()).digest()
        words = np.frombuffer(digest, dtype=np.uint32).tolist()
        return np.random.default_rng(np.random.SeedSequence([*words, chunk_index]))
