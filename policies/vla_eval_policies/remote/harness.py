"""``harness:ws://host:port``: any model server of AllenAI's vla-evaluation-harness (PyPI ``vla-eval``).

These servers keep the chunk and return one action for each observation. So the execution horizon is 1
and every step is observed. A connection serves one episode. The protocol version and the number of
every answer are checked. For LIBERO, pictures, state and gripper follow their benchmark.
"""

from __future__ import annotations

import itertools
import json
import reprlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from time import perf_counter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vla_eval.environment import Observation
from vla_eval.errors import PolicyLostError, PolicySpecError, PolicyTimeoutError
from vla_eval.files.plain import one_line
from vla_eval.identity import SERVER_IDENTITY
from vla_eval.keys import EpisodeKey, PolicyKey
from vla_eval.policy import POSES_WANTED, ActionChunk, Context, PolicyMetadata
from vla_eval.record import Outcome
from vla_eval_policies.remote import extension
from vla_eval_policies.remote.client import Episode, RemotePolicy
from vla_eval_policies.remote.codec import WireError, envelope, open_envelope
from vla_eval_policies.remote.connection import last_line
from vla_eval_policies.remote.options import HarnessOptions

__all__ = ["HarnessPolicy"]

_PROTOCOL_VERSION = 1
_SWITCHES = ("send_wrist_image", "send_state", "quat_no_antipodal", "absolute_action")
"""Observation parameters that this client follows."""
_OURS = ("suite", "seed", "env_seed", "num_steps_wait", "max_steps")
"""Observation parameters that the run's protocol decides; the server's values are only recorded."""


@dataclass
class _Episode(Episode):
    numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1))


