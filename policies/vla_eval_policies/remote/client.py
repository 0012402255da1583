"""Common base of the clients of both protocols: a connection for each episode."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from vla_eval.environment import Observation
from vla_eval.errors import PolicyLostError, PolicySpecError
from vla_eval.identity import UNKNOWN
from vla_eval.keys import PolicyKey
from vla_eval.policy import ActionChunk, Context
from vla_eval_policies.remote.codec import WireError
from vla_eval_policies.remote.connection import Connection
from vla_eval_policies.remote.options import OUTSIDE_IDENTITY, RemoteOptions

__all__ = ["Episode", "RemotePolicy"]

_LONGEST_METADATA = 1 << 20
"""Largest metadata frame of a server, in bytes."""


@dataclass
class Episode:
    """An attempt at an episode, with its own connection."""

    connection: Connection


class RemotePolicy[E: Episode, O: RemoteOptions](ABC):
    """A policy behind a server.

    A subclass opens an episode's connection in :meth:`_begin` and sends requests in :meth:`_ask`.
    """

    def __init__(self, url: str, options: O) -> None:
        self._url = url
        self._options = options
        self._episodes: dict[PolicyKey, E] = {}

    def infer(
        self, observations: Sequence[Observation], contexts: Sequence[Context]
    ) -> list[ActionChunk]:
        """Ask the server for the chunk of each sample.

        Raises:
            PolicyLostError: the server is gone or was replaced, so the episode is lost.
            PolicyTimeoutError: the server did not answer in time.
            WireError: the server reported an error, or its answer cannot be used.
        """
        return [
            self._infer_one(observation, context)
            for observation, context in zip(observations, contexts, strict=True)
        ]

    def _infer_one(self, observation: Observation, context: Context) -> ActionChunk:
        if context.chunk_index == 0:
            self._drop(context.key)
            self._episodes[context.key] = self._begin(context)
        episode = self._episodes.get(context.key)
        if episode is None:
            raise PolicyLostError(f"{self._url}: the connection of this episode is gone")
        return self._ask(episode, observation, context)

    @abstractmethod
    def _begin(self, context: Context) -> E:
        """Open the connection of an episode; raises PolicyLostError if the policy has changed."""

    @abstractmethod
    def _ask(self, episode: E, observation: Observation, context: Context) -> ActionChunk:
        """Return the server's chunk for an observation."""

    def _dial(self) -> Connection:
        options = self._options
        return Connection(
            self._url, connect_s=options.connect_s, max_bytes=options.max_frame_mb << 20
        )

    def _introduction(self, connection: Connection) -> bytes:
        """Return the server's metadata frame; raises WireError if it is too long."""
        frame = connection.receive(self._options.timeout_s)
        if len(frame) > _LONGEST_METADATA:
            raise WireError(
                f"{self._url}: what the server says of itself has {len(frame)} bytes; at most "
                f"{_LONGEST_METADATA} are read"
            )
        return frame

    def _choices(self) -> dict[str, Any]:
        """Return the options that are set and change actions, for the policy's identity."""
        given = self._options.model_dump(exclude=OUTSIDE_IDENTITY)
        return {name: value for name, value in given.items() if value is not None}

    def _who(self) -> str:
        """Return the declared identity of a policy whose server states none."""
        return UNKNOWN if self._options.identity is None else f"declared: {self._options.identity}"

    def _refuse_declaration(self, kind: str, name: str) -> None:
        """Raise PolicySpecError if an identity is declared although the server states one."""
        if self._options.identity is not None:
            raise PolicySpecError(
                f"{kind}:{self._url}: the server says that its policy is '{name}'; leave the option "
                "identity out"
            )

    def _drop(self, key: PolicyKey) -> None:
        episode = self._episodes.pop(key, None)
        if episode is not None:
            episode.connection.close()
