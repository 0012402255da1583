"""Tools that other packages offer to the core, found through the entry-point group ``vla_eval.tools``.

==================  =========================================  ==================
entry point         shape                                      used by
==================  =========================================  ==================
``dataset-writer``  ``recording.writer.DatasetWriterFactory``  ``vlaeval record``
``policy-server``   :class:`PolicyServer`                      ``vlaeval serve``
``trainer``         :class:`Trainer`                           ``vlaeval train``
==================  =========================================  ==================

The core gets a tool from :func:`load_tool` and calls it; it imports no package that offers one.
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
    """The name of a tool, and the type of the object behind that name."""

    name: str
    extra: str
    """The extra with a package that offers this tool."""


def load_tool[Shape](tool: Tool[Shape]) -> Shape:
    """Return the tool that an installed package offers.

    Raises:
        UsageError: no installed package offers it, or two do.
    """
    offers = list(entry_points(group=_GROUP, name=tool.name))
    if not offers:
        raise UsageError(
            f"no installed package offers a {tool.name} (entry points '{_GROUP}'); "
            f"run: {install_command(tool.extra)}"
        )
    if len(offers) > 1:
        raise UsageError(
            f"two installed packages offer a {tool.name} ('{offers[0].value}' and "
            f"'{offers[1].value}'); uninstall one of them"
        )
    loaded: Shape = offers[0].load()
    return loaded


@dataclass(frozen=True)
class ServeOptions:
    """Settings of a policy server."""

    dialect: Literal["openpi", "harness"] = "openpi"
    host: str = "127.0.0.1"
    port: int = 8000
    """Port; 0 takes a free one."""
    layout: str | None = None
    """Layout of observations; None: ``native`` for openpi, ``harness-libero`` for the harness."""
    images: str | None = None
    action_low: tuple[float, ...] | None = None
    action_high: tuple[float, ...] | None = None
    max_batch: int = 1
    batch_wait_ms: float = 2.0
    token: str | None = None
    """Token that clients must send as ``Authorization: Api-Key TOKEN`` (or ``Bearer``)."""
    max_frame_mb: int = 64
    seed: int = 0


@dataclass(frozen=True)
class Serving:
    """A server that accepts clients."""

    url: str
    policy: str
    """The policy's name."""
    offer: Mapping[str, Any]
    """The server's description of itself; JSON values only."""


class PolicyServer(Protocol):
    """Serves a policy until the process is interrupted or terminated."""

    def __call__(self, spec: str, options: ServeOptions, ready: Callable[[Serving], None]) -> None:
        """Serve.

        Args:
            spec: the policy's spec.
            options: the server's settings.
            ready: called when the server accepts clients.

        Raises:
            PolicySpecError: the policy cannot be built or served.
            UsageError: two options contradict each other, or the address cannot be used.
            MissingExtraError: the server's packages are not installed.
        """


@dataclass(frozen=True)
class TrainingRequest:
    """A requested training run: a recipe, or flags that replace or change it."""

    recipe: Path | None = None
    base: str | None = None
    """Spec of the checkpoint to begin with."""
    method: str | None = None
    dataset: str | None = None
    changes: tuple[str, ...] = ()
    """``KEY.PATH=VALUE`` changes of the recipe."""


@dataclass(frozen=True)
class Trained:
    """The result of a training run."""

    checkpoint: Path
    spec: str
    """Spec of the policy, for ``--policy``."""
    method: str
    steps: int
    data: str
    """Description of its training data."""
    card: Mapping[str, Any]
    """Origin of the policy; JSON values only."""


class Training(Protocol):
    """A training run with a checked recipe."""

    @property
    def steps(self) -> int:
        """Number of training steps."""

    @property
    def base(self) -> str | None:
        """Spec of the checkpoint that training begins with; None if it begins without one."""

    def run(
        self,
        folder: Path,
        *,
        on_step: Callable[[int, Mapping[str, float]], None],
        on_episode: Callable[[int, int], None],
    ) -> Trained:
        """Train, or continue the run in the folder.

        Args:
            folder: folder of the training run; created if it does not exist.
            on_step: called after every step with its number and logs, ``loss`` among them.
            on_episode: called after every generated demonstration, with the number done and the total;
                all demonstrations come before the steps.

        Raises:
            UsageError: data, start or method cannot be used; the folder belongs to another recipe.
            MissingExtraError: the packages for training or for the data are not installed.
            InterruptedRunError: the run was stopped; the same call continues it.
        """


class Trainer(Protocol):
    """Reads recipes."""

    def __call__(self, request: TrainingRequest) -> Training:
        """Return the requested training run, before anything is loaded.

        Raises:
            UsageError: the recipe is missing or invalid; the message names the missing or wrong key.
            MissingExtraError: the packages for training are not installed.
        """


POLICY_SERVER: Final[Tool[PolicyServer]] = Tool("policy-server", extra="remote")
TRAINER: Final[Tool[Trainer]] = Tool("trainer", extra="flow")