class HarnessPolicy(RemotePolicy[_Episode, HarnessOptions]):
    """The client of a harness model server.

    Raises:
        PolicySpecError: the server asks for an observation that cannot be sent.
        PolicyLostError: the server cannot be reached.
        WireError: the server speaks another version of the protocol.
    """

    def __init__(self, url: str, options: HarnessOptions) -> None:
        super().__init__(url, options)
        episode, self._server = self._connect()
        episode.connection.close()
        params = self._server.get("observation_params") or {}
        if not isinstance(params, Mapping):
            raise WireError(f"{url}: observation_params is no map")
        self._params = {str(name): value for name, value in params.items()}
        self._refuse_unknown()
        self.metadata = self._metadata()

    def _refuse_unknown(self) -> None:
        ignored = (self._options.ignore or "").split(",")
        for name, value in self._params.items():
            if name not in (*_SWITCHES, *_OURS, *ignored) and value not in (False, None):
                raise PolicySpecError(
                    f"harness:{self._url}: the server asks for the observation parameter "
                    f"'{_short(name)}: {_short(value)}', which is not known here; add "
                    f"?ignore={_short(name)} to go on "
                    "without it"
                )

    def _metadata(self) -> PolicyMetadata:
        steps = self._options.n_action_steps or 1
        capabilities = self._server.get("capabilities")
        content = capabilities.get(extension.FIELD) if isinstance(capabilities, Mapping) else None
        self._offer = offer = extension.Offer.from_wire(content)
        if offer is not None:  # a server of ours
            self._refuse_declaration("harness", offer.policy.name)
        return PolicyMetadata(
            name=self._name(),
            method="remote",
            chunk_size=self._options.chunk_size or steps,
            n_action_steps=steps,
            nfe=self._options.nfe,
            weights_sha256=offer.policy.weights_sha256 if offer else None,
            trained_on=offer.policy.trained_on if offer else None,
            options={
                **self._choices(),
                "server": _canonical(self._server),
                **(_billed(offer.policy) if offer and self._options.nfe is None else {}),
                **({SERVER_IDENTITY: self._who()} if offer is None else {}),
            },
        )

    def _name(self) -> str:
        name = self._server.get("model_server", f"harness {self._url}")
        if not isinstance(name, str):
            raise WireError(f"{self._url}: model_server is {reprlib.repr(name)}, no name")
        return name

    def _connect(self) -> tuple[_Episode, dict[str, Any]]:
        episode = _Episode(self._dial())
        hello = {"harness_version": "vla-eval-suite", "protocol_version": _PROTOCOL_VERSION}
        kind, payload = self._exchange(episode, "hello", hello, self._options.timeout_s)
        version = payload.get("protocol_version")
        if kind != "hello" or type(version) is not int or version != _PROTOCOL_VERSION:
            episode.connection.close()
            raise WireError(
                f"{self._url}: the server speaks version {reprlib.repr(version)} of the harness's protocol; "
                f"{_PROTOCOL_VERSION} is known here"
            )
        return episode, dict(payload)

    def _exchange(
        self, episode: _Episode, kind: str, payload: Mapping[str, Any], timeout_s: float
    ) -> tuple[str, Mapping[str, Any]]:
        """Send a message and return the type and payload of its answer."""
        number = next(episode.numbers)
        with episode.connection.closed_on_error():
            episode.connection.send(envelope(kind, payload, number), timeout_s)
            frame = (
                self._introduction(episode.connection)
                if kind == "hello"
                else episode.connection.receive(timeout_s)
            )
            limit = self._options.max_frame_mb << 20
            answer, content, answered = open_envelope(frame, max_bytes=limit)
            if answer == "error":
                report = last_line(str(content.get("error", content)))
                raise WireError(f"{self._url}: the server reports: {report}")
            if answered != number:
                raise WireError(
                    f"{self._url}: the server answered message {answered} when {number} was asked"
                )
        return answer, content

    def _begin(self, context: Context) -> _Episode:
        episode, server = self._connect()
        if _canonical(server) != _canonical(self._server):
            episode.connection.close()
            raise PolicyLostError(
                f"{self._url}: the server introduces itself otherwise than when this run began, so "
                "it may hold another policy; put back what was changed, or use a new folder"
            )
        self._start(episode, context)
        return episode

    def _start(self, episode: _Episode, context: Context) -> None:
        """Announce a new episode; harness servers answer this message only with an error."""
        task = {"name": context.instruction, "suite": context.suite, **_which(context.key)}
        message = envelope("episode_start", {"task": task}, next(episode.numbers))
        episode.connection.send(message, self._options.timeout_s)

    def _ask(self, episode: _Episode, observation: Observation, context: Context) -> ActionChunk:
        payload = self._payload(observation, context)
        start = perf_counter()
        kind, content = self._exchange(episode, "observation", payload, self._options.timeout_s)
        infer_ms = 1e3 * (perf_counter() - start)
        actions = content.get("actions", content.get("action"))
        if kind != "action" or actions is None:
            keys = reprlib.repr(sorted(map(str, content)))
            raise WireError(
                f"{self._url}: a message {reprlib.repr(kind)} with {keys} came, no action"
            )
        return ActionChunk(_rows(actions, context), nfe=self._options.nfe or 0, infer_ms=infer_ms)

    def _payload(self, observation: Observation, context: Context) -> dict[str, Any]:
        pixels, options = observation["pixels"], self._options
        names = list(pixels)
        if not self._wants("send_wrist_image", options.wrist):
            names = [name for name in names if name != "wrist"]
        payload: dict[str, Any] = {
            "images": {name: pixels[name] for name in names},
            "task_description": context.instruction,
        }
        if self._wants("send_state", options.state):
            payload["states"] = self._state(observation)
        if self._offer is not None and (virtual := extension.virtual_of(context)):
            payload[extension.FIELD] = {**virtual, "step": context.step}
        if self._params.get("absolute_action") and context.normalised:
            raise PolicySpecError(
                f"harness:{self._url}: the server answers with poses, and the task takes "
                f"displacements; {POSES_WANTED}"
            )
        return payload

    def _wants(self, name: str, ours: bool | None) -> bool:  # noqa: FBT001 - a value, not a switch
        return bool(self._params.get(name)) if ours is None else ours

    def _state(self, observation: Observation) -> NDArray[np.float64]:
        """Return LIBERO's state, float64 (8,); folds its rotation vector unless the server objects."""
        state = np.array(observation["agent_pos"], np.float64)
        angle = np.linalg.norm(state[3:6]) if state.size == 8 else 0.0
        if angle > np.pi and not self._params.get("quat_no_antipodal"):
            state[3:6] *= 1 - 2 * np.pi / angle
        return state

    def warm_up(self, observations: Sequence[Observation], contexts: Sequence[Context]) -> None:
        """Ask for an action in a separate episode, and discard it."""
        episode, _ = self._connect()
        try:
            self._start(episode, contexts[0])
            payload = self._payload(observations[0], contexts[0])
            self._exchange(episode, "observation", payload, self._options.warm_up_s)
        finally:
            episode.connection.close()

    def end_episode(self, key: PolicyKey, outcome: Outcome | None) -> None:
        """Report the end of the episode to the server, and close the connection."""
        episode = self._episodes.get(key)
        if episode is not None and outcome != "error":
            metrics = {"metrics": {"success": outcome == "success"}}
            message = envelope("episode_end", metrics, next(episode.numbers))
            with suppress(
                PolicyLostError, PolicyTimeoutError
            ):  # the episode is complete without it
                episode.connection.send(message, self._options.timeout_s)
        self._drop(key)


def _billed(policy: PolicyMetadata) -> dict[str, int]:
    """Return the passes and samples that our server declares, from which latency follows."""
    return {} if policy.passes is None else {"passes": policy.passes, "samples": policy.samples}


def _canonical(said: Mapping[str, Any]) -> str:
    """Return a server's metadata as text that does not depend on the order of its keys."""
    try:
        return json.dumps(said, sort_keys=True, default=str)
    except (TypeError, ValueError) as error:
        raise WireError(f"what the server says of itself is no plain map ({error})") from None


def _short(said: object) -> str:
    """Return a server's value as short text for a message."""
    return one_line(str(said))[:60]


def _which(key: PolicyKey) -> dict[str, Any]:
    """Return the episode's key in the harness's terms, or our token if the protocol hides keys."""
    if not isinstance(key, EpisodeKey):
        return {"token": key.token}
    number = int(key.task) if key.task.isdigit() else key.task
    return {"task_id": number, "episode_idx": key.init_state}


def _rows(actions: Any, context: Context) -> NDArray[Any]:
    """Return actions (T, A); LIBERO's gripper becomes −1 or 1, as in the harness's benchmark."""
    array = np.atleast_2d(extension.rectangular(actions)).copy()
    libero = context.suite.startswith("libero") and array.shape[1:] == (7,)
    if libero and array.dtype.kind in "fiu":
        array = array.astype(np.float64)
        gripper = array[:, 6]
        array[:, 6] = np.where(np.isfinite(gripper), np.where(gripper < 0, -1, 1), gripper)
    return array
