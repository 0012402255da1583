"""The policy contract: observations in, action chunks out, batch first."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from vla_eval.errors import PolicySpecError
from vla_eval.identity import SERVER_IDENTITY, UNKNOWN
from vla_eval.keys import PolicyKey
from vla_eval.record import Outcome
from vla_eval.trainedon import Scenes, is_short

if TYPE_CHECKING:
    from vla_eval.environment import EvalEnv, Observation

__all__ = [
    "POSES_WANTED",
    "ActionChunk",
    "AnswersLater",
    "AnswersWithPoses",
    "Blind",
    "Context",
    "EndsEpisodes",
    "Exemplifies",
    "Explains",
    "Finding",
    "Placement",
    "Policy",
    "PolicyFactory",
    "PolicyMetadata",
    "SharesCheckpoint",
    "WarmUps",
    "WarmsUp",
    "Wraps",
    "ability",
    "end_episode",
    "is_blind",
    "is_policy",
]


@dataclass(frozen=True)
class ActionChunk:
    """A policy's reply to one observation."""

    actions: NDArray[np.float32]
    """float32 (T, A): T consecutive actions in the environment's action space."""
    nfe: int = 0
    """Number of function evaluations: forward passes of the action expert for this chunk."""
    prefix_ms: float = 0.0
    """Time for the part that is independent of the solver step: images, instruction, state."""
    denoise_ms: float = 0.0
    """Time for the solver's steps."""
    batch: int = 1
    """Number of observations in this inference; filled in by the policy host."""
    counts: Mapping[str, int] = field(default_factory=dict)
    """Other counts, by name; a record holds the sums over its episode."""
    infer_ms: float | None = None
    """Wall time of the inference alone; filled in by the policy host, because a worker's measurement
    would include the time in the queue."""


@dataclass(frozen=True)
class Context:
    """A policy's information besides the observation."""

    key: PolicyKey
    """Key of the episode, for the policy's state and for its noise."""
    step: int
    """Control steps executed so far in this episode."""
    chunk_index: int
    """Inferences made so far in this episode."""
    instruction: str
    action_low: NDArray[np.float32]
    """float32 (A,)."""
    action_high: NDArray[np.float32]
    """float32 (A,)."""
    env: EvalEnv | None = None
    """The simulator itself; only for policies whose metadata say ``privileged``."""
    stalled: int = 0
    """Control steps so far in which the robot waited for the policy; 0 unless in virtual time."""
    left_over: NDArray[np.float32] | None = None
    """float32 (n, A): actions of earlier chunks that are still queued, the next one first, in the
    environment's action space. None unless the protocol runs in asynchronous virtual time."""
    expected_delay: int = 0
    """Control steps that will pass before the chunk can be used, as far as known beforehand."""
    history: tuple[Observation, ...] = ()
    """The observations of the control steps just before this one, oldest first: ``n_obs_steps`` - 1 of
    them (see :class:`PolicyMetadata`), or fewer at the beginning of an episode."""

    @property
    def suite(self) -> str:
        """Name of the suite, which tells the policy the robot."""
        return self.key.suite

    @property
    def normalised(self) -> bool:
        """Whether all actions lie in [-1, 1]: shares of the largest displacement instead of positions."""
        return bool(np.all(np.abs([self.action_low, self.action_high]) <= 1.0))

    @property
    def executed(self) -> int:
        """Actions of this policy executed so far."""
        return self.step - self.stalled

    def generator(self, stream: str = "policy") -> np.random.Generator:
        """Return this chunk's generator; see :meth:`~vla_eval.keys.EpisodeKey.generator`."""
        return self.key.generator(self.chunk_index, stream)


