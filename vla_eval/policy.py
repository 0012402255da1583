"""The policy contract: observations in, action chunks out, batch first."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from vla_eval.environment import EvalEnv, Observation
from vla_eval.errors import PolicySpecError
from vla_eval.identity import SERVER_IDENTITY, UNKNOWN
from vla_eval.keys import PolicyKey
from vla_eval.record import Outcome
from vla_eval.trainedon import Scenes, is_short

__all__ = [
    "POSES_WANTED",
    "ActionChunk",
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
    """What a policy returns for one observation."""

    actions: NDArray[np.float32]
    """float32 (T, A): T consecutive actions in the environment's action space."""
    nfe: int = 0
    """Number of function evaluations: forward passes of the action expert for this chunk."""
    prefix_ms: float = 0.0
    """Time for what does not depend on the solver step: images, instruction, state."""
    denoise_ms: float = 0.0
    """Time for the solver's steps."""
    batch: int = 1
    """How many observations were in this inference; the policy host fills it in."""
    counts: Mapping[str, int] = field(default_factory=dict)
    """What else is worth counting, by name; a record holds the sums over its episode."""
    infer_ms: float | None = None
    """Wall time of the inference alone; the policy host fills it in, since a worker would count the
    time in the queue too."""


@dataclass(frozen=True)
class Context:
    """What a policy may know besides the observation."""

    key: PolicyKey
    """Which episode this is: to keep its state under, and to ask for its noise."""
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
    history: tuple[Observation, ...] = ()
    """The observations of the control steps just before this one, oldest first: as many as the
    metadata's ``n_obs_steps`` asks for besides the present one, or as the episode has had."""

    @property
    def suite(self) -> str:
        """Name of the suite, which says which robot this is."""
        return self.key.suite

    @property
    def normalised(self) -> bool:
        """Whether all actions lie in [-1, 1]: shares of the largest displacement, no positions."""
        return bool(np.all(np.abs([self.action_low, self.action_high]) <= 1.0))

    def generator(self, stream: str = "policy") -> np.random.Generator:
        """Return this chunk's generator; see :meth:`~vla_eval.keys.EpisodeKey.generator`."""
        return self.key.generator(self.chunk_index, stream)


@dataclass(frozen=True)
class PolicyMetadata:
    """Identifies a policy. Two runs may be continued or compared as the same arm only if equal."""

    name: str
    method: str
    """How a chunk is generated: ``fm``, ``snapflow``, ``scripted`` …"""
    chunk_size: int
    n_action_steps: int
    """Execution horizon: how many actions of a chunk are executed before the next inference."""
    privileged: bool = False
    """Reads the simulator's state. Such a policy runs inside the worker."""
    n_obs_steps: int = 1
    """How many consecutive control steps it looks at, the present one included."""
    nfe: int | None = None
    solver: str | None = None
    weights_sha256: str | None = None
    dtype: str | None = None
    device: str | None = None
    options: Mapping[str, str | int | float | bool | None] = field(default_factory=dict)
    """Everything else that changes actions: noise levels, thresholds …"""
    trained_on: Scenes = None
    """In which scenes its demonstrations began, its teachers' too; see :mod:`vla_eval.trainedon`."""

    @property
    def is_known(self) -> bool:
        """Whether somebody says what the policy is; see :data:`~vla_eval.identity.SERVER_IDENTITY`."""
        return self.options.get(SERVER_IDENTITY) != UNKNOWN

    def __post_init__(self) -> None:
        """Refuse what could not be stored and compared: NaN, NumPy scalars, nested values."""
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
"""What a policy that answers with poses says to a task that takes displacements."""


class Policy(Protocol):
    """Anything that turns observations into action chunks.

    One instance serves many episodes, interleaved: state that belongs to an episode is kept under
    ``context.key`` and starts anew when ``context.chunk_index`` is 0. All randomness comes from
    ``context.generator()``.

    Everything else is optional, and a class of its own below: :class:`WarmsUp`,
    :class:`EndsEpisodes`, :class:`Blind`, :class:`Explains`, :class:`Exemplifies`. Where the policy
    runs, in a worker, in a policy host or behind a server, they are called alike. A wrapper around
    another policy names it ``inner`` (see :class:`Wraps`) and defines only what it changes.
    :func:`~vla_eval.policy_check.check_policy` tries all of it.
    """

    @property
    def metadata(self) -> PolicyMetadata:
        """What this policy is; constant over its life."""

    def infer(
        self, observations: Sequence[Observation], contexts: Sequence[Context]
    ) -> Sequence[ActionChunk]:
        """Return one chunk per observation, in order."""


