"""``openpi:ws://host:port``: any policy behind a server that speaks openpi's websocket protocol.

A connection serves one episode. It is opened when the episode begins, and the server's metadata are
checked then. It is never reopened: an episode that loses its connection is lost, and is repeated from
its first step. A server with our extension is told the episode's key and end, and reports its identity,
function evaluations and times.
"""

from __future__ import annotations

import hashlib
import math
import reprlib
import uuid
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from time import perf_counter
from typing import Any

import numpy as np

from vla_eval.environment import Observation
from vla_eval.errors import PolicyLostError, PolicySpecError, PolicyTimeoutError
from vla_eval.identity import SERVER_IDENTITY
from vla_eval.keys import PolicyKey
from vla_eval.policy import ActionChunk, Context, PolicyMetadata
from vla_eval.record import Outcome
from vla_eval_policies.remote import extension
from vla_eval_policies.remote.client import Episode, RemotePolicy
from vla_eval_policies.remote.codec import WireError, pack, unpack
from vla_eval_policies.remote.connection import Connection
from vla_eval_policies.remote.layouts import layout_of
from vla_eval_policies.remote.options import OpenpiOptions

__all__ = ["OpenpiPolicy"]


@dataclass
class _Episode(Episode):
    token: str = field(default_factory=lambda: uuid.uuid4().hex)


