"""The processes of a run on a Ray cluster: one actor a simulator, one actor a policy host.

Actors return texts and records instead of raising: an exception may hold objects that cannot be sent.
"""

from __future__ import annotations

import functools
import os
import queue
import socket
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from time import monotonic
from typing import Any

import ray

from vla_eval.engine.batching import End, Infer, InferenceRequest, PolicyLoop, Trouble, WarmUp
from vla_eval.engine.crew import Clock
from vla_eval.engine.devices import egl_device_of
from vla_eval.engine.messages import (
    ArmJob,
    HostAway,
    Identity,
    Ready,
    Start,
    Stopped,
    WorkerJob,
    WorkItem,
)
from vla_eval.engine.proxy import HostedPolicy, HostLostError
from vla_eval.engine.worker import EpisodeRunner
from vla_eval.episode import Phase
from vla_eval.errors import EXIT_INFRASTRUCTURE, VlaEvalError
from vla_eval.keys import PolicyKey
from vla_eval.runs.provenance import versions
from vla_eval.runs.traces import Attempt
from vla_eval.spec import build_policy, code_sha256

__all__ = ["Beat", "HostActor", "HostHandle", "Loaded", "Place", "WorkerActor"]


@dataclass(frozen=True)
class Place:
    """Where an actor lives."""

    node: str
    """Ray's id of the node."""
    machine: str
    """The node's name."""


@dataclass(frozen=True)
class Beat:
    """Answer of an actor that is asked for its phase."""

    clock: Clock
    place: Place
    """Known before anything is loaded, so that a node is known on which loading fails."""


@dataclass(frozen=True)
class Loaded:
    """Answer of an actor that has loaded its policies, or has not."""

    message: Ready | HostAway | Stopped
    place: Place
    versions: Mapping[str, str]


@dataclass(frozen=True)
class HostHandle:
    """A policy host that a worker may ask; the successor of a dead host has another number."""

    actor: Any
    number: int
    asker: int
    """Number of the worker that asks; the successor of a dead worker has another one."""


@functools.cache
def _place() -> Place:
    return Place(ray.get_runtime_context().get_node_id(), socket.gethostname())


def _loaded(message: Ready | HostAway | Stopped) -> Loaded:
    return Loaded(message, _place(), versions())


def _trouble(error: Exception, what: str) -> Stopped:
    if isinstance(error, VlaEvalError):
        return Stopped(error.exit_code, str(error))
    return Stopped(EXIT_INFRASTRUCTURE, f"{what}: {type(error).__name__}: {error}")


class _Pulse:
    """An actor's phase, read by its method ``beat`` in another thread."""

    def __init__(self) -> None:
        self._state: tuple[Phase, float] = ("setup", monotonic())
        self.slots: frozenset[int] = frozenset()
        self.host_was_stopped = False

    def enter(self, phase: Phase, now_s: float) -> None:
        self._state = phase, now_s

    def clock(self) -> Clock:
        phase, since_s = self._state
        return Clock(phase, monotonic() - since_s, self.slots)


class HostActor:
    """A policy host. One thread owns the policy; each waiting request blocks a thread of its own."""

    def __init__(self, arm: str, spec: str, batching: tuple[int, float]) -> None:
        self._arm, self._spec, self._batching = arm, spec, batching
        self._pulse = _Pulse()
        self._loop: PolicyLoop | None = None
        self._identity: Identity | None = None
        self._open: dict[int, set[PolicyKey]] = {}
        self._gone: set[int] = set()

    def load(self) -> Loaded:
        """Load the policy."""
        answers: queue.SimpleQueue[Ready | Stopped] = queue.SimpleQueue()
        threading.Thread(target=self._serve, args=(answers,), daemon=True).start()
        return _loaded(answers.get())

    def _serve(self, answers: queue.SimpleQueue[Ready | Stopped]) -> None:
        try:
            policy = build_policy(self._spec)
            self._identity = Identity(policy.metadata, code_sha256(self._spec))
            self._loop = PolicyLoop(policy, *self._batching, said=self._said)
        except Exception as error:  # noqa: BLE001 - reported, and the run stops
            answers.put(_trouble(error, f"policy '{self._spec}' could not be loaded"))
            return
        self._pulse.enter("idle", monotonic())
        answers.put(
            Ready({self._arm: self._identity.metadata}, {self._arm: self._identity.code_sha256})
        )
        self._loop.run()

    def _said(self, phase: Phase, now_s: float, members: Any) -> None:
        if phase != "idle":
            self._pulse.slots = frozenset(members)
        self._pulse.enter(phase, now_s)

    def identity(self) -> Identity | None:
        """Return the identity of the loaded policy."""
        return self._identity

    def ask(self, asker: int, slot: int, what: Infer | WarmUp | End) -> Any:
        """Serve a request of a worker, and return the answer."""
        if self._loop is None:
            return Trouble("the policy is not loaded")
        if asker in self._gone:  # its machine was taken for dead, and its episode runs elsewhere
            return Trouble("this worker was given up")
        keys = self._open.setdefault(asker, set())
        if isinstance(what, Infer):
            keys.add(what.context.key)
        elif isinstance(what, End):
            keys.discard(what.key)
        answers: queue.SimpleQueue[object] = queue.SimpleQueue()
        self._loop.requests.put(InferenceRequest(what, answers.put, slot))
        return answers.get()

    def forget(self, asker: int) -> None:
        """End the episodes of a worker that was given up, and serve it no more."""
        self._gone.add(asker)
        for key in self._open.pop(asker, set()):
            if self._loop is not None:
                request = InferenceRequest(End(key, "error"), lambda _: None)
                self._loop.requests.put(request)

    def beat(self) -> Beat:
        """Return the phase and the place."""
        return Beat(self._pulse.clock(), _place())