@runtime_checkable
class WarmsUp(Protocol):
    """A policy whose first inference is slow: it compiles, captures graphs, opens connections."""

    def warm_up(self, observations: Sequence[Observation], contexts: Sequence[Context]) -> None:
        """Do whatever makes the first inference slow; no later action may depend on it.

        Called outside the timing and the time limit of episodes, once for each kind of observation
        (cameras, sizes, types) and process, with as many copies of an episode's first observation as
        the largest batch that ``infer`` will see. ``run.limits.setup_s`` is its time limit.
        """


@runtime_checkable
class EndsEpisodes(Protocol):
    """A policy that wants to know when an episode is over."""

    def end_episode(self, key: PolicyKey, outcome: Outcome | None) -> None:
        """Free what belongs to the episode.

        Args:
            key: the contexts' key; the same one may begin again, when an attempt is repeated.
            outcome: ``error`` means that the attempt was lost, whoever's fault it was.
                None where nobody said: a client of another make.
        """


@runtime_checkable
class Blind(Protocol):
    """A policy that may do without observations, such as a scripted expert that reads the simulator.

    Pictures are most of what its episodes would cost.
    """

    blind: bool
    """Whether it does; then it gets an empty observation."""


@dataclass(frozen=True)
class Finding:
    """One thing to know about how an observation is read, or about how a policy behaves."""

    name: str
    detail: str
    ok: bool = True
    """False where it looks like a mistake."""


@runtime_checkable
class Explains(Protocol):
    """A policy that can tell what it makes of an observation."""

    def explain(self, observation: Observation, context: Context) -> Sequence[Finding]:
        """Return what goes into the model and how, in the order in which it should be read."""


@runtime_checkable
class Exemplifies(Protocol):
    """A policy that can make up an observation of the kind that it takes."""

    def example(self, seed: int) -> tuple[Observation, Context]:
        """Return an observation and its context; no simulator is needed."""


@runtime_checkable
class AnswersWithPoses(Protocol):
    """A policy that may answer with poses that the hand is sent to, and not with displacements."""

    answers_with_poses: bool
    """Whether it does; a task or a client that takes displacements is then refused."""


@runtime_checkable
class Wraps(Protocol):
    """A policy around another policy: what it does not define itself, :func:`ability` finds inside."""

    inner: Policy


def ability[A](policy: Policy, kind: type[A]) -> A | None:
    """Return the outermost policy of a wrapped one that has an optional ability, or None.

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
    """Return whether something has what a :class:`Policy` has to have."""
    metadata = getattr(thing, "metadata", None)
    return isinstance(metadata, PolicyMetadata) and callable(getattr(thing, "infer", None))


def end_episode(policy: Policy, key: PolicyKey, outcome: Outcome | None) -> None:
    """Tell a policy that an episode is over, if it wants to know."""
    if (listener := ability(policy, EndsEpisodes)) is not None:
        listener.end_episode(key, outcome)


def is_blind(policy: Policy) -> bool:
    """Return whether a policy does without observations."""
    found = ability(policy, Blind)
    return found is not None and bool(found.blind)


class WarmUps:
    """Which kinds of observation a policy has been warmed up for.

    Args:
        batch: the largest batch that the policy's ``infer`` will see.
    """

    def __init__(self, batch: int = 1) -> None:
        self._batch = batch
        self._done: set[object] = set()

    def needed(self, policy: Policy, observation: Observation) -> bool:
        """Return whether the policy wants to be warmed up for such an observation, and was not."""
        return ability(policy, WarmsUp) is not None and _kind_of(observation) not in self._done

    def run(self, policy: Policy, observation: Observation, context: Context) -> None:
        """Warm the policy up if that is needed."""
        warmable = ability(policy, WarmsUp)
        if warmable is not None and self.needed(policy, observation):
            warmable.warm_up([observation] * self._batch, [context] * self._batch)
            self._done.add(_kind_of(observation))


def _kind_of(observation: Observation) -> object:
    """Return what compiled code may depend on: names, shapes and types."""
    arrays = {**observation.get("pixels", {}), "agent_pos": observation.get("agent_pos")}
    return tuple(
        (name, np.shape(array), str(getattr(array, "dtype", "")))
        for name, array in sorted(arrays.items())
    )


Placement = Literal["worker", "host"]


class PolicyFactory(Protocol):
    """What the entry-point group ``vla_eval.policies`` names: a class or object of this shape."""

    help: str
    """One line for ``vlaeval list policies``."""

    def placement(self, target: str | None) -> Placement:
        """Return where the policy runs, before it is built.

        ``worker``: one instance in every worker. ``host``: one instance in a process of its own,
        which batches over the workers; for policies that are large or sit on an accelerator.
        """

    def __call__(self, target: str | None, options: Mapping[str, Any]) -> Policy:
        """Build the policy of ``KIND[:TARGET][?key=value&…]``; raises PolicySpecError."""
