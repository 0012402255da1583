"""Episode keys: everything that decides an episode besides the policy, and what hides them."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Self

import numpy as np

__all__ = ["BlindKey", "EpisodeKey", "PolicyKey"]


@dataclass(frozen=True, order=True, slots=True)
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
        return _generator(str(self), chunk_index, stream)


@dataclass(frozen=True)
class BlindKey:
    """What a policy is told instead of the key where the protocol sets ``run.blind_keys``.

    It tells episodes apart and seeds their noise, and says neither task, initial state nor seeds, so
    that no solution can be looked up by its key. It stops nothing else: who lists the keys of a public
    protocol and hashes them has the tokens too, who counts episodes may know the plan's order, and a
    scene can be recognised in its pictures.
    """

    suite: str
    """What a policy needs to know of the key: which robot it sees and moves."""
    token: str
    """64 hex digits."""

    @classmethod
    def of(cls, key: EpisodeKey, protocol_sha256: str) -> Self:
        """Hide a key; the same episode of another protocol gets another token."""
        token = hashlib.sha256(f"{protocol_sha256}/{key}".encode()).hexdigest()
        return cls(key.suite, token)

    def __str__(self) -> str:
        return f"{self.suite}/{self.token}"

    def generator(self, chunk_index: int, stream: str = "policy") -> np.random.Generator:
        """Return the generator for one chunk; as :meth:`EpisodeKey.generator`, with other numbers."""
        return _generator(str(self), chunk_index, stream)


type PolicyKey = EpisodeKey | BlindKey
"""What a policy knows an episode by."""


def _generator(episode: str, chunk_index: int, stream: str) -> np.random.Generator:
    digest = hashlib.sha256(f"{episode}/{stream}".encode()).digest()
    words = np.frombuffer(digest, dtype=np.uint32).tolist()
    return np.random.default_rng(np.random.SeedSequence([*words, chunk_index]))