@dataclass(frozen=True)
class PolicyMetadata:
    """Identifies a policy. Two runs may be continued or compared as the same arm only if equal."""

    name: str
    method: str
    """Method that generates a chunk: ``fm``, ``snapflow``, ``scripted`` …"""
    chunk_size: int
    n_action_steps: int
    """Execution horizon: number of actions of a chunk that are executed before the next inference."""
    privileged: bool = False
    """Whether the policy reads the simulator's state. Such a policy runs inside the worker."""
    n_obs_steps: int = 1
    """Number of consecutive control steps that the policy observes, the present one included."""
    nfe: int | None = None
    solver: str | None = None
    weights_sha256: str | None = None
    dtype: str | None = None
    device: str | None = None
    options: Mapping[str, str | int | float | bool | None] = field(default_factory=dict)
    """Everything else that changes actions: noise levels, thresholds …"""
    trained_on: Scenes = None
    """Initial scenes of its demonstrations and of its teachers'; see :mod:`vla_eval.trainedon`."""

    @property
    def passes(self) -> int | None:
        """Consecutive forward passes of the action expert for one chunk: option ``passes``, else nfe.

        None if unknown. Latency is billed by passes: K samples in one pass cost one pass.
        """
        passes = self.options.get("passes", self.nfe)
        return passes if type(passes) is int else None

    @property
    def samples(self) -> int:
        """Samples drawn in each pass: option ``samples``, else 1."""
        samples = self.options.get("samples", 1)
        return samples if type(samples) is int else 1

    @property
    def is_known(self) -> bool:
        """Whether the policy is identified; see :data:`~vla_eval.identity.SERVER_IDENTITY`."""
        return self.options.get(SERVER_IDENTITY) != UNKNOWN

    def __post_init__(self) -> None:
        """Refuse values that cannot be stored and compared: NaN, NumPy scalars, nested values."""
        for name, value in self.options.items():
            plain = value is None or type(value) in (str, int, float, bool)
            if not plain or (type(value) is float and not math.isfinite(value)):
                raise PolicySpecError(
                    f"PolicyMetadata of '{self.name}': option '{name}' is {value!r}; "
                    "plain str, int, float, bool or None are expected"
                )
        if min(self.chunk_size, self.n_action_steps, self.n_obs_steps) < 1:
            raise PolicySpecError(
                f"PolicyMetadata of '{self.name}': chunk_size, n_action_steps and n_obs_steps must "
                "be at least 1"
            )
        if self.trained_on is not None and not is_short(self.trained_on):
            raise PolicySpecError(
                f"PolicyMetadata of '{self.name}': trained_on must be what "
                "vla_eval.trainedon.shorten returns: the first 16 hex digits of scene hashes, sorted"
            )


POSES_WANTED = "add --set 'blocks.0.env_kwargs.control_mode=\"absolute\"' to a protocol of LIBERO"
"""Advice in the error of a policy that returns poses for a task that takes displacements."""


class Policy(Protocol):
    """Anything that turns observations into action chunks.

    One instance serves many episodes, interleaved: state that belongs to an episode is kept under
    ``context.key`` and starts anew when ``context.chunk_index`` is 0. All randomness comes from
    ``context.generator()``.

    Everything else is optional and has its own class below: :class:`WarmsUp`,
    :class:`EndsEpisodes`, :class:`Blind`, :class:`Explains`, :class:`Exemplifies`. They are called in
    the same way in a worker, in a policy host and behind a server. A wrapper around another policy
    names it ``inner`` (see :class:`Wraps`) and defines only its changes.
    :func:`~vla_eval.policy_check.check_policy` checks the whole contract.
    """

    @property
    def metadata(self) -> PolicyMetadata:
        """Identity of this policy; constant over its life."""

    def infer(
        self, observations: Sequence[Observation], contexts: Sequence[Context]
    ) -> Sequence[ActionChunk]:
        """Return one chunk per observation, in order."""


@runtime_checkable
class WarmsUp(Protocol):
    """A policy with a slow first inference: it compiles, captures graphs, opens connections."""

    def warm_up(self, observations: Sequence[Observation], contexts: Sequence[Context]) -> None:
        """Do the slow work of the first inference; no later action may depend on it.

        Called outside the timing and the time limit of episodes, once for each kind of observation
        (cameras, sizes, types) and process, with as many copies of an episode's first observation as
        the largest batch that ``infer`` will see. ``run.limits.setup_s`` is its time limit.
        """


@runtime_checkable
class AnswersLater(Protocol):
    """A policy in another process: in virtual time the world can be simulated while it thinks."""

    def submit(
        self, observations: Sequence[Observation], contexts: Sequence[Context]
    ) -> Callable[[], Sequence[ActionChunk]]:
        """Begin what `infer` does; return the function that waits for its reply or raises its exception.

        No other request is made before that function was called, but `end_episode` after an error.
        """


@runtime_checkable
class EndsEpisodes(Protocol):
    """A policy that must be told when an episode is over."""

    def end_episode(self, key: PolicyKey, outcome: Outcome | None) -> None:
        """Free the episode's state.

        Args:
            key: the contexts' key; the same key may begin again when an attempt is repeated.
            outcome: ``error`` means that the attempt was lost, for any cause.
                None if the outcome is unknown: a client of another make.
        """


@runtime_checkable
class Blind(Protocol):
    """A policy that may need no observations, such as a scripted expert that reads the simulator.

    Without pictures its episodes cost much less.
    """

    blind: bool
    """Whether the policy needs no observations; then it gets empty ones."""