class OpenpiPolicy(RemotePolicy[_Episode, OpenpiOptions]):
    """The client of an openpi server.

    Raises:
        PolicySpecError: an option contradicts the server's metadata, or a needed option is missing.
        PolicyLostError: the server cannot be reached.
    """

    def __init__(self, url: str, options: OpenpiOptions) -> None:
        super().__init__(url, options)
        connection, frame = self._connect()
        connection.close()
        metadata = unpack(frame)
        if not isinstance(metadata, Mapping):
            raise WireError(f"{url}: the server's first frame is no map of metadata")
        self._server_sha256 = hashlib.sha256(frame).hexdigest()
        self._offer = extension.Offer.from_wire(metadata.get(extension.FIELD))
        name = options.layout or (self._offer.layout if self._offer else None)
        if name is None:
            raise PolicySpecError(
                f"openpi:{url}: the server does not say how it wants observations to be named; "
                "add ?layout=libero, or another (see docs/serving.md)"
            )
        self._layout = layout_of(
            name,
            images=options.images,
            state=options.state,
            prompt=options.prompt,
            size=options.size,
        )
        self.metadata = self._metadata()

    def _metadata(self) -> PolicyMetadata:
        return self._declared() if self._offer is None else self._said(self._offer)

    def _declared(self) -> PolicyMetadata:
        """Return the metadata that the user declares for a policy of a plain openpi server."""
        options, url = self._options, self._url
        if options.n_action_steps is None:
            raise PolicySpecError(
                f"openpi:{url}: the server does not say how many actions of a chunk are to "
                "be executed; add ?n_action_steps=5, or what the policy was evaluated with"
            )
        return PolicyMetadata(
            name=f"openpi {url}",
            method="remote",
            chunk_size=options.chunk_size or options.n_action_steps,
            n_action_steps=options.n_action_steps,
            nfe=options.nfe,
            options={
                **self._choices(),
                "server_metadata_sha256": self._server_sha256,
                SERVER_IDENTITY: self._who(),
            },
        )

    def _said(self, offer: extension.Offer) -> PolicyMetadata:
        """Return the metadata of one of our servers, with the options of this client."""
        theirs, options = offer.policy, self._options
        self._refuse_declaration("openpi", theirs.name)
        for name, wanted, served in (
            ("nfe", options.nfe, theirs.nfe),
            ("chunk_size", options.chunk_size, theirs.chunk_size),
        ):
            if wanted not in (None, served):
                raise PolicySpecError(
                    f"openpi:{self._url}: {name}={wanted} was asked for, and the server has "
                    f"{name}={served}; serve the policy with that option instead"
                )
        server: dict[str, str | int | float | None] = {
            "extension": extension.VERSION,
            "server_code_sha256": offer.code_sha256,
            "server_max_batch": offer.max_batch,
            "server_batch_wait_ms": offer.batch_wait_ms,
        }
        return replace(
            theirs,
            n_action_steps=options.n_action_steps or theirs.n_action_steps,
            options={**theirs.options, **self._choices(), **server},
        )

    def _connect(self) -> tuple[Connection, bytes]:
        """Open a connection; return it with the metadata frame, which the server sends first."""
        connection = self._dial()
        with connection.closed_on_error():
            frame = self._introduction(connection)
        return connection, frame

    def _begin(self, context: Context) -> _Episode:
        connection, frame = self._connect()
        if hashlib.sha256(frame).hexdigest() != self._server_sha256:
            connection.close()
            raise PolicyLostError(
                f"{self._url}: the server's metadata are others than when this run began, so it may "
                "hold another policy; put back what was changed, or use a new folder"
            )
        episode = _Episode(connection)
        if self._offer is not None:
            asked = extension.ask("begin", episode.token, key=asdict(context.key))
            self._exchange(episode, {extension.FIELD: asked}, self._options.timeout_s)
        return episode

    def _exchange(self, episode: _Episode, request: Mapping[str, Any], timeout_s: float) -> Any:
        with episode.connection.closed_on_error():
            episode.connection.send(pack(request), timeout_s)
            frame = episode.connection.receive(timeout_s)
            reply = unpack(frame, max_bytes=self._options.max_frame_mb << 20)
            if not isinstance(reply, Mapping):
                raise WireError(f"{self._url}: the answer is {type(reply).__name__}, no map")
            if self._offer is not None:
                extension.check_reply_to(request[extension.FIELD], reply.get(extension.FIELD))
        return reply

    def _ask(self, episode: _Episode, observation: Observation, context: Context) -> ActionChunk:
        request = self._layout.to_wire(observation, context.instruction)
        asked = extension.ask("infer", episode.token, context)
        if self._offer is not None:
            request[extension.FIELD] = asked
        start = perf_counter()
        reply = self._exchange(episode, request, self._options.timeout_s)
        round_trip_ms = 1e3 * (perf_counter() - start)
        if "actions" not in reply:
            raise WireError(
                f"{self._url}: the answer has no 'actions'; it has "
                f"{reprlib.repr(sorted(map(str, reply)))}"
            )
        if self._offer is not None:
            chunk = extension.chunk_of_reply(reply["actions"], asked, reply[extension.FIELD])
            return replace(chunk, infer_ms=min(chunk.infer_ms or 0.0, round_trip_ms))
        return ActionChunk(
            extension.rectangular(reply["actions"]),
            nfe=self._options.nfe or 0,
            infer_ms=_reported_ms(reply, round_trip_ms),
        )

    def warm_up(self, observations: Sequence[Observation], contexts: Sequence[Context]) -> None:
        """Let the server compile: by our extension, or else by an inference that is discarded."""
        connection, _ = self._connect()
        episode = _Episode(connection)
        request = self._layout.to_wire(observations[0], contexts[0].instruction)
        if self._offer is not None:
            key = asdict(contexts[0].key)
            request[extension.FIELD] = extension.ask("warm_up", episode.token, contexts[0], key=key)
        try:
            self._exchange(episode, request, self._options.warm_up_s)
        finally:
            connection.close()

    def end_episode(self, key: PolicyKey, outcome: Outcome | None) -> None:
        """Tell a server with our extension, and close the episode's connection."""
        episode = self._episodes.get(key)
        if episode is not None and self._offer is not None and outcome != "error":
            asked = extension.ask("end", episode.token, outcome=outcome)
            with suppress(
                PolicyLostError, PolicyTimeoutError
            ):  # the episode is complete without it
                self._exchange(episode, {extension.FIELD: asked}, self._options.timeout_s)
        self._drop(key)


def _reported_ms(reply: Mapping[Any, Any], round_trip_ms: float) -> float:
    """Return the server's inference time, or the round trip if the server reports none."""
    timing = reply.get("server_timing")
    value = timing.get("infer_ms") if isinstance(timing, Mapping) else None
    usable = isinstance(value, int | float | np.number) and math.isfinite(value) and value >= 0
    return min(float(value), round_trip_ms) if usable and value is not None else round_trip_ms