class _ActorPolicy(HostedPolicy):
    """A worker's proxy for a policy in a host actor."""

    def __init__(self, handle: HostHandle, slot: int, wait_s: float) -> None:
        self.current = handle
        """The host that the driver named last."""
        self._slot, self._wait_s = slot, wait_s
        self._used: HostHandle | None = handle
        self._identity = self._identify(handle)

    def _identify(self, handle: HostHandle) -> Identity:
        identity: Identity = self._call(handle.actor.identity.remote())
        return identity

    def renew(self) -> bool:
        """Use the host that the driver named last; return whether it is another one."""
        if self._used is not None and self._used.number == self.current.number:
            return False
        self._refuse_other(self._identify(self.current))
        self._used = self.current
        return True

    def _is_reachable(self) -> bool:
        return self._used is not None

    def _send(self, what: Infer | WarmUp | End) -> None:
        if self._used is None:
            raise HostLostError("the policy host is gone")
        self._asked = self._used.actor.ask.remote(self._used.asker, self._slot, what)

    def _receive(self) -> Any:
        return self._call(self._asked)

    def _call(self, reference: Any) -> Any:
        try:
            return ray.get(reference, timeout=self._wait_s)
        except ray.exceptions.GetTimeoutError:
            self._used = None
            text = f"the policy host did not answer within {self._wait_s:.0f} s"
            raise HostLostError(text) from None
        except ray.exceptions.RayError as error:
            self._used = None
            raise HostLostError(f"the policy host is gone ({type(error).__name__})") from None


class WorkerActor:
    """A worker. Its environment lives in the one thread of ``load`` and ``run``."""

    def __init__(self, job: WorkerJob) -> None:
        self._job = job
        self._pulse = _Pulse()
        self._runner: EpisodeRunner | None = None
        self._proxies: dict[str, _ActorPolicy] = {}

    def load(self, hosts: Mapping[str, HostHandle]) -> Loaded:
        """Load the policies, or find their hosts."""
        _render_on_own_device(self._job.slot)

        def reach(name: str, _arm: ArmJob) -> HostedPolicy:
            proxy = _ActorPolicy(hosts[name], self._job.slot, self._job.host_wait_s)
            self._proxies[name] = proxy
            return proxy

        try:
            self._runner = EpisodeRunner(self._job, self._pulse, reach)
        except HostLostError as error:
            return _loaded(HostAway(str(error)))
        except Exception as error:  # noqa: BLE001 - reported, and the run stops
            return _loaded(_trouble(error, "a policy could not be loaded"))
        return _loaded(self._runner.ready())

    def run(
        self, item: WorkItem, start: Start, hosts: Mapping[str, HostHandle]
    ) -> Attempt | Stopped:
        """Run one attempt and return its record and trace, which the driver stores."""
        if self._runner is None:
            return Stopped(EXIT_INFRASTRUCTURE, "a worker was given an episode before it was ready")
        for name, proxy in self._proxies.items():
            proxy.current = hosts[name]
        try:
            self._runner.start(start)
            return self._runner.run(item)
        except Exception as error:  # noqa: BLE001 - reported, and the run stops
            return _trouble(error, "a worker failed")

    def close(self) -> None:
        """Close the environment."""
        if self._runner is not None:
            self._runner.close()

    def beat(self) -> Beat:
        """Return the phase and the place."""
        return Beat(self._pulse.clock(), _place())

    def host_stopped(self) -> None:
        """Take note that the host which this worker waits for is being stopped."""
        self._pulse.host_was_stopped = True


def _render_on_own_device(slot: int) -> None:
    """Spread the simulators of a node over its renderers, which EGL counts in an order of its own."""
    os.environ.pop("CUDA_VISIBLE_DEVICES", None)  # robosuite takes it for indices of EGL
    renderers = sorted(egl_device_of().values())
    if renderers:
        number = str(renderers[slot % len(renderers)])
        os.environ.setdefault("MUJOCO_EGL_DEVICE_ID", number)
