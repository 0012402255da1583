"""The worker's side of a hosted policy, however the host is reached."""

from __future__ import annotations

import dataclasses
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

from vla_eval.engine.batching import End, Infer, Trouble, WarmUp
from vla_eval.engine.messages import Identity
from vla_eval.environment import Observation
from vla_eval.errors import PolicyLostError, UsageError, VlaEvalError
from vla_eval.files.differences import name_differences
from vla_eval.keys import PolicyKey
from vla_eval.policy import ActionChunk, Context, PolicyMetadata
from vla_eval.record import Outcome

__all__ = ["HostLostError", "HostedPolicy", "PolicyRaisedError"]


class HostLostError(PolicyLostError):
    """The policy host died or did not answer while this episode needed it."""


class PolicyRaisedError(VlaEvalError):
    """The hosted policy raised; the message is its traceback's last line."""


class HostedPolicy(ABC):
    """A proxy for a policy in a policy host."""

    alone = False
    """Whether the next requests get batches of their own; see :class:`Infer`."""
    _unread = False
    """Whether a reply is still to be read."""
    _identity: Identity

    @property
    def metadata(self) -> PolicyMetadata:
        """The policy's own metadata, as the host reported it."""
        return self._identity.metadata

    @abstractmethod
    def renew(self) -> bool:
        """Connect to the new host if the host was restarted; return whether it was.

        Called before an episode only. During an episode the policy's state is lost with its host, so
        the episode has to be repeated.

        Raises:
            HostLostError: there is no host, or it holds another policy than the first one (the
                supervisor also notices that, and ends the run).
        """

    @abstractmethod
    def _send(self, what: Infer | WarmUp | End) -> None:
        """Send a request; raise HostLostError without a host."""

    @abstractmethod
    def _receive(self) -> Any:
        """Wait for the reply to the last request; raise HostLostError without one."""

    @abstractmethod
    def _is_reachable(self) -> bool:
        """Return whether the host was there at the last exchange."""

    def _refuse_other(self, identity: Identity) -> None:
        if identity != self._identity:
            changed = name_differences(self._identity.to_json(), identity.to_json())
            raise HostLostError(f"the restarted policy host holds another policy ({changed})")

    def warm_up(self, observations: Sequence[Observation], contexts: Sequence[Context]) -> None:
        """Ask the host to warm the policy up; the host skips kinds of observations it has warmed up for."""
        self._ask(WarmUp(observations[0], dataclasses.replace(contexts[0], env=None)))

    def infer(
        self, observations: Sequence[Observation], contexts: Sequence[Context]
    ) -> list[ActionChunk]:
        """Send each sample to the host and wait for its chunk.

        Raises:
            HostLostError: the host died, or did not answer in time.
            PolicyRaisedError: the policy raised in the host.
            UsageError: the policy reported that it cannot be used in this way.
        """
        samples = zip(observations, contexts, strict=True)
        return [self._submit(observation, context)() for observation, context in samples]

    def submit(
        self, observations: Sequence[Observation], contexts: Sequence[Context]
    ) -> Callable[[], list[ActionChunk]]:
        """Send one sample to the host; return the function that waits for its chunk."""
        (observation,), (context,) = observations, contexts
        receive = self._submit(observation, context)
        return lambda: [receive()]

    def _submit(self, observation: Observation, context: Context) -> Callable[[], ActionChunk]:
        if context.env is not None:
            context = dataclasses.replace(context, env=None)
        self._send(Infer(observation, context, self.alone))
        self._unread = True
        return self._reply

    def end_episode(self, key: PolicyKey, outcome: Outcome | None) -> None:
        """Tell the host that an episode is over, unless the connection to the host was lost."""
        if self._is_reachable():
            self._ask(End(key, outcome))

    def _ask(self, what: Infer | WarmUp | End) -> Any:
        if self._unread:  # the reply of an episode that was given up
            with suppress(PolicyRaisedError, UsageError):
                self._reply()
        self._send(what)
        return self._reply()

    def _reply(self) -> Any:
        self._unread = False
        reply = self._receive()
        if isinstance(reply, Trouble):
            raise (UsageError if reply.usage else PolicyRaisedError)(reply.message)
        return reply
