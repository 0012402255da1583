"""Episode keys: everything that decides an episode besides the policy; and blind keys, which hide it.

The planned episode is here too: workers need it, and they need no protocol.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np

__all__ = ["BlindKey", "EpisodeKey", "PlannedEpisode", "PolicyKey"]


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

        It depends only on the whole key, the chunk index and the name of the stream. An action's noise
        is independent of the batch and of the number of workers. Two arms with the same key share their
        starting noise; two episodes with the same policy seed do not.

        Args:
            chunk_index: number of earlier chunks of the episode, from 0.
            stream: one name for each independent use of randomness.
        """
        return _generator(str(self), chunk_index, stream)


@dataclass(frozen=True)
class BlindKey:
    """The policy's key for an episode if the protocol sets ``run.blind_keys``.

    It distinguishes episodes and seeds their noise. It hides the task, the initial state and the seeds,
    so that no solution can be looked up by its key. It prevents nothing else: the tokens of a public
    protocol can be computed by hashing its keys, the plan's order can be known by counting episodes,
    and a scene can be recognised in its pictures.
    """

    suite: str
    """Name of the suite, which tells the policy the robot."""
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
"""The key by which a policy knows an episode."""


def _generator(episode: str, chunk_index: int, stream: str) -> np.random.Generator:
    digest = hashlib.sha256(f"{episode}/{stream}".encode()).digest()
    words = np.frombuffer(digest, dtype=np.uint32).tolist()
    return np.random.default_rng(np.random.SeedSequence([*words, chunk_index]))


@dataclass(frozen=True)
class PlannedEpisode:
    """One episode of the plan: its key and its environment."""

    key: EpisodeKey
    env_id: str
    env_kwargs: Mapping[str, Any]
    max_steps: int
    blind_under: str | None = None
    """Hash of the protocol if it hides its keys from policies; None if policies see the keys."""

    @property
    def policy_key(self) -> PolicyKey:
        """The key by which the policy knows this episode."""
        return self.key if self.blind_under is None else BlindKey.of(self.key, self.blind_under)

    @property
    def scene(self) -> tuple[str, tuple[tuple[str, Any], ...]]:
        """The environment's id and arguments; if they change, the environment must be rebuilt."""
        return self.env_id, tuple(sorted(self.env_kwargs.items()))
