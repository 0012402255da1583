"""Tools that other packages offer to the core, found through the entry-point group ``vla_eval.tools``.

==================  =========================================  ==================
entry point         shape                                      used by
==================  =========================================  ==================
``dataset-writer``  ``recording.writer.DatasetWriterFactory``  ``vlaeval record``
``policy-server``   :class:`PolicyServer`                      ``vlaeval serve``
``trainer``         :class:`Trainer`                           ``vlaeval train``
==================  =========================================  ==================

The core asks :func:`load_tool` for one and calls it; it imports no package that offers one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any, Final, Literal, Protocol

from vla_eval.errors import UsageError
from vla_eval.installed import install_command

__all__ = [
    "POLICY_SERVER",
    "TRAINER",
    "PolicyServer",
    "ServeOptions",
    "Serving",
    "Tool",
    "Trained",
    "Trainer",
    "Training",
    "TrainingRequest",
    "load_tool",
]

_GROUP = "vla_eval.tools"


@dataclass(frozen=True)
class Tool[Shape]:
    """What a tool is called, and the shape of the object behind its name."""

    name: str
    extra: str
    """The extra that brings a package with such a tool."""


def load_tool[Shape](tool: Tool[Shape]) -> Shape:
    """Return the tool that an installed package offers.

    Raises:
        UsageError: no installed package offers it, or two do.
    """
    found = list(entry_points(group=_GROUP, name=tool.name))
    if not found:
        raise UsageError(
            f"no installed package offers a {tool.name} (entry points '{_GROUP}'); "
            f"run: {install_command(tool.extra)}"
        )
    if len(found) > 1:
        raise UsageError(
            f"two installed packages offer a {tool.name} ('{found[0].value}' and "
            f"'{found[1].value}'); uninstall one of them"
        )
    loaded: Shape = found[0].load()
    return loaded


@dataclass(frozen=True)
class ServeOptions:
    """How a policy is served."""

    dialect: Literal["openpi", "harness"] = "openpi"
    host: str = "127.0.0.1"
    port: int = 8000
    """0 takes a free one."""
    layout: str | None = None
    """None: ``native`` for openpi, ``harness-libero`` for the harness."""
    images: str | None = None
    action_low: tuple[float, ...] | None = None
    action_high: tuple[float, ...] | None = None
    max_batch: int = 1
    batch_wait_ms: float = 2.0
    token: str | None = None
    """What clients have to send as ``Authorization: Api-Key TOKEN`` (or ``Bearer``)."""
    max_frame_mb: int = 64
    seed: int = 0


@dataclass(frozen=True)
class Serving:
    """A server that clients may come to."""

    url: str
    policy: str
    """The policy's name."""
    offer: Mapping[str, Any]
    """What the server says of itself; holds what JSON can hold."""


class PolicyServer(Protocol):
    """Serves a policy until the process is interrupted or terminated."""

    def __call__(self, spec: str, options: ServeOptions, ready: Callable[[Serving], None]) -> None:
        """Serve.

        Args:
            spec: the policy.
            options: how.
            ready: called when clients may come.

        Raises:
            PolicySpecError: the policy cannot be had or cannot be served.
            UsageError: an option contradicts another, or the address cannot be listened on.
            MissingExtraError: what the server is made of is not installed.
        """


@dataclass(frozen=True)
class TrainingRequest:
    """What somebody wants to train: a recipe, or flags in its place or beside it."""

    recipe: Path | None = None
    base: str | None = None
    """Spec of the checkpoint to begin with."""
    method: str | None = None
    dataset: str | None = None
    changes: tuple[str, ...] = ()
    """``KEY.PATH=VALUE`` changes of the recipe."""


@dataclass(frozen=True)
class Trained:
    """What a training run made."""

    checkpoint: Path
    spec: str
    """The policy, as ``--policy`` takes it."""
    method: str
    steps: int
    data: str
    """What it learned from, in words."""
    card: Mapping[str, Any]
    """Where it comes from; holds what JSON can hold."""


class Training(Protocol):
    """A training run whose recipe was read and checked."""

    @property
    def steps(self) -> int:
        """How many steps it takes."""

    @property
    def base(self) -> str | None:
        """Spec of the checkpoint that it begins with; None where it begins with no policy."""

    def run(
        self,
        folder: Path,
        *,
        on_step: Callable[[int, Mapping[str, float]], None],
        on_episode: Callable[[int, int], None],
    ) -> Trained:
        """Train, or continue the run that the folder holds.

        Args:
            folder: made, or continued.
            on_step: called after every step with its number and logs, ``loss`` among them.
            on_episode: called after every demonstration made on the spot, with the numbers done and
                to do; all of them come before the steps.

        Raises:
            UsageError: data, start or method cannot be used; the folder belongs to another recipe.
            MissingExtraError: what trains or reads the data is not installed.
            InterruptedRunError: stopped; the same call continues.
        """


class Trainer(Protocol):
    """Reads recipes."""

    def __call__(self, request: TrainingRequest) -> Training:
        """Return the training run that was asked for, before anything is loaded.

        Raises:
            UsageError: no recipe: what is missing, or which key is wrong.
            MissingExtraError: what trains is not installed.
        """


POLICY_SERVER: Final[Tool[PolicyServer]] = Tool("policy-server", extra="remote")
TRAINER: Final[Tool[Trainer]] = Tool("trainer", extra="flow")