@dataclass(frozen=True)
class Finding:
    """One fact about how a policy reads an observation, or about how it behaves."""

    name: str
    detail: str
    ok: bool = True
    """False if the fact looks like a mistake."""


@runtime_checkable
class Explains(Protocol):
    """A policy that can explain how it reads an observation."""

    def explain(self, observation: Observation, context: Context) -> Sequence[Finding]:
        """Return the model's inputs and their conventions, in reading order."""


@runtime_checkable
class Exemplifies(Protocol):
    """A policy that can generate an example of its observations."""

    def example(self, seed: int) -> tuple[Observation, Context]:
        """Return an observation and its context; no simulator is needed."""


@runtime_checkable
class AnswersWithPoses(Protocol):
    """A policy that may answer with poses that the hand is sent to, and not with displacements."""

    answers_with_poses: bool
    """Whether it does; a task or a client that takes displacements is then refused."""


@runtime_checkable
class Wraps(Protocol):
    """A policy around another policy; :func:`ability` looks for its missing abilities in ``inner``."""

    inner: Policy


def ability[A](policy: Policy, kind: type[A]) -> A | None:
    """Return the outermost layer of a wrapped policy that has an optional ability, or None.

    Args:
        policy: any policy.
        kind: one of this module's optional protocols, for example :class:`Explains`.
    """
    layer: object = policy
    while not isinstance(layer, kind):
        if not isinstance(layer, Wraps):
            return None
        layer = layer.inner
    return layer


def is_policy(thing: object) -> bool:
    """Return whether an object has the required members of a :class:`Policy`."""
    metadata = getattr(thing, "metadata", None)
    return isinstance(metadata, PolicyMetadata) and callable(getattr(thing, "infer", None))


def end_episode(policy: Policy, key: PolicyKey, outcome: Outcome | None) -> None:
    """Tell a policy that an episode is over, if it has that ability."""
    if (listener := ability(policy, EndsEpisodes)) is not None:
        listener.end_episode(key, outcome)


def is_blind(policy: Policy) -> bool:
    """Return whether a policy needs no observations."""
    layer = ability(policy, Blind)
    return layer is not None and bool(layer.blind)


class WarmUps:
    """The kinds of observation that a policy has been warmed up for.

    Args:
        batch: the largest batch that the policy's ``infer`` will see.
    """

    def __init__(self, batch: int = 1) -> None:
        self._batch = batch
        self._done: set[object] = set()

    def needed(self, policy: Policy, observation: Observation) -> bool:
        """Return whether the policy still has to be warmed up for this kind of observation."""
        return ability(policy, WarmsUp) is not None and _kind_of(observation) not in self._done

    def run(self, policy: Policy, observation: Observation, context: Context) -> None:
        """Warm the policy up if that is needed."""
        warmable = ability(policy, WarmsUp)
        if warmable is not None and self.needed(policy, observation):
            warmable.warm_up([observation] * self._batch, [context] * self._batch)
            self._done.add(_kind_of(observation))


def _kind_of(observation: Observation) -> object:
    """Return the properties that compiled code may depend on: names, shapes and types."""
    arrays = {**observation.get("pixels", {}), "agent_pos": observation.get("agent_pos")}
    return tuple(
        (name, np.shape(array), str(getattr(array, "dtype", "")))
        for name, array in sorted(arrays.items())
    )


Placement = Literal["worker", "host"]


class PolicyFactory(Protocol):
    """A class or object that the entry-point group ``vla_eval.policies`` names."""

    help: str
    """One line for ``vlaeval list policies``."""

    def placement(self, target: str | None) -> Placement:
        """Return the process that the policy will run in; called before it is built.

        ``worker``: one instance in every worker. ``host``: one instance in a process of its own,
        which batches over the workers; for large policies and for policies on an accelerator.
        """

    def __call__(self, target: str | None, options: Mapping[str, Any]) -> Policy:
        """Build the policy of ``KIND[:TARGET][?key=value&…]``; raises PolicySpecError."""


@runtime_checkable
class SharesCheckpoint(Protocol):
    """A factory whose policies can share one loaded checkpoint within a process."""

    def shared_key(self, target: str | None, options: Mapping[str, Any]) -> str | None:
        """Return a text that is equal for policies of one loaded checkpoint; None: it is not shared.

        Arms with equal keys get one policy host, which builds their policies one after the other and
        lets one of them infer at a time. Called before anything is loaded.
        """
